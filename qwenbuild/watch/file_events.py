"""File events: reports when a file that the project was read from is saved, created or deleted.

The deletion of an image is reported, too. Other files are not reported. The operating system watches folders, not
files, because editors save by writing a new file and renaming it. The folders above, up to the project's root, are
watched too, so that a folder is noticed when it is deleted and created again. Events within 50 ms of each other are
reported together.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePath

from watchfiles import Change, awatch

from qwenbuild.errors import UsageError
from qwenbuild.specs.project import Project

_ATTEMPTS = 5  # to watch folders while another program deletes them
_MOST_FOLDERS = 1_000  # of images: the system watches only so many
_UNREPORTED = 1_000  # events kept although they concern no input yet: the reading in progress may depend on their files


@dataclass(frozen=True, slots=True)
class Inputs:
    """The paths that one reading of the project depends on.

    `files`: the paths, whether they exist or not. `listed`: the folders that were searched for specs. `folders`:
    the folders to watch, so that every change to the files and the listed folders is noticed. The folder of each
    path has no symbolic links and no `..`, because the system reports each folder under one name only.
    """

    files: frozenset[str]
    listed: frozenset[str]
    folders: frozenset[str]
    pattern: str  # of the names of specs
    is_deep: bool  # True if the glob of specs goes into sub-folders

    @classmethod
    def of(cls, project: Project, paths: Iterable[Path]) -> Inputs:
        """Return the inputs of a reading of `project` that depended on `paths`."""
        files, folders = set[str](), set[str]()
        root = str(project.root)
        real = cache(os.path.realpath)  # most inputs share their folders
        found = {path for each in map(str, paths) for path in (each, real(each))}
        for path in found.union(*(_above(path, root) for path in found)):
            files |= reported_names(path, real)
            if os.path.isdir(path):
                folders.add(real(path))
        listed = {os.path.realpath(folder) for folder in project.spec_folders()}
        folder, _, pattern = project.config.specs.rpartition("/")
        return cls(frozenset(files), frozenset(listed), frozenset(folders), pattern, bool(set("*?[") & set(folder)))

    def concerns(self, change: Change, path: str) -> bool:
        """Return True if a change to `path` may change the result of the reading."""
        if path in self.files:
            return change is not Change.modified or path not in self.folders
        folder, name = os.path.split(path)
        if folder not in self.listed:
            return False
        return (fnmatchcase(name, self.pattern) and name[0] != ".") or (self.is_deep and os.path.isdir(path))


@dataclass(frozen=True, slots=True)
class Images:
    """The images that a plan has in `out/`: their paths, and the folders to watch, so that deletions are noticed."""

    paths: frozenset[str]  # of the images and their folders
    folders: frozenset[str]

    @classmethod
    def of(cls, project: Project, outputs: Iterable[str]) -> Images:
        """Return the images of a plan; `outputs` are their paths below `out/`."""
        names: dict[str, list[str]] = {}
        for output in outputs:
            folder, _, name = output.rpartition("/")
            names.setdefault(folder, []).append(name)
        real = cache(os.path.realpath)
        above = {real(project.out / it) for folder in names for it in (folder, *map(str, PurePath(folder).parents))}
        images = {os.path.join(real(project.out / folder), name) for folder, some in names.items() for name in some}
        there = filter(os.path.isdir, above) if len(above) <= _MOST_FOLDERS else ()
        return cls(frozenset(images | above), frozenset(there))

    def concerns(self, change: Change, path: str) -> bool:
        """Return True if the change is the deletion of an image or of a folder of images."""
        return change is Change.deleted and path in self.paths and not os.path.lexists(path)


def reported_names(path: str, real: Callable[[str], str] = os.path.realpath) -> set[str]:
    """Return the names under which the system reports a path: its own, and that of the file it links to."""
    folder, name = os.path.split(path)
    return {real(path), os.path.join(real(folder), name)}


def _above(path: str, root: str) -> Iterator[str]:
    """Yield the folders above `path` up to `root`. For a path outside `root`: the nearest folder that exists."""
    folder = os.path.dirname(path)
    inside = os.path.commonpath([root, path]) == root
    while inside and len(folder) >= len(root):
        yield folder
        folder = os.path.dirname(folder)
    if not inside:
        while not os.path.isdir(folder) and folder != os.path.dirname(folder):
            folder = os.path.dirname(folder)
        yield folder


class FileEvents:
    """Watches inputs within an event loop; calls `report` with the paths of each burst of changes."""

    def __init__(self, report: Callable[[frozenset[str]], None]) -> None:
        self._report = report
        self._inputs: Inputs | Images | None = None
        self._folders: frozenset[str] = frozenset()
        self._unreported = deque[tuple[Change, str]](maxlen=_UNREPORTED)  # since `_inputs` was last set
        self._task: asyncio.Task[None] | None = None

    async def follow(self, inputs: Inputs | Images) -> bool:
        """Watch `inputs` from now on. Return True if changes to them may have been missed until now.

        Raises UsageError if the system refuses to watch more folders.
        """
        self._inputs = inputs
        was_missed = any(inputs.concerns(change, path) for change, path in self._unreported)
        self._unreported.clear()
        if inputs.folders <= self._folders:
            return was_missed
        previous = self._task
        for attempt in range(_ATTEMPTS):
            folders = frozenset(filter(os.path.isdir, inputs.folders))
            self._task = asyncio.create_task(self._run(folders))
            await asyncio.sleep(0)  # the task's first step registers the folders with the system
            if not self._task.done():
                break
            error = self._task.exception()
            if attempt + 1 == _ATTEMPTS or not isinstance(error, FileNotFoundError):
                hint = "the system limits how many folders can be watched (on Linux: fs.inotify.max_user_watches)"
                raise UsageError(
                    f"the project's folders can't be watched: {error}", hint=hint, name="too-many-watches"
                ) from error
        self._folders = folders
        await _end(previous)
        return True

    async def close(self) -> None:
        """Stop watching."""
        await _end(self._task)

    async def _run(self, folders: frozenset[str]) -> None:
        async for changes in awatch(*folders, watch_filter=self._concerns, recursive=False, debounce=1600, step=50):
            self._report(frozenset(path for _, path in changes))

    def _concerns(self, change: Change, path: str) -> bool:
        """Return True if the change is to be reported; called for every change in a watched folder."""
        if change is not Change.modified:
            self._folders -= {path}  # the system watches neither a deleted folder nor a new folder of the same name
        if self._inputs is not None and self._inputs.concerns(change, path):
            return True
        self._unreported.append((change, path))
        return False


async def _end(task: asyncio.Task[None] | None) -> None:
    if task:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
