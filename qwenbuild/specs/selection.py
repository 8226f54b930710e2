"""Selection: the actions that names, paths, tags, `axis=glob` conditions and shards choose."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import PurePath, PurePosixPath

from qwenbuild.errors import UsageError
from qwenbuild.files.text import nfc
from qwenbuild.options import Options
from qwenbuild.problems import did_you_mean, listing

from . import absence
from .action import Action
from .cell_names import parse_cell_name
from .conditions import any_of, narrowed, reader
from .project import Project


def select(actions: Sequence[Action], options: Options, project: Project) -> list[Action]:
    """Return the actions that the options choose, in the order of `actions`.

    These match any of the names, have an image with any of the tags, fit the conditions (see `conditions`), and match
    none of the names that are excluded. A name is `spec`, `spec/image`, a cell's name, or the path of a spec or an
    output. A cell's name as messages print it means this cell only. All other names except paths may be globs. Raises
    UsageError for a name that matches nothing, for an unknown tag, and if no action is left.
    """
    chosen = list(actions)
    known = _Known(actions, project) if options.select or options.exclude else None
    if known and options.select:
        outputs = {output for name in options.select for output in known.outputs(name)}
        chosen = [action for action in actions if action.output in outputs]
    if options.tags:
        chosen = _tagged(chosen, options.tags, actions)
    chosen = narrowed(chosen, options.where, actions)
    if known and options.exclude:
        outputs = {output for name in options.exclude for output in known.outputs(name)}
        chosen = [action for action in chosen if action.output not in outputs]
        if not chosen:
            raise UsageError(
                f"no cell is left: --exclude {listing(options.exclude)} leaves out all that are selected",
                name="no-cell-left",
            )
    return chosen


def _tagged(chosen: Iterable[Action], tags: Iterable[str], actions: Iterable[Action]) -> list[Action]:
    """Return the chosen actions whose image has one of the tags."""
    images = {id(action.declaration): action.declaration.image for action in actions}
    known = {nfc(tag): tag for image in images.values() for tag in image.tags}
    wanted = {*map(nfc, tags)}
    for tag in tags:
        if nfc(tag) not in known:
            facts = [f"tags: {listing(sorted(known.values()))}"] if known else []
            hint = did_you_mean(tag, known.values()) or ("" if known else 'images get them by tags = ["web"]')
            raise UsageError(f'no image has the tag "{tag}"', facts=facts, hint=hint or None, name="unknown-cell")
    of = {at: not wanted.isdisjoint(map(nfc, image.tags)) for at, image in images.items()}
    found = [action for action in chosen if of[id(action.declaration)]]
    if not found:
        raise UsageError(f"no selected cell has the tag {listing(tags)}", name="no-cell-left")
    return found


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
            found = {self._paths[path] for path in self._below_out(name) if path in self._paths}
        found = found or {action.output for action in self._matching(name)}
        if not found:
            bare = self._bare.get(_bare(nfc(name)), [])
            found = {*bare} if len(bare) == 1 else found
        if not found and parse_cell_name(name) is None:
            raise UsageError(
                f"not a cell's name: {name}",
                hint="write spec, spec/image or spec/image[axis=value,…]",
                name="unknown-cell",
            )
        if not found:
            raise self._left_out(name) or _nothing(name, self._actions)
        return found

    def _left_out(self, name: str) -> UsageError | None:
        """Return the error for a name of cells that `exclude` or `only` leaves out; None for another name."""
        images = [some[0].declaration for some in self._images.values()]
        if name.endswith(".png") and (error := absence.of_paths(name, images, self._below_out(name), self._project)):
            return error
        whole, cell = parse_cell_name(name) or ("", {})
        spec, image = (any_of([glob]) for glob in _halves(whole))
        named = [it for it in images if spec(it.spec.name) and image(it.image_name)] if cell else []
        return absence.of_cells(name, named, cell, self._project)

    def _below_out(self, name: str) -> set[str]:
        """Return the paths below the output folder that a path of the command line may mean."""
        out = f"{PurePosixPath(self._project.config.out)}/"
        return {path.removeprefix(out) for path in _paths(name, self._project)}

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
        fits_spec, fits_image, fits_whole = (any_of([glob]) for glob in (*_halves(whole), whole))
        labels = [(reader(axis), any_of([label])) for axis, label in cell.items()]
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


def _bare(name: str) -> str:
    return name.replace('"', "").replace("\\", "")


def _nothing(text: str, actions: Sequence[Action]) -> UsageError:
    images = dict.fromkeys(action.declaration.name for action in actions)
    specs = dict.fromkeys(action.declaration.spec.name for action in actions)
    cells = [action.name if "[" in text else action.output for action in actions[:1000]]
    known = cells if "[" in text else [*images, *specs, *cells]
    hint = did_you_mean(text, known)
    if "=" in text and "[" not in text:
        hint = f"-w {shlex.quote(text)} selects by the values of an axis"
    return UsageError(
        f'nothing is named "{text}"', facts=[f"images: {listing(images)}"], hint=hint, name="unknown-cell"
    )


def shard(actions: Iterable[Action], number: int, of: int) -> list[Action]:
    """Return the actions of shard `number` (from 1) of `of`. Each action is in exactly one shard.

    The request alone decides the shard. So actions with one request share a shard, and machines agree even if their
    stores and locks know older keys of the request. Raises UsageError if there is no such shard.
    """
    if not 1 <= number <= of:
        raise UsageError(f"there is no shard {number}/{of}", hint="1/4 is the first of four", name="wrong-command-line")
    return [action for action in actions if int(action.request.key, 16) % of == number - 1]
