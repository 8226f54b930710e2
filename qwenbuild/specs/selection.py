"""Selection: the actions that names, paths, `axis=glob` conditions and shards choose."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import translate
from functools import cached_property
from pathlib import PurePath, PurePosixPath

from qwenbuild.errors import UsageError
from qwenbuild.files.text import nfc
from qwenbuild.problems import did_you_mean, listing

from .action import Action
from .cell_names import parse_cell_name
from .project import Project

_FIELDS = ("model", "size", "seed", "ratio")  # conditions may name these fields even if no image has such an axis
_GLOB = frozenset("*?[")


def select(actions: Sequence[Action], names: Iterable[str], where: Iterable[str], project: Project) -> list[Action]:
    """Return the actions that match any of `names` and all of `where`, in the order of `actions`.

    A name is `spec`, `spec/image`, a cell's name, or the path of a spec or an output. A cell's name as messages print
    it means this cell only. All other names except paths may be globs. A condition is `axis=glob`; several conditions
    on one axis are alternatives. A size may have any spelling. Raises UsageError for a name that matches nothing, and
    if no action matches the conditions.
    """
    chosen = list(actions)
    if wanted := list(names):
        known = _Known(actions, project)
        outputs = {output for name in wanted for output in known.outputs(name)}
        chosen = [action for action in actions if action.output in outputs]
    conditions = _conditions(where)
    for axis, globs in conditions.items():
        _check_axis(axis, actions)
        of, fits = _reader(axis), _any_of(globs)
        chosen = [action for action in chosen if any(map(fits, of(action)))]
    if conditions and not chosen:
        texts = [f"{axis}={glob}" for axis, globs in conditions.items() for glob in globs]
        values = {value for axis in conditions for action in actions for value in _reader(axis)(action)[:1]}
        raise UsageError(f"no cell matches {listing(texts)}", facts=[f"values: {listing(sorted(values))}"])
    return chosen


class _Known:
    """What names can mean: the outputs by cell, by path and by image. So many names take no more time than one each."""

    def __init__(self, actions: Sequence[Action], project: Project) -> None:
        self._actions, self._project = actions, project
        self._names = {action.name: action.output for action in actions}
        self._cells = {nfc(name): output for name, output in self._names.items()}
        self._paths = {nfc(action.output): action.output for action in actions}
        self._images: dict[tuple[str, str], list[Action]] = {}  # by spec and image
        for action in actions:
            declaration = action.declaration
            self._images.setdefault((declaration.spec.name, declaration.image_name), []).append(action)

    @cached_property
    def _bare(self) -> dict[str, list[str]]:
        """The outputs by the names of their cells as a shell hands them on, which takes quotes away."""
        found: dict[str, list[str]] = {}
        for cell, output in self._names.items():
            found.setdefault(_bare(nfc(cell)), []).append(output)
        return found

    def outputs(self, name: str) -> set[str]:
        """Return the output paths that a name means, at least one; raises UsageError if it means none."""
        if exact := self._names.get(name) or self._cells.get(nfc(name)):
            return {exact}
        found: set[str] = set()
        if name.endswith(".png"):
            out = f"{PurePosixPath(self._project.config.out)}/"
            paths = {path.removeprefix(out) for path in _paths(name, self._project)}
            found = {self._paths[path] for path in paths if path in self._paths}
        found = found or {action.output for action in self._matching(name)}
        if not found:
            bare = self._bare.get(_bare(nfc(name)), [])
            found = {*bare} if len(bare) == 1 else found
        if not found and parse_cell_name(name) is None:
            raise UsageError(f"not a cell's name: {name}", hint="write spec, spec/image or spec/image[axis=value,…]")
        if not found:
            raise _nothing(name, self._actions)
        return found

    def _matching(self, name: str) -> Iterator[Action]:
        """Yield the actions that a name matches, which may be the path of a spec, or hold globs."""
        if name.endswith(".toml"):
            project, paths = self._project, _paths(name, self._project)
            specs = {project.spec_name(path) for path in project.spec_paths() if nfc(project.shown(path)) in paths}
            if specs:
                yield from (it for (spec, _), some in self._images.items() if spec in specs for it in some)
                return
        parsed = parse_cell_name(name)
        if parsed is None:
            return
        whole, cell = parsed
        if (exact := self._images.get(_halves(whole))) and not cell:
            yield from exact
            return
        fits_spec, fits_image, fits_whole = (_any_of([glob]) for glob in (*_halves(whole), whole))
        labels = [(_reader(axis), _any_of([label])) for axis, label in cell.items()]
        for (spec, image), some in self._images.items():
            if fits_spec(spec) and fits_image(image):
                yield from (it for it in some if all(any(map(fits, of(it))) for of, fits in labels))
            elif not cell and fits_whole(
                spec
            ):  # `folder/spec`, the name of a spec in a subfolder, looks like `spec/image`
                yield from some


def _halves(whole: str) -> tuple[str, str]:
    """Return the globs of spec and image in the part of a name before the bracket."""
    spec, _, image = whole.rpartition("/") if "/" in whole else (whole, "", "*")
    return spec, image


def _paths(name: str, project: Project) -> set[str]:
    """Return the paths below the project's root that a path of the command line may mean.

    A path starts at the folder of `-C`, by default the working folder, or at the root, as messages print it.
    """
    start = project.searched[0].parent if project.searched else project.root
    places = [os.path.join(start, name), os.path.join(project.root, name)]
    with contextlib.suppress(ValueError):  # on Windows: a path on another drive
        return {nfc(PurePath(os.path.relpath(place, project.root)).as_posix()) for place in places}
    return set()


def _any_of(globs: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a value fits one of the globs, or is the same text."""
    exact = {*map(nfc, globs)}  # a value may itself contain characters such as * or [
    patterns = "|".join(translate(glob) for glob in exact if not _GLOB.isdisjoint(glob))
    matches = re.compile(patterns).match if patterns else None

    def fits(value: str) -> bool:
        value = nfc(value)
        return value in exact or bool(matches and matches(value))

    return fits


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
    if nfc(axis) not in {*map(nfc, known)}:
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
                return [label for name, label in action.cell.items() if name == axis or nfc(name) == nfc(axis)]

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
