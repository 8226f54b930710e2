"""Output paths: the default path of a cell, and paths that can't exist side by side."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from qwenbuild.errors import Findings
from qwenbuild.files.paths import clash_key
from qwenbuild.problems import Problem

from .action import Action
from .matrix import Value


def default_path(stem: str, values: Sequence[Value]) -> str:
    """Return the path of a cell whose image sets no `output`; `stem` is `spec/image`."""
    return f"{'-'.join([stem, *[value.path_part for value in values]])}.png"


def check_paths(actions: Collection[Action], findings: Findings) -> None:
    """Add a problem to `findings` for each action whose path clashes with the path of an earlier action.

    Two paths clash if some file system takes them for one file, or if one would be a folder of the other.
    """
    # Nearly every path is its own clash key: sharing the text saves as much memory as the requests' keys take.
    paths = {action.output if (key := clash_key(action.output)) == action.output else key for action in actions}
    folders = {path.rpartition("/")[0] for path in paths}
    while above := {folder.rpartition("/")[0] for folder in folders} - folders:
        folders |= above
    if len(paths) < len(actions) or not paths.isdisjoint(folders):
        for image, problem in _clashes(actions):
            findings.add([problem], image)


def _clashes(actions: Iterable[Action]) -> Iterator[tuple[str, Problem]]:
    """Yield (image, problem) for each action that clashes with an earlier one."""
    owners: dict[str, Action] = {}  # by the clash key of their path
    folders: dict[str, Action] = {}  # the first action below each folder
    for action in actions:
        path = clash_key(action.output)
        other = owners.get(path) or folders.get(path)
        parent = path.rpartition("/")[0]
        while not other and parent:
            other = owners.get(parent)
            parent = parent.rpartition("/")[0]
        if other:
            yield action.declaration.name, _clash(action, other)
            continue
        owners[path] = action
        parent = path.rpartition("/")[0]
        while parent and parent not in folders:
            folders[parent] = action
            parent = parent.rpartition("/")[0]


def _clash(action: Action, other: Action) -> Problem:
    """Return the problem of two actions whose paths clash."""
    image = action.declaration
    keys = (*image.keys, "output") if image.image.output is not None else image.keys
    if clash_key(other.output) != clash_key(action.output):
        what = "outputs of which one is a folder of the other"
    elif other.output != action.output:
        what = "outputs that some file systems can't tell apart"
    else:
        what = "the same output"
    claim = f"two cells have {what}: {action.output}"
    hint = "`output` must differ between cells; it may contain axes, such as {{ seed }}"
    return Problem(claim, image.spec.source.place(keys), facts=[other.name, action.name], hint=hint)
