"""What earlier readings of a project came to: a reading that follows an edit expands again only what the edit touched.

Invariant: with a memory and without, the same files give the same actions and the same problems.
What an image came to is given again while its declaration, the defaults of its spec, the rows of
its data and the texts of all templates that it went through are what they were; an image with
problems is never remembered, as they name lines that other edits move.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import expand
from .errors import Findings, ProjectError
from .expand import Action
from .matrix import Declaration
from .project import Project
from .provider import Provider
from .template import Templates


@dataclass(frozen=True, slots=True)
class _Kept:
    """The actions of one image, and what they rest on."""

    basis: tuple[str, ...]
    texts: Mapping[str, str | None]  # of the templates, by name; None for one that was looked for in vain
    actions: Sequence[Action] = field(repr=False)


class Memory:
    """The memory of one project with one config; not to be shared between threads."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def expand(
        self, project: Project, declarations: Iterable[Declaration], provider: Provider, findings: Findings
    ) -> tuple[list[Action], list[Path]]:
        """Return the actions of all declarations, and the paths of the templates that they rest on.

        Problems go into `findings`.
        """
        actions: list[Action] = []
        paths: dict[Path, None] = {}
        kept: dict[str, _Kept] = {}
        now = _templates(project)
        for it in declarations:
            basis = _basis(it, provider)
            known = self._kept.get(it.name)
            if known and known.basis == basis and _same(known.texts, now):
                # The declaration is replaced, since messages show where it stands now.
                made: Sequence[Action] = [action._replace(declaration=it) for action in known.actions]
                texts = known.texts
            else:
                templates, told = _templates(project), findings.told
                made = list(expand.cells(
                    project.catalogue, templates, it, provider.family, provider.labelled, findings
                ))  # fmt: skip
                texts = templates.texts
                known = _Kept(basis, texts, made) if findings.told == told else None
            if known:
                kept[it.name] = known
            actions += made
            paths.update(dict.fromkeys(project.templates / name for name in texts))
        self._kept = kept
        expand.tell_apart(actions, findings)
        return actions, list(paths)


def _templates(project: Project) -> Templates:
    return Templates(project.templates, project.config.templates)


def _basis(it: Declaration, provider: Provider) -> tuple[str, ...]:
    # As texts, which tell 1 from true; a spec's default matters to each image, another image does not.
    defaults = it.spec.content.model_copy(update={"image": {}})
    return repr(defaults), repr(it.image), repr(it.axes), provider.family, str(provider.labelled)


def _same(texts: Mapping[str, str | None], now: Templates) -> bool:
    try:
        return all(now.text(name) == text for name, text in texts.items())
    except ProjectError:  # unreadable now: expanding again tells why
        return False
