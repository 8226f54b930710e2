"""The outline of a project for shell completion: images, axes and labels, without validation.

A spec that can't be read is left out. A data file is read only for the labels of its own axis. Nothing outside of the
project is read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from qwenbuild.errors import ProjectError, UsageError
from qwenbuild.files.paths import as_spelled
from qwenbuild.files.toml import TomlFile
from qwenbuild.problems import plain

from . import discovery, outside

_MOST_NUMBERS = 100  # the most numbers of one range that completion offers


class ImageOutline(NamedTuple):
    """An image as its spec writes it."""

    spec: str
    name: str
    table: Mapping[str, Any]  # of the image
    file: Mapping[str, Any]  # the whole spec
    config: Mapping[str, Any]  # the whole config
    folder: Path  # of the spec
    root: Path  # of the project

    @property
    def full_name(self) -> str:
        """The image's name with its spec, such as `puppies/poster`."""
        return f"{self.spec}/{self.name}"

    @property
    def matrix(self) -> Mapping[str, Any]:
        """The axes as written: shared ones that the image names, and its own; if it has none, those of its includes."""
        own, named = _table(self.table.get("matrix")), self.table.get("axes")
        shared = {**_table(self.config.get("axes")), **_table(self.file.get("axes"))}
        if not (own or named):
            return {axis: [] for cell in self._entries("include") for axis in cell}
        return {**{name: shared[name] for name in named if name in shared}, **own} if isinstance(named, list) else own

    def _entries(self, kind: str) -> list[Mapping[str, Any]]:
        """The entries of `include` or `only` as written."""
        written = self.table.get(kind)
        return [entry for entry in written if isinstance(entry, dict)] if isinstance(written, list) else []

    @property
    def tags(self) -> list[str]:
        """The tags as written."""
        written = self.table.get("tags")
        return [tag for tag in written if isinstance(tag, str)] if isinstance(written, list) else []

    def labels(self, axis: str) -> Iterator[str]:
        """Yield the labels that an axis or a request field can have; a mistake in the spec raises an error."""
        from . import rows
        from .axis_values import form, numbers, table_row

        only = self._entries("only")
        if only and all(axis in entry for entry in only):
            yield from dict.fromkeys(plain(entry[axis]) for entry in only)
            return
        written = self.matrix.get(axis, self.table.get(axis, self.file.get(axis)))
        is_of_config = axis not in _table(self.table.get("matrix")) and axis not in _table(self.file.get("axes"))
        folder = self.root if is_of_config else self.folder
        match form(written):
            case "file" if outside.is_inside(self.root, path := as_spelled(folder, written["file"])):
                yield from map(str, rows.read(path, written["file"], written.get("id")))
            case "range":
                values = numbers(written.get("start", 0), written["count"], written.get("step", 1))
                yield from map(str, values[:_MOST_NUMBERS])
            case "list":
                for number, value in enumerate(written, start=1):
                    yield str(table_row(value, number)) if isinstance(value, dict) else plain(value)
            case "value" if written is not None:
                yield plain(written)
        for cell in self._entries("include"):
            if axis in cell and not isinstance(cell[axis], dict):
                yield plain(cell[axis])


def profiles(start: Path) -> list[str]:
    """Return the names of the config's profiles; see `images`."""
    config = _config(start)
    return list(_table(_table(config.table).get("profiles"))) if config else []


def variables(start: Path) -> list[str]:
    """Return the names of the variables that the config, its profiles, specs and images declare; see `images`."""
    config = _config(start)
    if config is None:
        return []
    settings, found = _table(config.table), _images(config)
    places = [settings, *_table(settings.get("profiles")).values()]
    tables = [*(_table(it).get("defaults") for it in places), *(it.file for it in found), *(it.table for it in found)]
    return list(dict.fromkeys(name for table in tables for name in _table(_table(table).get("vars"))))


def _config(start: Path) -> discovery.ConfigFile | None:
    """Return the config of the project that the folder `start` belongs to; None if there is no project."""
    try:
        return discovery.find_config(start)
    except UsageError:
        return None


def images(start: Path) -> list[ImageOutline]:
    """Return the images of the project that the folder `start` belongs to, as far as specs can be read.

    The list is empty if there is no project. Raises ProjectError if its config is not TOML.
    """
    config = _config(start)
    return _images(config) if config else []


def _images(config: discovery.ConfigFile) -> list[ImageOutline]:
    root, settings = config.root, _table(config.table)
    glob = settings.get("specs", discovery.SPECS)
    if not isinstance(glob, str) or discovery.glob_fault(glob):
        return []
    found = []
    for path in discovery.spec_paths(root, glob):
        if not outside.is_inside(root, path):
            continue
        with contextlib.suppress(ProjectError):
            file = TomlFile.read(path, path.name).table
            spec = discovery.spec_name(root, glob, path)
            for name, table in _table(file.get("image")).items():
                found.append(ImageOutline(spec, name, _table(table), file, settings, path.parent, root))
    return found


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
