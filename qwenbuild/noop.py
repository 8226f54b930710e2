"""The no-op fast path: detects, without heavy imports, that a build has nothing to do.

A build after which everything is up to date writes a snapshot. The snapshot holds the command line, the working folder,
the environment, and a fingerprint of each file and folder that the verdicts depend on. These are the inputs (links
followed), the inputs that were missing, the state, and the outputs.

If all of this is unchanged, the slow path would also find nothing to do. If anything differs, can't be read, or is
uncertain, `outputs_unchanged` returns None and the slow path decides.

The kernel's clock is coarse: an input that was just saved could change again without a new time. So no snapshot is
written for inputs that are very young. Outputs are safe, because they are written with times that the coarse clock
never gives (`mtime_ns` in `files.atomic`).

Format of the file: the length of the texts (8 bytes), four native unsigned 64-bit numbers for each fingerprint, then
NUL-separated texts. The parser trusts nothing; it ignores a torn or foreign file.
"""

from __future__ import annotations

import os
import stat
import sys

from .state_folder import BUILD_LOCK, FOLDER
from .version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NAME = os.path.join(FOLDER, "snapshot")

_MAGIC = f"qwenbuild snapshot 1 {__version__} {sys.version} {sys.prefix}"
_ENVIRON = ("QWENBUILD_", "DASHSCOPE_", "XDG_", "HOME", "LOCALAPPDATA", "PYTHON")
_LEFT_OUT = ("DASHSCOPE_API_KEY=", "QWENBUILD_REMOTE_")  # secrets: no verdict depends on them, no file may hold them
_SETTLED_NS = 50_000_000  # several ticks of the coarsest kernel clock (10 ms)
_ABSENT = (0, 0, 0, 0)
_Fingerprint = tuple[int, int, int, int]  # size, modification time in ns, change time in ns, inode
_Folder = tuple[bytes, list[bytes], list[memoryview]]  # a folder, its files' names, a column per fingerprint number
Expected = tuple[str, int, int, int]
"""An output's name, size, modification time in ns, and inode."""
_MOST_BYTES = 1 << 28  # of a snapshot: a million outputs need half of it
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # opening a pipe does not wait for its writer
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_WORTH_A_FORK = 4000  # outputs; for fewer, a second process costs more time than it saves
_AT_FOLDER = os.stat in os.supports_dir_fd and os.open in os.supports_dir_fd


def outputs_unchanged(arguments: Sequence[str]) -> int | None:
    """Return the number of up-to-date outputs if nothing has changed since `arguments` ran here, else None."""
    try:
        return _compare(arguments)
    except (
        OSError,
        ValueError,
        IndexError,
        TypeError,
    ):  # TypeError: a torn file may end within a number
        return None


def nothing_to_do(count: int, seconds: float) -> str:
    """Return the line that a no-op build prints."""
    return f"nothing to do: {count:,} up to date in {max(seconds, 0.01):.2f} s\n"


def forget(root: str) -> None:
    """Remove the project's snapshot.

    A build with work to do calls this first. If that build is killed, the next one takes the slow path.
    """
    _remove(os.path.join(root, NAME))  # if it can't be removed, the next build compares it with the files as usual


def write(
    root: str,
    arguments: Sequence[str],
    inputs: Iterable[str],
    written: Iterable[str],
    outputs: Mapping[str, Sequence[Expected]],
    started_ns: int,
) -> None:
    """Write the project's snapshot; write none if anything is uncertain, or can't be read or written.

    `inputs` are the absolute paths that were read, listed or found missing since `started_ns` (nanoseconds since the
    epoch). `written` are the inputs that the build itself wrote. `outputs` maps absolute folders to the recorded facts
    of their up-to-date outputs.
    """
    path = os.path.join(root, NAME)
    try:
        content = _content(arguments, list(written), sorted(set(inputs)), outputs, started_ns)
        if content is not None:
            _save(path, content)
    except (OSError, OverflowError, ValueError):
        return  # without a snapshot the next build takes the slow path


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return  # mostly because it is missing


def _save(path: str, content: bytes) -> None:
    temporary = f"{path}.tmp"
    _remove(temporary)  # left by a crash, or a stranger's link to another file
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
    with open(fd, "wb") as file:
        file.write(content)
    os.replace(temporary, path)


def _content(
    arguments: Sequence[str], own: list[str], paths: list[str], outputs: Mapping[str, Sequence[Expected]],
    started_ns: int,
) -> bytes | None:  # fmt: skip
    """Return the bytes of a snapshot, or None if an input is too young or an output is not as recorded."""
    prints = [_input_fingerprint(path) for path in (*own, *paths)]
    if any(max(mtime_ns, ctime_ns) > started_ns - _SETTLED_NS for _, mtime_ns, ctime_ns, _ in prints[len(own) :]):
        return None
    texts = [*_identity(arguments), str(len(prints)), *own, *paths]
    numbers = [number for fingerprint in prints for number in fingerprint]
    for folder, expected in outputs.items():
        names = [name for name, *_ in expected]
        present = [_fingerprint(os.lstat(os.path.join(folder, name))) for name in names]
        if [(size, mtime_ns, inode) for size, mtime_ns, _, inode in present] != [recorded[1:] for recorded in expected]:
            return None
        texts += [folder, str(len(expected)), *names]
        for column in zip(*present, strict=True):
            numbers += column
    end = os.fsencode("\0".join(texts))
    packed = b"".join(number.to_bytes(8, sys.byteorder) for number in numbers)
    return len(end).to_bytes(8, sys.byteorder) + packed + end


def _identity(arguments: Sequence[str]) -> list[str]:
    """Return the texts that must be equal: version, Python, folder, command line and environment."""
    environ = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith(_ENVIRON))
    environ = [text for text in environ if not text.startswith(_LEFT_OUT)]
    return [_MAGIC, os.getcwd(), str(len(arguments)), *arguments, str(len(environ)), *environ]


def _input_fingerprint(path: str | bytes) -> _Fingerprint:
    """Return the fingerprint of an input; zeros if the input is missing."""
    try:
        return _fingerprint(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return _ABSENT


def _fingerprint(status: os.stat_result) -> _Fingerprint:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _compare(arguments: Sequence[str]) -> int | None:
    """Return the number of outputs if everything is as in the nearest snapshot, else None."""
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
        if _input_fingerprint(path) != tuple(numbers[used : used + 4]):
            return None
        used += 4
    at += 1 + count
    folders: list[_Folder] = []
    while at < len(texts):
        count = int(texts[at + 1])
        if count < 1:  # a damaged file could keep this loop running for ever
            return None
        columns = [numbers[used + part * count : used + (part + 1) * count] for part in range(4)]
        folders.append((texts[at], texts[at + 2 : at + 2 + count], columns))
        at, used = at + 2 + count, used + 4 * count
    return sum(len(names) for _, names, _ in folders) if _all_same(folders) else None


def _read() -> tuple[str, bytes]:
    """Return the nearest folder with a snapshot, from the working folder upwards, and the snapshot's bytes."""
    folder = os.getcwd()
    while True:
        try:
            return folder, _regular(os.path.join(folder, NAME))
        except (FileNotFoundError, NotADirectoryError):
            parent = os.path.dirname(folder)
            if parent == folder:
                raise
            folder = parent


def _regular(path: str) -> bytes:
    """Return the bytes of a regular file, as `files.regular.read` does: a link to a device has no end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError
    fd = os.open(path, os.O_RDONLY | _NO_WAIT | _BINARY)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            raise ValueError
        return os.read(fd, status.st_size)
    finally:
        os.close(fd)


def _all_same(folders: Sequence[_Folder]) -> bool:
    """Whether all files have these fingerprints. System calls take most of the time, so two processes share them."""
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
            same = all(_same(folder, names, columns) for folder, names, columns in halves[1])
        finally:
            os._exit(0 if same else 1)
    same = False
    try:
        same = all(_same(folder, names, columns) for folder, names, columns in halves[0])
    finally:
        _, status = os.waitpid(child, 0)
    return same and status == 0


def _same(folder: bytes, names: Sequence[bytes], columns: Sequence[memoryview]) -> bool:
    """Whether the files of one folder have these fingerprints."""
    stat = os.stat
    # With names relative to an open folder, the system need not look up each whole path.
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _NO_WAIT) if _AT_FOLDER else None
    try:
        expected = zip(names, *[column.tolist() for column in columns], strict=True)
        for name, size, mtime_ns, ctime_ns, inode in expected:
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
    """Whether a build of the project is running. Then the slow path reports it."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fd = os.open(os.path.join(root, FOLDER, BUILD_LOCK), os.O_RDWR | _NO_LINK | _NO_WAIT)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
