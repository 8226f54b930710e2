"""Selection: the actions that names, paths, `axis=glob` conditions and shards choose."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath, PurePosixPath

from qwenbuild.errors import UsageError
from qwenbuild.problems import did_you_mean, listing

from .action import Action
from .cell_names import parse_cell_name
from .project import Project

_FIELDS = ("model", "size", "seed", "ratio")  # conditions may name these fields even if no image has such an axis


def select(actions: Sequence[Action], names: Iterable[str], where: Iterable[str], project: Project) -> list[Action]:
    """Return the actions that match any of `names` and all of `where`, in the order of `actions`.

    A name is `spec`, `spec/image`, a cell's name, or the path of a spec or an output. A cell's name as messages print
    it means this cell only. All other names except paths may be globs. A condition is `axis=glob`; several conditions
    on one axis are alternatives. A size may have any spelling. Raises UsageError for a name that matches nothing, and
    if no action matches the conditions.
    """
    chosen = list(actions)
    if wanted := list(names):
        cells = {_nfc(action.name): action.output for action in actions}
        outputs = {output for name in wanted for output in _outputs(name, actions, cells, project)}
        chosen = [action for action in actions if action.output in outputs]
    conditions = _conditions(where)
    for axis, globs in conditions.items():
        _check_axis(axis, actions)
        of = _reader(axis)
        chosen = [action for action in chosen if any(_fits(value, glob) for glob in globs for value in of(action))]
    if conditions and not chosen:
        texts = [f"{axis}={glob}" for axis, globs in conditions.items() for glob in globs]
        values = {value for axis in conditions for action in actions for value in _reader(axis)(action)[:1]}
        raise UsageError(f"no cell matches {listing(texts)}", facts=[f"values: {listing(sorted(values))}"])
    return chosen


def _outputs(name: str, actions: Sequence[Action], cells: Mapping[str, str], project: Project) -> set[str]:
    """Return the output paths that a name means, at least one; `cells` are the outputs by the names of their cells."""
    if (exact := cells.get(_nfc(name))) is not None:
        return {exact}
    found: set[str] = set()
    if name.endswith(".png"):
        paths = {path.removeprefix(f"{PurePosixPath(project.config.out)}/") for path in _paths(name, project)}
        found = {action.output for action in actions if _nfc(action.output) in paths}
    if not found and (matches := _matcher(name, project)):
        found = {action.output for action in actions if matches(action)}
    if not found:  # a shell takes the quotes of a name away
        bare = [output for cell, output in cells.items() if _bare(cell) == _bare(_nfc(name))]
        found = {*bare} if len(bare) == 1 else found
    if not found and parse_cell_name(name) is None:
        raise UsageError(f"not a cell's name: {name}", hint="write spec, spec/image or spec/image[axis=value,…]")
    if not found:
        raise _nothing(name, actions)
    return found


def _paths(name: str, project: Project) -> set[str]:
    """Return the paths below the project's root that a path of the command line may mean.

    A path starts at the folder of `-C`, by default the working folder, or at the root, as messages print it.
    """
    start = project.searched[0].parent if project.searched else project.root
    places = [os.path.join(start, name), os.path.join(project.root, name)]
    with contextlib.suppress(ValueError):  # on Windows: a path on another drive
        return {_nfc(PurePath(os.path.relpath(place, project.root)).as_posix()) for place in places}
    return set()


def _matcher(name: str, project: Project) -> Callable[[Action], bool] | None:
    """Return a function that tells whether an action matches a name that may hold globs; None if it is malformed."""
    if name.endswith(".toml"):
        paths = _paths(name, project)
        specs = {project.spec_name(path) for path in project.spec_paths() if _nfc(project.shown(path)) in paths}
        if specs:
            return lambda action: action.declaration.spec.name in specs
    parsed = parse_cell_name(name)
    if parsed is None:
        return None
    whole, cell = parsed
    spec, _, image = whole.rpartition("/") if "/" in whole else (whole, "", "*")

    def matches(action: Action) -> bool:
        declaration = action.declaration
        if not (_fits(declaration.spec.name, spec) and _fits(declaration.image_name, image)):
            # `folder/spec`, the name of a spec in a subfolder, looks like `spec/image`.
            return not cell and _fits(declaration.spec.name, whole)
        return all(any(_fits(value, label) for value in _reader(axis)(action)) for axis, label in cell.items())

    return matches


def _fits(value: str, glob: str) -> bool:
    value, glob = _nfc(value), _nfc(glob)
    return value == glob or fnmatchcase(value, glob)  # a value may itself contain characters such as * or [


def _nfc(text: str) -> str:
    """Return a text in the form of Unicode that nearly all texts have: macOS names files in another one."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _bare(name: str) -> str:
    return name.replace('"', "").replace("\\", "")


def _conditions(where: Iterable[str]) -> dict[str, list[str]]:
    conditions: dict[str, list[str]] = {}
    for text in where:
        axis, equals, glob = text.partition("=")
        if not equals or not axis:
            raise UsageError(
                f'not a condition: "{text}"', hint='write -w AXIS=VALUE, such as -w seed=1 or -w "size=16:9"'
            )
        conditions.setdefault(axis.strip(), []).append(glob)
    return conditions


def _check_axis(axis: str, actions: Sequence[Action]) -> None:
    known = {name for action in actions for name in action.declaration.axes} | set(_FIELDS)
    if _nfc(axis) not in {*map(_nfc, known)}:
        raise UsageError(
            f'no image has an axis "{axis}"', facts=[f"axes: {listing(sorted(known))}"], hint=did_you_mean(axis, known)
        )


def _reader(axis: str) -> Callable[[Action], list[str]]:
    """Return a function that returns an action's value for `axis` in every spelling; none if it has no such axis."""

    def values(action: Action) -> list[str]:
        match axis:
            case "size" | "ratio":
                ratio = action.model.ratio(action.size)
                return [ratio] if axis == "ratio" else [str(action.size), ratio, action.size.wire]
            case "seed":
                return [str(action.seed)]
            case "model":
                return [action.model.name]
            case _:
                return [label for name, label in action.cell.items() if name == axis or _nfc(name) == _nfc(axis)]

    return values


def _nothing(text: str, actions: Sequence[Action]) -> UsageError:
    images = dict.fromkeys(action.declaration.name for action in actions)
    specs = dict.fromkeys(action.declaration.spec.name for action in actions)
    cells = [action.name if "[" in text else action.output for action in actions[:1000]]
    known = cells if "[" in text else [*images, *specs, *cells]
    return UsageError(
        f'nothing is named "{text}"', facts=[f"images: {listing(images)}"], hint=did_you_mean(text, known)
    )


def shard(actions: Iterable[Action], number: int, of: int) -> list[Action]:
    """Return the actions of shard `number` (from 1) of `of`. Each action is in exactly one shard.

    The request alone decides the shard. So actions with one request share a shard, and machines agree even if their
    stores and locks know older keys of the request. Raises UsageError if there is no such shard.
    """
    if not 1 <= number <= of:
        raise UsageError(f"there is no shard {number}/{of}", hint="1/4 is the first of four")
    return [action for action in actions if int(action.request.key, 16) % of == number - 1]
