"""Tells when files that a reading of the project rests on are saved, made or deleted, and of no others.

Folders are followed rather than files: editors save by writing a new file and renaming it. The
folders above, up to the project's root, are followed too, so that one that is deleted and made
again, or made at last, is noticed. Saves that come within 50 ms of each other are one.
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
from pathlib import Path

from watchfiles import Change, awatch

from qwenbuild.errors import UsageError
from qwenbuild.specs.project import Project

_ATTEMPTS = 5  # to follow folders while others are deleting them
_UNHEARD = 1_000  # changes that concern no basis yet: a reading that is under way may come to rest on these files


@dataclass(frozen=True, slots=True)
class Basis:
    """What a reading rests on, as paths: `files`, there or not; folders that were `listed` for specs.

    `followed` are the folders in which changes to these show. The folder of each path is free of
    links and `..`: the system tells of a folder by one name only, however many it is followed by.
    """

    files: frozenset[str]
    listed: frozenset[str]
    followed: frozenset[str]
    pattern: str  # of the names of specs
    is_deep: bool  # whether specs lie in folders of folders

    @classmethod
    def of(cls, project: Project, inputs: Iterable[Path]) -> Basis:
        """Return the basis of a reading of `project` that depended on `inputs`."""
        files, followed = set[str](), set[str]()
        root = str(project.root)
        real = cache(os.path.realpath)  # most inputs share their folders
        paths = {path for each in map(str, inputs) for path in (each, real(each))}
        for path in paths.union(*(_above(path, root) for path in paths)):
            files |= names(path, real)
            if os.path.isdir(path):
                followed.add(real(path))
        listed = {os.path.realpath(folder) for folder in project.spec_folders()}
        folder, _, pattern = project.config.specs.rpartition("/")
        return cls(frozenset(files), frozenset(listed), frozenset(followed), pattern, bool(set("*?[") & set(folder)))

    def concerns(self, change: Change, path: str) -> bool:
        """Whether a change to `path` may change what a reading comes to."""
        if path in self.files:
            return change is not Change.modified or path not in self.followed
        folder, name = os.path.split(path)
        if folder not in self.listed:
            return False
        return (fnmatchcase(name, self.pattern) and name[0] != ".") or (self.is_deep and os.path.isdir(path))


def names(path: str, real: Callable[[str], str] = os.path.realpath) -> set[str]:
    """Return by which names the system tells of a path: that of what a link leads to, and that of the link."""
    folder, name = os.path.split(path)
    return {real(path), os.path.join(real(folder), name)}


def _above(path: str, root: str) -> Iterator[str]:
    """Give the folders above `path` up to `root`; of a path outside, the nearest one that is there."""
    folder = os.path.dirname(path)
    inside = os.path.commonpath([root, path]) == root
    while inside and len(folder) >= len(root):
        yield folder
        folder = os.path.dirname(folder)
    if not inside:
        while not os.path.isdir(folder) and folder != os.path.dirname(folder):
            folder = os.path.dirname(folder)
        yield folder


class Saves:
    """Follows a basis within an event loop; `tell` gets the paths of each burst of saves."""

    def __init__(self, tell: Callable[[frozenset[str]], None]) -> None:
        self._tell = tell
        self._basis: Basis | None = None
        self._followed: frozenset[str] = frozenset()
        self._unheard = deque[tuple[Change, str]](maxlen=_UNHEARD)  # since the basis was last set
        self._task: asyncio.Task[None] | None = None

    async def follow(self, basis: Basis) -> bool:
        """Follow `basis` from now on; return whether saves that concern it may have been missed so far.

        Raises UsageError where the system follows no more folders.
        """
        self._basis = basis
        was_missed = any(basis.concerns(change, path) for change, path in self._unheard)
        self._unheard.clear()
        if basis.followed <= self._followed:
            return was_missed
        previous = self._task
        for attempt in range(_ATTEMPTS):
            folders = frozenset(filter(os.path.isdir, basis.followed))
            self._task = asyncio.create_task(self._run(folders))
            await asyncio.sleep(0)  # the task's first step registers with the system
            if not self._task.done():
                break
            error = self._task.exception()
            if attempt + 1 == _ATTEMPTS or not isinstance(error, FileNotFoundError):
                hint = "the system limits how many folders are followed (on Linux: fs.inotify.max_user_watches)"
                raise UsageError(f"saves can't be noticed: {error}", hint=hint) from error
        self._followed = folders
        await _end(previous)
        return True

    async def close(self) -> None:
        """Follow nothing more."""
        await _end(self._task)

    async def _run(self, folders: frozenset[str]) -> None:
        async for changes in awatch(*folders, watch_filter=self._concerns, recursive=False, debounce=1600, step=50):
            paths = frozenset(path for _, path in changes)
            # A folder that was deleted is followed no more, even where one of its name is there again.
            self._followed -= paths
            self._tell(paths)

    def _concerns(self, change: Change, path: str) -> bool:
        if self._basis is not None and self._basis.concerns(change, path):
            return True
        self._unheard.append((change, path))
        return False


async def _end(task: asyncio.Task[None] | None) -> None:
    if task:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
