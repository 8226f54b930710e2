"""The no-op fast path: tells that nothing has changed since a build left nothing to do, importing nothing heavy.

A snapshot is the fingerprint of everything that build's verdict rests on: the command and its
folder, the environment, every file and folder that was read (links followed) or found missing,
the state's file, and every output. Where all agree, the slow path would find the same; where
anything differs, is unreadable or in doubt, `outputs_unchanged` returns None and the slow path decides.

In doubt is also an input so young that an edit within the clock's granularity could hide: then
no snapshot is written. Outputs can't hide edits: their times are set by `atomicfile` to values
that the kernel's coarse clock does not give.

The file holds NUL-separated texts, then native unsigned 64-bit numbers: four for each fingerprint.
It is parsed without trust; a torn or foreign file is no snapshot.
"""

from __future__ import annotations

import os
import sys

from .state_folder import BUILD_LOCK, FOLDER
from .version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NAME = os.path.join(FOLDER, "snapshot")

_MAGIC = f"qwenbuild snapshot 1 {__version__} {sys.version} {sys.prefix}"
_ENVIRON = ("QWENBUILD_", "DASHSCOPE_", "XDG_", "HOME", "LOCALAPPDATA", "PYTHON")
_LEFT_OUT = ("DASHSCOPE_API_KEY=", "QWENBUILD_REMOTE_")  # no verdict depends on it, and no file may hold it
_SETTLED_NS = 50_000_000  # several ticks of the coarsest kernel clock (10 ms)
_ABSENT = (0, 0, 0, 0)
_Folder = tuple[bytes, list[bytes], list[memoryview]]  # a folder, names in it, a column for each part of their marks
Expected = tuple[str, int, int, int]  # an output's name, size, modification time in ns, inode
_WORTH_A_FORK = 4000  # outputs; below, a second process costs more than it saves
_AT_FOLDER = os.stat in os.supports_dir_fd and os.open in os.supports_dir_fd


def outputs_unchanged(arguments: Sequence[str]) -> int | None:
    """Return how many outputs are up to date if `arguments` ran here before and nothing changed since, else None."""
    try:
        return _compare(arguments)
    except (OSError, ValueError, IndexError, TypeError):  # TypeError: a torn file's numbers don't come out even
        return None


def nothing_to_do(count: int, seconds: float) -> str:
    """Return the line that tells that all `count` outputs are up to date."""
    return f"nothing to do: {count:,} up to date in {max(seconds, 0.01):.2f} s\n"


def forget(root: str) -> None:
    """Remove the project's snapshot: what a build leaves in the state when it is killed must be looked at."""
    try:
        os.unlink(os.path.join(root, NAME))
    except OSError:
        return  # it was missing, or what it says is compared with the files all the same


def write(
    root: str,
    arguments: Sequence[str],
    inputs: Iterable[str],
    written: Iterable[str],
    outputs: Mapping[str, Sequence[Expected]],
    started_ns: int,
) -> None:
    """Write the project's snapshot, or none where anything is in doubt or can't be read or written.

    `inputs` are absolute paths of all that was read, listed or found missing since `started_ns`
    (`time.time_ns`), `written` those that the build itself wrote; `outputs` maps absolute folders
    to what is on record of the up-to-date outputs in them.
    """
    path = os.path.join(root, NAME)
    try:
        content = _content(arguments, list(written), sorted(set(inputs)), outputs, started_ns)
        if content is not None:
            with open(f"{path}.tmp", "wb") as file:
                file.write(content)
            os.replace(f"{path}.tmp", path)
    except (OSError, OverflowError, ValueError):
        return  # without a snapshot the next build takes the slow path


def _content(
    arguments: Sequence[str], own: list[str], paths: list[str], outputs: Mapping[str, Sequence[Expected]],
    started_ns: int,
) -> bytes | None:  # fmt: skip
    marks = [_fingerprint(path) for path in (*own, *paths)]
    if any(max(mark[1], mark[2]) > started_ns - _SETTLED_NS for mark in marks[len(own) :]):
        return None
    texts = [*_identity(arguments), str(len(marks)), *own, *paths]
    numbers = [number for mark in marks for number in mark]
    for folder, expected in outputs.items():
        found = [_mark(os.lstat(os.path.join(folder, it[0]))) for it in expected]
        if any((mark[0], mark[1], mark[3]) != it[1:] for mark, it in zip(found, expected, strict=True)):
            return None
        texts += [folder, str(len(expected)), *(it[0] for it in expected)]
        for column in zip(*found, strict=True):
            numbers += column
    head = os.fsencode("\0".join(texts))
    return len(head).to_bytes(8, sys.byteorder) + b"".join(it.to_bytes(8, sys.byteorder) for it in numbers) + head


def _identity(arguments: Sequence[str]) -> list[str]:
    environ = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith(_ENVIRON))
    environ = [text for text in environ if not text.startswith(_LEFT_OUT)]
    return [_MAGIC, os.getcwd(), str(len(arguments)), *arguments, str(len(environ)), *environ]


def _fingerprint(path: str | bytes) -> tuple[int, int, int, int]:
    """Return the mark of an input, zeros for what is missing."""
    try:
        return _mark(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return _ABSENT


def _mark(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return size, modification and change time, inode."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _compare(arguments: Sequence[str]) -> int | None:
    root, raw = _read()
    content = memoryview(raw)
    length = int.from_bytes(content[:8], sys.byteorder)
    numbers = content[8 : len(content) - length].cast("Q")
    texts = raw[len(raw) - length :].split(b"\0")
    identity = _identity(arguments)
    at = len(identity)
    if texts[:at] != [os.fsencode(text) for text in identity] or _busy(root):
        return None
    count = int(texts[at])
    used = 0
    for path in texts[at + 1 : at + 1 + count]:
        if _fingerprint(path) != tuple(numbers[used : used + 4]):
            return None
        used += 4
    at += 1 + count
    folders: list[_Folder] = []
    while at < len(texts):
        count = int(texts[at + 1])
        if count < 1:  # going on would never end
            return None
        columns = [numbers[used + part * count : used + (part + 1) * count] for part in range(4)]
        folders.append((texts[at], texts[at + 2 : at + 2 + count], columns))
        at, used = at + 2 + count, used + 4 * count
    return sum(len(names) for _, names, _ in folders) if _all_same(folders) else None


def _read() -> tuple[str, bytes]:
    """Return the nearest project with a snapshot, this folder or one above, and the snapshot's bytes."""
    folder = os.getcwd()
    while True:
        try:
            with open(os.path.join(folder, NAME), "rb") as file:
                return folder, file.read()
        except (FileNotFoundError, NotADirectoryError):
            parent = os.path.dirname(folder)
            if parent == folder:
                raise
            folder = parent


def _all_same(folders: Sequence[_Folder]) -> bool:
    """Whether all files have these fingerprints; asking the system about each is what takes time, so two cores ask."""
    if sum(len(names) for _, names, _ in folders) < _WORTH_A_FORK or not hasattr(os, "fork"):
        return all(_same(folder, names, columns) for folder, names, columns in folders)
    halves: list[list[_Folder]] = [[], []]
    for folder, names, columns in folders:
        middle = len(names) // 2
        halves[0].append((folder, names[:middle], [column[:middle] for column in columns]))
        halves[1].append((folder, names[middle:], [column[middle:] for column in columns]))
    child = os.fork()
    if not child:
        same = False
        try:
            same = all(_same(*it) for it in halves[1])
        finally:
            os._exit(0 if same else 1)
    same = False
    try:
        same = all(_same(*it) for it in halves[0])
    finally:
        _, status = os.waitpid(child, 0)
    return same and status == 0


def _same(folder: bytes, names: Sequence[bytes], columns: Sequence[memoryview]) -> bool:
    """Whether the files of one folder have these fingerprints."""
    stat = os.stat
    # Names relative to an open folder spare the system the look-up of each path.
    fd = os.open(folder, os.O_RDONLY) if _AT_FOLDER else None
    try:
        marks = zip(names, *[column.tolist() for column in columns], strict=True)
        for name, size, mtime_ns, ctime_ns, inode in marks:
            if fd is None:
                status = stat(os.path.join(folder, name), follow_symlinks=False)
            else:
                status = stat(name, dir_fd=fd, follow_symlinks=False)
            if (
                status.st_mtime_ns != mtime_ns
                or status.st_size != size
                or status.st_ctime_ns != ctime_ns
                or status.st_ino != inode
            ):
                return False
        return True
    finally:
        if fd is not None:
            os.close(fd)


def _busy(root: str) -> bool:
    """Whether a build of the project is running; the slow path then says so."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fd = os.open(os.path.join(root, FOLDER, BUILD_LOCK), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
