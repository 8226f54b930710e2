"""Keeping: edits specs so that of their images only the chosen cells are declared, with `only` tables.

Nothing else changes, and no file is removed: the other images become orphans, which a build restores once the tables
are gone. Either all specs are written, or none. After writing, the project is read again. If it does not declare
exactly the chosen cells, with the keys and paths that they had, the specs get their old text back.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qwenbuild.errors import QwenbuildError, UsageError
from qwenbuild.files import atomic
from qwenbuild.plan import stars
from qwenbuild.problems import Problem, listing
from qwenbuild.specs import keeping
from qwenbuild.specs.action import Action
from qwenbuild.specs.declaration import Declaration
from qwenbuild.specs.keeping import Choice, Entry, Unsafe
from qwenbuild.specs.template import Templates
from qwenbuild.storage.build_lock import make_state_folder
from qwenbuild.storage.gc import renew

if TYPE_CHECKING:
    from .engine import Engine

_BOM = b"\xef\xbb\xbf"
Wanted = Mapping[str, tuple[str, str]]
"""The output and the key of each cell, by the cell's name."""


@dataclass(frozen=True, slots=True)
class Change:
    """The edit of one spec: its path, how messages name it, its bytes now, and its new bytes."""

    path: Path
    shown: str
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)

    @property
    def diff(self) -> str:
        """The edit as a unified diff."""
        old, new = (it.removeprefix(_BOM).decode().splitlines(keepends=True) for it in (self.before, self.after))
        lines = difflib.unified_diff(old, new, self.shown, self.shown)
        return "".join([line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines])


@dataclass(frozen=True, slots=True)
class Keeping:
    """What `keep` is about to do; `write` does it.

    - `changes`: the edits, none if all cells of all images are chosen.
    - `kept`: the names of the chosen cells; `dropped`: those of the cells that are declared no more.
    - `orphans`: how many of the dropped cells have an image on record; `outside`: of these, how many are not in the
      store, but only below `out/`.
    - `entries`: the new `only` of each image, by the image's name.
    - `alone`: the images that have no chosen cell, and stay as they are.
    - `warnings`: what to say about stars whose cells no spec declares.
    """

    engine: Engine = field(repr=False)
    changes: Sequence[Change]
    kept: Sequence[str]
    dropped: Sequence[str]
    orphans: int
    outside: int
    entries: Mapping[str, Sequence[Entry]]
    alone: Sequence[str]
    warnings: Sequence[Problem]
    _wanted: Wanted = field(repr=False)
    _images: Sequence[tuple[str, str]] = field(repr=False)  # key and digest of each orphan

    @property
    def diff(self) -> str:
        """The edits as one unified diff."""
        return "".join([change.diff for change in self.changes])

    def write(self) -> None:
        """Write all specs, or none. Raises UsageError, with what to write by hand, if the result would be wrong."""
        for change in self.changes:
            _check(change)
        written: list[Change] = []
        try:
            for change in self.changes:
                _replace(self.engine, change, change.after)
                written.append(change)
            found, why = _declared(self.engine), ""
        except QwenbuildError as error:
            found, why = {}, error.problems[0].claim
        except OSError as error:
            self._restore(written)
            claim = f"{error.filename or 'a spec'} can't be written: {error.strerror or error}"
            raise UsageError(claim, hint="nothing was changed", name="file-unwritable") from None
        except BaseException:
            self._restore(written)
            raise
        if found != self._wanted:
            self._restore(written)
            why = why or "the project would not declare exactly the chosen cells"
            names = listing([change.shown for change in self.changes])
            raise UsageError(
                f"{names} can't be changed safely: {why}",
                facts=_by_hand(self.entries),
                hint=_HAND,
                name="spec-not-editable",
            )
        for key, image in self._images:
            renew(self.engine.store, key, image)

    def _restore(self, changes: Sequence[Change]) -> None:
        for change in changes:
            with contextlib.suppress(OSError):
                _replace(self.engine, change, change.before)


_HAND = "nothing was changed; write this by hand into the table of the image"


def keep(engine: Engine, cells: Sequence[str] = ()) -> Keeping:
    """Return the edits of specs that keep only these cells of their images; `write` of the result makes them.

    `cells` takes every form of SELECT; the options' selection counts, too. Images without a chosen cell stay as they
    are. Nothing is changed yet. Raises UsageError if no cell is named, or if a spec can't be changed safely.
    """
    chooser = engine.with_options(select=[*engine.options.select, *cells])
    if not chooser.options.is_selecting:
        hint = "`qwenbuild keep CELL…` keeps these cells, `qwenbuild keep --picked` the starred ones"
        raise UsageError("`keep` needs to know which cells", hint=hint, name="no-cell-named")
    with engine.state() as state:
        every, pins, _ = engine.declared(state)
        images = {path: (pin.key, pin.image) for path, pin in pins.every.items()}
        images |= {path: (output.key, output.image) for path, output in state.outputs().items()}
    chosen = {action.name for action in chooser.selected(every)}
    of_image: dict[int, list[Action]] = {}
    for action in every:
        of_image.setdefault(id(action.declaration), []).append(action)
    names = {number: [action.name for action in actions] for number, actions in of_image.items()}
    alone = [actions[0].declaration.name for number, actions in of_image.items() if chosen.isdisjoint(names[number])]
    some = [
        actions[0].declaration
        for number, actions in of_image.items()
        if 0 < sum(name in chosen for name in names[number]) < len(actions)
    ]
    of_some = {id(declaration) for declaration in some}
    dropped = [it for it in every if id(it.declaration) in of_some and it.name not in chosen]
    gone = {it.name for it in dropped}
    orphans = [image for it in dropped if (image := images.get(it.output))]
    outside = sum(not engine.store.blob_path(digest).exists() for _, digest in orphans)
    entries = {declaration.name: _entries(engine, declaration, chosen) for declaration in some}
    return Keeping(
        engine, _changes(engine, some, entries), [name for it in every if (name := it.name) in chosen],
        [it.name for it in dropped], len(orphans), outside, entries, alone,
        stars.unknown(every, engine.picks()) if chooser.options.picked else [],
        {it.name: (it.output, it.key) for it in every if it.name not in gone}, orphans,
    )  # fmt: skip


def _entries(engine: Engine, declaration: Declaration, chosen: set[str]) -> Sequence[Entry]:
    project = engine.project
    templates = Templates(project.templates, project.config.templates)
    return Choice(declaration, templates).entries(chosen)


def _declared(engine: Engine) -> Wanted:
    """Return what the project declares now."""
    again = engine.with_options()
    again.read_cache = None
    with again.state() as state:
        return {it.name: (it.output, it.key) for it in again.declared(state)[0]}


def _changes(
    engine: Engine, declarations: Sequence[Declaration], entries: Mapping[str, Sequence[Entry]]
) -> list[Change]:
    """Return the edit of each spec. Raises UsageError if one can't be changed safely."""
    changes, faults = list[Change](), list[str]()
    for path in dict.fromkeys(declaration.spec.path for declaration in declarations):
        of_spec = [declaration for declaration in declarations if declaration.spec.path == path]
        shown = engine.project.shown(path)
        try:
            before = _bytes(engine, path)
            text = _text(before, of_spec[0])
            for declaration in of_spec:
                text = keeping.with_only(text, declaration.image_name, entries[declaration.name])
        except (Unsafe, OSError) as error:
            faults.append(f"{shown} can't be changed safely: {getattr(error, 'strerror', None) or error}")
            continue
        bom = _BOM if before.startswith(_BOM) else b""
        changes.append(Change(path, shown, before, bom + text.encode()))
    if faults:
        raise UsageError(faults[0], facts=[*faults[1:], *_by_hand(entries)], hint=_HAND, name="spec-not-editable")
    return changes


def _text(content: bytes, declaration: Declaration) -> str:
    """Return the text of a spec. Raises Unsafe if it is not the one that was read."""
    text = content.removeprefix(_BOM).decode()
    if text != declaration.spec.source.text:
        raise Unsafe("it was changed meanwhile")
    return text


def _by_hand(entries: Mapping[str, Sequence[Entry]]) -> list[str]:
    return [f"{name}: {keeping.in_one_line(some)}" for name, some in entries.items()]


def _bytes(engine: Engine, path: Path) -> bytes:
    """Return the bytes of a spec that may be written. Raises Unsafe, OSError."""
    real, root = os.path.realpath(path), os.path.realpath(engine.project.root)
    if os.path.commonpath([real, root]) != root:
        raise Unsafe(f"it is a link to {real}, which lies outside the project")
    if not os.stat(real).st_mode & stat.S_IWUSR:
        raise Unsafe("it is read-only")
    return Path(real).read_bytes()


def _check(change: Change) -> None:
    """Raise UsageError if a spec is no longer what the edit was made from."""
    try:
        is_same = change.path.read_bytes() == change.before
    except OSError:
        is_same = False
    if not is_same:
        raise UsageError(
            f"{change.shown} was changed meanwhile",
            hint="nothing was changed; run `qwenbuild keep` again",
            name="changed-meanwhile",
        )


def _replace(engine: Engine, change: Change, content: bytes) -> None:
    """Replace the bytes of a spec; its mode stays, and a link stays a link. Raises OSError."""
    real = Path(os.path.realpath(change.path))
    staging = engine.project.state_dir / "tmp"
    make_state_folder(engine.project.state_dir)
    mode = stat.S_IMODE(real.stat().st_mode)
    # A finer time than the kernel's, so that the fast path notices the edit: see `storage.lock.write`.
    atomic.write(real, content, staging, mtime_ns=time.time_ns())
    real.chmod(mode)
