"""A model of a disk that loses power: what a recorded sequence of calls may leave, according to POSIX.

The rules, the strictest that a file system may have:
- Bytes of a file are safe after `fsync` or `fdatasync` of the file. Before, all or a part of them may be lost.
- A name is safe after `fsync` of its folder. Before, each change of a name may be on the disk, in any order.
- A rename between two folders is two names: a new one, and a removed one.
- `syncfs` makes everything safe.

ALICE (Pillai et al., OSDI 2014) and CrashMonkey test applications and file systems with such models.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .injector import Call

FOLDER: Final = None
"""Stands for a folder in a state of the disk."""

State = Mapping[str, bytes | None]
"""The content of each file by path, FOLDER for a folder. All parents are there."""


@dataclass(eq=False)
class _File:
    """A file, or a folder. `synced` are the bytes that are safe."""

    is_folder: bool = False
    written: bytearray = field(default_factory=bytearray)
    synced: bytes = b""

    def content(self, kept: float) -> bytes:
        """Return what is left if of the unsynced bytes only the part `kept` (0 to 1) reached the disk."""
        if kept == 1 or self.written == self.synced:
            return bytes(self.written)
        if not self.written.startswith(self.synced):  # written over, or cut
            return self.synced if not kept else bytes(self.written[: int(len(self.written) * kept)])
        return bytes(self.written[: len(self.synced) + int((len(self.written) - len(self.synced)) * kept)])


@dataclass(frozen=True, slots=True)
class _Change:
    """A name that is not safe yet: `path` names `file` now, or nothing."""

    path: str
    file: _File | None


class Disk:
    """The files below `folders`, changed by recorded calls."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._now: dict[str, _File] = {}
        self._safe: dict[str, _File] = {}
        self._changes: list[_Change] = []
        for top in folders:
            self._safe |= {str(parent): _File(is_folder=True) for parent in (top, *top.parents)}
            for path in top.rglob("*") if top.exists() else ():
                content = b"" if path.is_dir() else path.read_bytes()
                self._safe[str(path)] = _File(path.is_dir(), bytearray(content), content)
        self._now.update(self._safe)

    def do(self, call: Call) -> None:
        """Apply a call. Calls that failed, and calls on sockets, change nothing."""
        if not call.is_ok or call.path.endswith(" (deleted)"):
            return
        file = self._now.get(call.path)
        match call.name:
            case "create":
                self._name(call.path, _File())
            case "mkdir":
                self._name(call.path, _File(is_folder=True))
            case "opentrunc" if file:
                file.written.clear()
            case "write" | "pwrite" if file:
                file.written.extend(bytes(max(0, call.offset - len(file.written))))
                file.written[call.offset : call.offset + len(call.data)] = call.data
            case "ftruncate" if file:
                del file.written[call.offset :]
                file.written.extend(bytes(call.offset - len(file.written)))
            case "fsync" | "fdatasync" if file:
                self._sync(call.path, file)
            case "syncfs":
                for path, one in [*self._now.items()]:
                    self._sync(path, one)
            case "rename":
                moved = self._now[call.path]
                self._name(call.second, moved)
                self._name(call.path, None)
            case "link" if file:
                self._name(call.second, file)
            case "unlink" | "rmdir":
                self._name(call.path, None)

    def _name(self, path: str, file: _File | None) -> None:
        self._changes.append(_Change(path, file))
        if file is None:
            self._now.pop(path, None)
        else:
            self._now[path] = file

    def _sync(self, path: str, file: _File) -> None:
        file.synced = bytes(file.written)
        if file.is_folder:
            done = [change for change in self._changes if os.path.dirname(change.path) == path]
            self._changes = [change for change in self._changes if change not in done]
            _apply(self._safe, done)

    # --- after the power cut ---

    @property
    def everything(self) -> State:
        """Everything that was written and named, as if it had been synced."""
        return _state(self._now, 1)

    @property
    def least(self) -> State:
        """Only what is safe."""
        return _state(self._safe, 0)

    def states(self, shared: Collection[str] = ()) -> Iterator[State]:
        """Yield states that a power cut may leave now.

        Of the names that are not safe, all, none, each one alone, and all except each one have reached the disk; of the
        bytes all, none, or a half. Names in the folders `shared` reach the disk together, to keep the number small.
        """
        groups = [[change] for change in self._changes if os.path.dirname(change.path) not in shared]
        groups.append([change for change in self._changes if os.path.dirname(change.path) in shared])
        chosen = [groups, [], *([group] for group in groups)]
        chosen += [[group for group in groups if group is not left] for left in groups]
        for some in chosen:
            names = dict(self._safe)
            kept = {id(change) for group in some for change in group}
            _apply(names, [change for change in self._changes if id(change) in kept])
            for part in (1, 0.5, 0):
                yield _state(names, part)


def _apply(names: dict[str, _File], changes: Iterable[_Change]) -> None:
    for change in changes:
        if change.file is None:
            names.pop(change.path, None)
        else:
            names[change.path] = change.file


def _state(names: Mapping[str, _File], kept: float) -> State:
    found: dict[str, bytes | None] = {}
    for path, file in sorted(names.items()):  # parents first
        parent = os.path.dirname(path)
        if path == parent or found.get(parent, b"") is FOLDER:
            found[path] = FOLDER if file.is_folder else file.content(kept)
    return found


def write(state: State, top: Path) -> None:
    """Make the folder `top` as the state has it."""
    shutil.rmtree(top, ignore_errors=True)
    for path, content in state.items():
        if Path(path) == top or top in Path(path).parents:
            if content is FOLDER:
                os.mkdir(path)
            else:
                Path(path).write_bytes(content)
