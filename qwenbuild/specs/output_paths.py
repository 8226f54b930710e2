"""Output paths: the default path of a cell, and paths that can't exist side by side."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from qwenbuild.errors import Findings
from qwenbuild.files.paths import clash_key, clash_keys
from qwenbuild.problems import Problem

from .action import Action
from .matrix import Value


def default_path(stem: str, values: Sequence[Value]) -> str:
    """Return the path of a cell whose image sets no `output`; `stem` is `spec/image`."""
    return f"{'-'.join([stem, *[value.path_part for value in values]])}.png"


def check_paths(actions: Collection[Action], findings: Findings) -> None:
    """Add a problem to `findings` for each action whose path clashes with the path of an earlier action.

    Two paths clash if some file system takes them for one file, if one would be a folder of the other, or if they
    spell one folder in two ways: on some file systems an orphan would be another cell's file.
    """
    # Nearly every path is its own clash key: sharing the text saves as much memory as the requests' keys take.
    outputs = [action.output for action in actions]
    paths = {path if path == key else key for path, key in zip(outputs, clash_keys(outputs), strict=True)}
    spellings = {path.rpartition("/")[0] for path in outputs}
    while above := {folder.rpartition("/")[0] for folder in spellings} - spellings:
        spellings |= above
    folders = {*clash_keys(list(spellings))}
    if len(paths) < len(actions) or len(folders) < len(spellings) or not paths.isdisjoint(folders):
        for image, problem in _clashes(actions):
            findings.add([problem], image)


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
    keys = (*image.keys, "output") if image.image.output is not None else image.keys
    claim = f"two cells have {what}: {action.output}"
    facts = [other.name, action.name]
    if other.output != action.output:
        facts = [f"{other.name}: {other.output}", f"{action.name}: {action.output}"]
    hint = "`output` must differ between cells; it may contain axes, such as {{ seed }}"
    return Problem(claim, image.spec.source.place(keys), facts=facts, hint=hint)
