"""The read cache: results of earlier reads, so that the next read expands only what changed.

Invariant: with a cache and without, the same files give the same actions and the same problems. The actions of an
image are used again while the image, the defaults of its spec, the rows of its data files and all templates that it
uses are unchanged. An image with problems is never kept: its messages name line numbers, and edits elsewhere in the
file change these numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import CodeType

from jinja2 import BytecodeCache
from jinja2.bccache import Bucket

from qwenbuild.errors import ProjectError
from qwenbuild.files.paths import as_spelled
from qwenbuild.own_servers import parametrised
from qwenbuild.parameters import as_text
from qwenbuild.routes import Routes

from . import expand
from .action import Action
from .declaration import Declaration
from .fields import Fields
from .findings import Findings
from .output_paths import Recorded, settled
from .project import Project
from .rows import KnownRows, Rows
from .sandbox import environment
from .spec import Spec
from .template import Templates

_REQUESTS_KEPT = 20_000  # cells; in a project of this size, actions hold their requests, since pages ask for them often


@dataclass(frozen=True, slots=True)
class _Expansion:
    """The actions of one image, and everything that they depend on."""

    spec: Spec = field(repr=False)
    fields: Sequence[Fields] = field(repr=False)  # of the layers
    provider: tuple[str, bool, str]  # its family, whether it is labelled, and its parameters
    axes: Sequence[tuple[str, Rows | str]] = field(repr=False)  # see `_axes`
    texts: Mapping[str, str | None]  # the templates' texts by name; None: no such file
    actions: Sequence[Action] = field(repr=False)


class ReadCache:
    """The read cache of one project with one config.

    Threads may share it: while one thread has taken an entry, the others read and expand again.
    """

    def __init__(self) -> None:
        self.rows = KnownRows()
        self._specs: dict[Path, Spec] = {}
        self._expansions: dict[str, _Expansion] = {}  # by the image's name
        self._bytecode = _Bytecode()

    def take_spec(self, path: Path) -> Spec | None:
        """Remove the spec that was last read from `path` and return it; None if there is none."""
        return self._specs.pop(path, None)

    def keep_spec(self, spec: Spec) -> None:
        """Keep a spec without mistakes for the next read."""
        self._specs[spec.path] = spec

    def expand(
        self,
        project: Project,
        declarations: Collection[Declaration],
        routes: Routes,
        recorded: Recorded,
        findings: Findings,
    ) -> tuple[list[Action], list[Path]]:
        """Return (the actions of all declarations, the paths of the templates that they depend on).

        Problems go into `findings`. `recorded` is that of `settled`.
        """
        keep_requests = sum(declaration.cells for declaration in declarations) <= _REQUESTS_KEPT
        actions: list[Action] = []
        names: dict[str, None] = {}
        expansions: dict[str, _Expansion] = {}
        now = self._templates(project)
        for declaration in declarations:
            before = findings.added
            expansion = self._kept(declaration, routes, now)
            if expansion is None:
                expansion = self._expanded(project, declaration, routes, findings, keep=keep_requests)
            if findings.added == before:
                expansions[declaration.name] = expansion
            actions += expansion.actions
            names.update(dict.fromkeys(expansion.texts))
        self._expansions = expansions
        whole = expand.before_only(now)
        return settled(actions, whole, recorded, findings), [as_spelled(project.templates, name) for name in names]

    def _kept(self, declaration: Declaration, routes: Routes, now: Templates) -> _Expansion | None:
        """Return the kept expansion of an image; None if there is none or if something that it depends on changed."""
        kept = self._expansions.get(declaration.name)
        if kept is None or not _are_same(_axes(declaration), kept.axes) or not _are_unchanged(kept.texts, now):
            return None
        fields = _fields(declaration)
        if _provider(declaration, routes) != kept.provider or not _are_equal(fields, kept.fields):
            return None
        if declaration.spec is kept.spec:
            return kept
        # Messages show where the image stands now, so the actions get the new declaration.
        actions = [action._replace(declaration=declaration) for action in kept.actions]
        return replace(kept, spec=declaration.spec, fields=fields, actions=actions)

    def _expanded(
        self, project: Project, declaration: Declaration, routes: Routes, findings: Findings, *, keep: bool
    ) -> _Expansion:
        """Expand an image; with `keep`, its actions hold their requests."""
        templates = self._templates(project)
        actions = list(expand.cells(templates, declaration, routes, findings, keep=keep))
        provider, axes = _provider(declaration, routes), _axes(declaration)
        return _Expansion(declaration.spec, _fields(declaration), provider, axes, templates.texts, actions)

    def _templates(self, project: Project) -> Templates:
        return Templates(project.templates, project.config.templates, partial(environment, compiled=self._bytecode))


class _Bytecode(BytecodeCache):
    """The compiled template files, by name: for each file the code of its last text."""

    def __init__(self) -> None:
        self._codes: dict[str, tuple[str, CodeType]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        checksum, code = self._codes.get(bucket.key, ("", None))
        bucket.code = code if checksum == bucket.checksum else None

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code:
            self._codes[bucket.key] = bucket.checksum, bucket.code


def _fields(declaration: Declaration) -> Sequence[Fields]:
    return tuple([layer.fields for layer in declaration.layers])


def _axes(declaration: Declaration) -> Sequence[tuple[str, Rows | str]]:
    """Return the axes with their values: the rows of a file themselves, all else as text, since 1 is equal to True."""
    return [(axis, it if isinstance(it, Rows) else repr(it)) for axis, it in declaration.axes.items()]


def _are_same(axes: Sequence[tuple[str, Rows | str]], others: Sequence[tuple[str, Rows | str]]) -> bool:
    """Return whether axes have the same values. A file that was not parsed again has the very same rows."""
    return len(axes) == len(others) and all(
        axis == other and (values is before or (isinstance(values, str) and values == before))
        for (axis, values), (other, before) in zip(axes, others, strict=True)
    )


def _provider(declaration: Declaration, routes: Routes) -> tuple[str, bool, str]:
    provider = routes.provider(declaration.choice)
    own = parametrised(provider)
    return provider.family, provider.labelled, as_text(own.parameters) if own else ""


def _are_equal(fields: Sequence[Fields], others: Sequence[Fields]) -> bool:
    """Return whether layers set the same for an image. Most are the same objects, and making texts takes long."""
    return len(fields) == len(others) and all(
        one is other or _stated(one) == _stated(other) for one, other in zip(fields, others, strict=True)
    )


def _stated(fields: Fields) -> str:
    """Return what a layer sets, without the images of a spec. It is a text, because for Python 1 is equal to True."""
    return repr({name: value for name, value in fields if name != "image"})


def _are_unchanged(texts: Mapping[str, str | None], now: Templates) -> bool:
    try:
        return all(now.text(name) == text for name, text in texts.items())
    except ProjectError:  # the file can't be read now: expanding the image reports why
        return False
