"""Selection: the actions that names, paths, `axis=glob` conditions and shards choose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import NamedTuple

from qwenbuild.errors import UsageError
from qwenbuild.problems import did_you_mean, listing

from .action import Action
from .cell_names import parse_cell_name
from .project import Project

_FIELDS = ("model", "size", "seed", "ratio")  # conditions may name these fields even if no image has such an axis


class _Wanted(NamedTuple):
    """A name of the command line, parsed."""

    text: str  # as given
    spec: str
    image: str  # "*" for every image of the spec
    cell: dict[str, str]
    path: str  # below out/, for an output's path


def select(actions: Sequence[Action], names: Iterable[str], where: Iterable[str], project: Project) -> list[Action]:
    """Return the actions that match any of `names` and all of `where`, in the order of `actions`.

    A name is `spec`, `spec/image`, a cell's name, or the path of a spec or an output. All names except paths may be
    globs. A condition is `axis=glob`; several conditions on one axis are alternatives. A size may have any spelling.
    Raises UsageError for a name that matches nothing, and if no action matches the conditions.
    """
    wanted = [_parse(name, project) for name in names]
    conditions = _conditions(where)
    chosen = list(actions)
    if wanted:
        used: set[str] = set()
        chosen = []
        for action in actions:
            hits = [want.text for want in wanted if _matches(action, want)]
            used.update(hits)
            if hits:
                chosen.append(action)
        for want in wanted:
            if want.text not in used:
                raise _nothing(want.text, actions)
    for axis, globs in conditions.items():
        _check_axis(axis, actions)
        of = _reader(axis)
        chosen = [action for action in chosen if any(_fits(value, glob) for glob in globs for value in of(action))]
    if conditions and not chosen:
        texts = [f"{axis}={glob}" for axis, globs in conditions.items() for glob in globs]
        values = {value for axis in conditions for action in actions for value in _reader(axis)(action)[:1]}
        raise UsageError(f"no cell matches {listing(texts)}", facts=[f"values: {listing(sorted(values))}"])
    return chosen


def _parse(name: str, project: Project) -> _Wanted:
    out = f"{PurePosixPath(project.config.out)}/"
    path = name.removeprefix("./")
    if path.endswith(".png") and (path.startswith(out) or "[" not in path):
        return _Wanted(name, "", "", {}, path.removeprefix(out))
    parsed = parse_cell_name(name)
    if parsed is None:
        raise UsageError(f"not a cell's name: {name}", hint="write spec, spec/image or spec/image[axis=value,…]")
    image, cell = parsed
    for spec_path in project.spec_paths() if path.endswith(".toml") else ():
        if project.shown(spec_path) == path:
            return _Wanted(name, project.spec_name(spec_path), "*", {}, "")
    spec, _, image_name = image.rpartition("/") if "/" in image else (image, "", "*")
    return _Wanted(name, spec, image_name, cell, "")


def _fits(value: str, glob: str) -> bool:
    return value == glob or fnmatchcase(value, glob)  # a value may itself contain characters such as * or [


def _matches(action: Action, want: _Wanted) -> bool:
    if want.path:
        return action.output == want.path
    declaration = action.declaration
    spec, image = declaration.spec.name, declaration.image_name
    if not (fnmatchcase(spec, want.spec) and fnmatchcase(image, want.image)):
        # `folder/spec`, the name of a spec in a subfolder, looks like `spec/image`.
        return not want.cell and fnmatchcase(spec, f"{want.spec}/{want.image}")
    return all(any(_fits(value, label) for value in _reader(axis)(action)) for axis, label in want.cell.items())


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
    if axis not in known:
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
                cell = action.cell
                return [cell[axis]] if axis in cell else []

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
