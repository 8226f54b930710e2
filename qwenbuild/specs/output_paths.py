"""Output paths: the default path of a cell, and paths that can't exist side by side.

Different cells never share a default path. If they would, because file systems or `slug` take their values for one, the
first cell keeps the path, and the others get a digest of their name. A path that the lock records for a cell stays.
`only` changes no path: the cells that it leaves out count, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import groupby
from typing import Protocol

from qwenbuild.digest import sha256
from qwenbuild.errors import ProjectError
from qwenbuild.files.paths import MOST_BYTES, clash_key, clash_keys
from qwenbuild.problems import Problem

from .action import Action
from .declaration import Declaration, Value
from .findings import Findings


class Record(Protocol):
    """What the lock has about an output path."""

    @property
    def name(self) -> str:
        """The name of the cell."""


Recorded = Callable[[], Mapping[str, Record]]
"""Returns the lock's records by path."""

Before = Callable[[Declaration], Iterable[Sequence[Value]]]
"""Returns the cells that an image would have without `only`, in order. It gives none if they are too many."""

_DIGITS = 10  # of a digest: even if 10,000 cells share a path, two equal digests are as good as impossible
_MARKED = re.compile(rf"-[0-9a-f]{{{_DIGITS}}}\.png")


def no_records() -> Mapping[str, Record]:
    """Return the records of a project that has no lock."""
    return {}


def default_path(stem: str, values: Sequence[Value]) -> str:
    """Return the path of a cell whose image sets no `output`; `stem` is `spec/image`."""
    return f"{'-'.join([stem, *[value.path_part for value in values]])}.png"


def marked_path(stem: str, values: Sequence[Value], name: str) -> str:
    """Return the default path with a digest of the cell's `name`. No other cell has it, and it is never too long.

    Long values are cut, all to the same length; short ones, such as a seed, stay readable.
    """
    folder, _, image = stem.rpartition("/")
    end = f"-{sha256(name.encode('utf-8', 'replace'))[:_DIGITS]}.png"
    room = MOST_BYTES - len(end)
    text = ""
    for most in (60, 40, 20, 10):
        text = "-".join([image, *[value.path_part[:most].rstrip("-") for value in values]])
        if len(text.encode()) <= room:
            break
    return f"{folder}/{text.encode()[:room].decode(errors='ignore').rstrip('-')}{end}"


def has_default_path(declaration: Declaration) -> bool:
    """Return whether nothing sets `output`."""
    return declaration.setting("output") is None


def settled(actions: list[Action], before: Before, recorded: Recorded, findings: Findings) -> list[Action]:
    """Return the actions with distinct default paths. Problems of other paths that clash go into `findings`.

    The actions of one image stand together.

    Two paths clash if some file system takes them for one file, if one would be a folder of the other, or if they
    spell one folder in two ways: on some file systems an orphan would be another cell's file.
    """
    outputs = [action.output for action in actions]
    is_distinct = _are_distinct(outputs)
    records: Mapping[str, Record] = {}
    try:
        records = recorded()
    except ProjectError as error:
        findings.add(error.problems)
    every = _with_left_out(actions, outputs, before)
    moved = _recorded_marks(every, set(outputs), records)
    if not is_distinct or every is not actions:
        moved |= _step_aside(every, records, moved)
    if moved:
        actions = [
            action._replace(output=moved[number]) if number in moved else action
            for number, action in enumerate(every)
            if action.key
        ]
        is_distinct = _are_distinct([action.output for action in actions])
    if not is_distinct:
        for image, problem in _clashes(actions):
            findings.add([problem], image)
    return actions


def _are_distinct(outputs: Sequence[str]) -> bool:
    """Return whether no two of the paths clash."""
    # Nearly every path is its own clash key: sharing the text saves as much memory as the requests' keys take.
    paths = {path if path == key else key for path, key in zip(outputs, clash_keys(outputs), strict=True)}
    spellings = {path.rpartition("/")[0] for path in outputs}
    while above := {folder.rpartition("/")[0] for folder in spellings} - spellings:
        spellings |= above
    folders = {*clash_keys(list(spellings))}
    return len(paths) == len(outputs) and len(folders) == len(spellings) and paths.isdisjoint(folders)


def _with_left_out(actions: list[Action], outputs: Sequence[str], before: Before) -> list[Action]:
    """Return the actions, and in their places the cells that `only` leaves out and whose default path is wanted.

    These cells are actions without a key. If there are none, the result is `actions` itself.
    """
    images = {id(it.declaration): it.declaration for it in actions if it.declaration.image.only}
    if not any(map(has_default_path, images.values())):
        return actions
    wanted, found = {*clash_keys(outputs)}, list[Action]()
    for _, group in groupby(actions, key=lambda it: id(it.declaration)):
        some = [*group]
        declaration, kept = some[0].declaration, iter(some)
        is_asked = declaration.image.only and has_default_path(declaration)
        cells = [*before(declaration)] if is_asked else []
        paths = [default_path(declaration.name, values) for values in cells]
        following = next(kept, None)
        for values, path, key in zip(cells, paths, clash_keys(paths), strict=True):
            if following and [it.label for it in values] == [it.label for it in following.values]:
                found.append(following)
                following = next(kept, None)
            elif key in wanted:
                found.append(some[0]._replace(output=path, key="", values=tuple(values)))
        found += [*([following] if following else []), *kept]
    return found if len(found) > len(actions) else actions


def _marked(action: Action) -> str:
    return marked_path(action.declaration.name, action.values, action.name)


def _recorded_marks(
    actions: Sequence[Action], outputs: AbstractSet[str], records: Mapping[str, Record]
) -> dict[int, str]:
    """Return the paths with a digest that the lock records for cells, by the number of the action.

    Such a path stays, even if the cell that had the path without a digest is gone.
    """
    paths = {records[path].name: path for path in records.keys() - outputs if _MARKED.search(path)}
    if not paths:
        return {}
    found: dict[int, str] = {}
    for number, action in enumerate(actions):
        path = paths.get(action.name)
        if path and has_default_path(action.declaration) and path == _marked(action):
            found[number] = path
    return found


def _step_aside(actions: Sequence[Action], records: Mapping[str, Record], settled: Mapping[int, str]) -> dict[int, str]:
    """Return the new paths of cells whose default path is another cell's, by the number of the action."""
    sharing: dict[str, list[int]] = {}
    for number, key in enumerate(clash_keys([action.output for action in actions])):
        if number not in settled:
            sharing.setdefault(key, []).append(number)
    found: dict[int, str] = {}
    for numbers in sharing.values():
        if len(numbers) > 1:
            stays = {number for number in numbers if _stays(actions[number], records)} or {numbers[0]}
            found |= {number: _marked(actions[number]) for number in numbers if number not in stays}
    return found


def _stays(action: Action, records: Mapping[str, Record]) -> bool:
    """Return whether the spec, or the lock, says that a cell has its path."""
    record = records.get(action.output)
    return not has_default_path(action.declaration) or (record is not None and record.name == action.name)


def _clashes(actions: Iterable[Action]) -> Iterator[tuple[str, Problem]]:
    """Yield (image, problem) for each action that clashes with an earlier one."""
    owners: dict[str, Action] = {}  # by the clash key of their path
    spellings: dict[str, tuple[str, Action]] = {}  # of each folder: the first one, and the first action below it
    keys: dict[str, str] = {}  # of the folders
    for action in actions:
        path = clash_key(action.output)
        above = list(_above(action.output))
        keys.update({folder: clash_key(folder) for folder in above if folder not in keys})
        other = owners.get(path) or (spellings[path][1] if path in spellings else None)
        if other:
            same = owners.get(path) is other
            what = _OF_FOLDERS if not same else _FOLDED if other.output != action.output else "the same output"
        elif other := next((owners[keys[folder]] for folder in above if keys[folder] in owners), None):
            what = _OF_FOLDERS
        else:
            what = "folders that some file systems can't tell apart"
            first = (spellings.setdefault(keys[folder], (folder, action)) for folder in above)
            other = next((it for (spelt, it), folder in zip(first, above, strict=True) if spelt != folder), None)
        if other:
            yield action.declaration.name, _clash(action, other, what)
        else:
            owners[path] = action


_OF_FOLDERS = "outputs of which one is a folder of the other"
_FOLDED = "outputs that some file systems can't tell apart"


def _above(path: str) -> Iterator[str]:
    """Yield the folders above a path, the nearest first."""
    while path := path.rpartition("/")[0]:
        yield path


def _clash(action: Action, other: Action, what: str) -> Problem:
    """Return the problem of two actions whose paths clash; `what` they have in common."""
    image = action.declaration
    claim = f"two cells have {what}: {action.output}"
    facts = [other.name, action.name]
    if other.output != action.output:
        facts = [f"{other.name}: {other.output}", f"{action.name}: {action.output}"]
    hint = "`output` must differ between cells; it may contain axes, such as {{ seed }}"
    return Problem(claim, image.place_of("output"), facts=facts, hint=hint, name="output-clash")
