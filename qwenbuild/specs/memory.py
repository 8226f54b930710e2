"""What earlier readings of a project came to: a reading that follows an edit expands again only what the edit touched.

Invariant: with a memory and without, the same files give the same actions and the same problems.
What an image came to is given again while its declaration, the defaults of its spec, the rows of
its data and the texts of all templates that it went through are what they were; an image with
problems is never remembered, as they name lines that other edits move.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import CodeType

from jinja2 import BytecodeCache
from jinja2.bccache import Bucket

from qwenbuild.errors import Findings, ProjectError
from qwenbuild.provider import Provider

from . import expand
from .action import Action
from .matrix import Declaration
from .output_paths import check_paths
from .project import Project
from .sandbox import environment
from .spec import Spec
from .template import Templates

_REQUESTS_KEPT = 20_000  # of one reading: a page asks for all of them, again and again


@dataclass(frozen=True, slots=True)
class _Kept:
    """The actions of one image, and what they rest on."""

    spec: Spec = field(repr=False)
    basis: tuple[str, ...]  # what of the spec matters to the image
    axes: str
    texts: Mapping[str, str | None]  # of the templates, by name; None for one that was looked for in vain
    actions: Sequence[Action] = field(repr=False)


class Memory:
    """The memory of one project with one config. Threads may share it: what one takes, another reads again.

    `specs` holds the specs without mistakes that were read last, by path.
    """

    def __init__(self) -> None:
        self.specs: dict[Path, Spec] = {}
        self._kept: dict[str, _Kept] = {}
        self._compiled = _Compiled()

    def expand(
        self, project: Project, declarations: Collection[Declaration], provider: Provider, findings: Findings
    ) -> tuple[list[Action], list[Path]]:
        """Return the actions of all declarations, and the paths of the templates that they rest on.

        Problems go into `findings`.
        """
        keep = sum(declaration.cells for declaration in declarations) <= _REQUESTS_KEPT
        actions: list[Action] = []
        names: dict[str, None] = {}
        kept: dict[str, _Kept] = {}
        now = self._templates(project)
        for it in declarations:
            told = findings.told
            known = self._again(it, provider, now) or self._anew(project, it, provider, findings, keep=keep)
            if findings.told == told:
                kept[it.name] = known
            actions += known.actions
            names.update(dict.fromkeys(known.texts))
        self._kept = kept
        check_paths(actions, findings)
        return actions, [project.templates / name for name in names]

    def _again(self, it: Declaration, provider: Provider, now: Templates) -> _Kept | None:
        """Return what is known of an image, None where something that it rests on is not as it was."""
        known = self._kept.get(it.name)
        if known is None or repr(it.axes) != known.axes or not _same(known.texts, now):
            return None
        if it.spec is known.spec:
            return known
        if _basis(it, provider) != known.basis:
            return None
        # The declaration is replaced, since messages show where it stands now.
        return replace(known, spec=it.spec, actions=[action._replace(declaration=it) for action in known.actions])

    def _anew(self, project: Project, it: Declaration, provider: Provider, findings: Findings, *, keep: bool) -> _Kept:
        templates = self._templates(project)
        cells = expand.cells(project.catalogue, templates, it, provider.family, provider.labelled, findings, keep=keep)
        actions = list(cells)
        return _Kept(it.spec, _basis(it, provider), repr(it.axes), templates.texts, actions)

    def _templates(self, project: Project) -> Templates:
        return Templates(project.templates, project.config.templates, partial(environment, compiled=self._compiled))


class _Compiled(BytecodeCache):
    """Template files as they were compiled before, by name: the text that each had last."""

    def __init__(self) -> None:
        self._codes: dict[str, tuple[str, CodeType]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        checksum, code = self._codes.get(bucket.key, ("", None))
        bucket.code = code if checksum == bucket.checksum else None

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code:
            self._codes[bucket.key] = bucket.checksum, bucket.code


def _basis(it: Declaration, provider: Provider) -> tuple[str, ...]:
    # As texts, which tell 1 from true; a spec's default matters to each image, another image does not.
    defaults = it.spec.content.model_copy(update={"image": {}})
    return repr(defaults), repr(it.image), provider.family, str(provider.labelled)


def _same(texts: Mapping[str, str | None], now: Templates) -> bool:
    try:
        return all(now.text(name) == text for name, text in texts.items())
    except ProjectError:  # unreadable now: expanding again tells why
        return False
