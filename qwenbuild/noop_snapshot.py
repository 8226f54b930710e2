"""The snapshot of a build that left nothing to do: the file's format, and whether the project is still like that.

The snapshot holds the environment, the command lines whose builds have nothing to do, and a fingerprint and a digest of
each file and folder that the verdicts depend on. These are the inputs (links followed), the inputs that were missing,
the state, and the outputs. `engine.snapshot` writes it. This module loads nothing heavy.

The kernel's clock is coarse: an input that was just saved could change again without a new time. So no snapshot is
written for inputs that are very young. Outputs are safe, because they are written with times that the coarse clock
never gives (`mtime_ns` in `files.atomic`).

Format of the file: the lengths of the texts and of the cells, and the CRC-32 of both (8 bytes each); four native
unsigned 64-bit numbers for each fingerprint; 32 bytes for each digest; NUL-separated texts; the NUL-separated cells.
The parser trusts nothing: it raises one of `DAMAGE` for a torn or foreign file.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from itertools import islice
from zlib import crc32

from .state_folder import FOLDER
from .version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    import hashlib
    from collections.abc import Iterable, Iterator, Sequence

NAME = os.path.join(FOLDER, "snapshot")
SETTLED_NS = 50_000_000
"""Several ticks of the coarsest kernel clock (10 ms). A younger input may change without a new time."""

DAMAGE = (OSError, ValueError, IndexError, TypeError, StopIteration)  # TypeError: a file may end within a number
ABSENT = (0, 0, 0, 0)
NO_DIGEST = bytes(32)
Fingerprint = tuple[int, int, int, int]
"""Size, modification time in ns, change time in ns, inode."""

_MAGIC = f"qwenbuild snapshot 2 {__version__} {sys.version} {sys.prefix}"
_ENVIRON = ("QWENBUILD_", "DASHSCOPE_", "XDG_", "HOME", "LOCALAPPDATA", "PYTHON")
_LEFT_OUT = ("DASHSCOPE_API_KEY=", "QWENBUILD_REMOTE_")  # secrets: no verdict depends on them, no file may hold them
_Folder = tuple[bytes, list[bytes], list[memoryview]]  # a folder, its files' names, a column per fingerprint number
_MOST_BYTES = 1 << 29  # of a snapshot: a million outputs need half of it
_MOST_ANSWERS = 20
_HEAD = 24  # bytes before the numbers
_PIECE = 1 << 20
NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # opening a pipe does not wait for its writer
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_WORTH_A_FORK = 4000  # outputs; for fewer, a second process costs more time than it saves
_AT_FOLDER = os.stat in os.supports_dir_fd and os.open in os.supports_dir_fd


class Snapshot:
    """The content of a snapshot. `answers` are texts of `noop`, `json` the parts of what `--json` prints.

    Paths below the project are relative, so that a snapshot is valid in another folder, too.
    """

    __slots__ = ("_length", "_raw", "answers", "digests", "folders", "inputs", "json", "numbers", "root")

    def __init__(self, root: str, raw: bytes) -> None:
        """Parse the bytes of the snapshot of the project at `root`. Raises one of `DAMAGE`."""
        content = memoryview(raw)
        length, self._length, checksum = (int.from_bytes(content[at : at + 8], sys.byteorder) for at in (0, 8, 16))
        end = len(raw) - self._length
        if length > end or crc32(content[end - length :]) != checksum:
            raise ValueError
        self.root, self._raw = root, raw
        texts = iter(raw[end - length : end].split(b"\0"))
        identity = [os.fsencode(text) for text in _identity()]
        if list(islice(texts, len(identity))) != identity:
            raise ValueError
        self.answers, self.json, self.inputs = _counted(texts), _counted(texts), _counted(texts)
        self.folders = [(folder, _counted(texts)) for folder in texts]
        count = len(self.inputs) + sum([len(names) for _, names in self.folders])
        if _HEAD + 64 * count + length != end:
            raise ValueError
        self.numbers = content[_HEAD : _HEAD + 32 * count].cast("Q")
        self.digests = content[_HEAD + 32 * count : _HEAD + 64 * count]

    @property
    def cells(self) -> bytes:
        """The name and the path of each output of the whole project, in the order of the plan."""
        return self._raw[len(self._raw) - self._length :]

    def holds(self) -> bool:
        """Whether all inputs and outputs have the recorded fingerprints."""
        used = 0
        for path in self.inputs:
            if input_fingerprint(self._path(path)) != tuple(self.numbers[used : used + 4]):
                return False
            used += 4
        return _all_same(self._columns())

    def content_holds(self) -> bool:
        """Whether all inputs and outputs have the recorded content. If so, the file gets their present fingerprints."""
        begun_ns, is_settled, number = time.time_ns(), True, 0
        present: list[int] = []
        for relative in self.inputs:
            path = self._path(relative)
            found = input_fingerprint(path)
            recorded = tuple(self.numbers[4 * number : 4 * number + 4])
            # A link that leads out of the project needs the user's approval, whatever it leads to.
            is_other = ABSENT in (found, recorded) or self._is_linked(relative)
            if found != recorded and (is_other or input_digest(path) != self._digest(number)):
                return False
            is_settled &= max(found[1], found[2]) <= begun_ns - SETTLED_NS
            present += found
            number += 1
        for folder, names, columns in self._columns():
            prints = []
            for name, *numbers in zip(names, *columns, strict=True):
                path = os.path.join(folder, name)
                found = fingerprint(os.lstat(path))
                if found != tuple(numbers) and output_digest(path) != self._digest(number):
                    return False
                prints.append(found)
                number += 1
            for column in zip(*prints, strict=True):
                present += column
        if is_settled:
            packed = _packed(present)
            save(self.root, self._raw[:_HEAD] + packed + self._raw[_HEAD + len(packed) :])
        return True

    def with_answer(self, answer: bytes) -> bytes:
        """Return the bytes of this snapshot with another answer. Only the last ones are kept."""
        answers = [*self.answers, answer][-_MOST_ANSWERS:]
        return pack(self.numbers, [bytes(self.digests)], answers, self.json, self.inputs, self.folders, self.cells)

    def _columns(self) -> list[_Folder]:
        """Return the outputs' folders, names, and fingerprints."""
        found, used = list[_Folder](), 4 * len(self.inputs)
        for folder, names in self.folders:
            count = len(names)
            columns = [self.numbers[used + part * count : used + (part + 1) * count] for part in range(4)]
            found.append((self._path(folder), names, columns))
            used += 4 * count
        return found

    def _path(self, path: bytes) -> bytes:
        return os.path.join(os.fsencode(self.root), path)

    def _is_linked(self, path: bytes) -> bool:
        """Whether there is a link on the way from the project's root to a path in the project."""
        there = os.path.join(os.path.realpath(os.fsencode(self.root)), path)
        return not os.path.isabs(path) and os.path.realpath(there) != os.path.normpath(there)

    def _digest(self, number: int) -> memoryview:
        return self.digests[32 * number : 32 * number + 32]


def read(root: str) -> Snapshot:
    """Return the snapshot of the project at `root`. Raises one of `DAMAGE`, FileNotFoundError if there is none."""
    return Snapshot(root, _regular(os.path.join(root, NAME)))


def pack(
    numbers: Iterable[int], digests: Iterable[bytes], answers: Sequence[bytes], json: Sequence[bytes],
    inputs: Sequence[bytes], folders: Iterable[tuple[bytes, Sequence[bytes]]], cells: bytes,
) -> bytes:  # fmt: skip
    """Return the bytes of a snapshot; see `Snapshot` for its parts."""
    texts = [os.fsencode(text) for text in _identity()]
    for some in (answers, json, inputs):
        texts += [str(len(some)).encode(), *some]
    for folder, names in folders:
        texts += [folder, str(len(names)).encode(), *names]
    end = b"\0".join(texts)
    head = (len(end), len(cells), crc32(cells, crc32(end)))
    return b"".join([_packed(head), _packed(numbers), *digests, end, cells])


def save(root: str, content: bytes) -> None:
    """Write the snapshot of the project at `root`. Raises OSError."""
    path = os.path.join(root, NAME)
    temporary = f"{path}.tmp"
    _remove(temporary)  # left by a crash, or a stranger's link to another file
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
    with open(fd, "wb") as file:
        file.write(content)
    os.replace(temporary, path)


def forget(root: str) -> None:
    """Remove the project's snapshot.

    A build with work to do calls this first. If that build is killed, the next one takes the slow path.
    """
    _remove(os.path.join(root, NAME))  # if it can't be removed, the next build compares it with the files as usual


def input_fingerprint(path: str | bytes) -> Fingerprint:
    """Return the fingerprint of an input; zeros if the input is missing."""
    try:
        return fingerprint(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT


def fingerprint(status: os.stat_result) -> Fingerprint:
    """Return the fingerprint in a file's status."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def input_digest(path: str | bytes) -> bytes:
    """Return the digest of an input: of a file's bytes, or of the names in a folder; zeros if the input is missing.

    It is BLAKE2b, which takes half the time of SHA-256: the state and the data files can have many megabytes.
    """
    from hashlib import blake2b

    digest = blake2b(digest_size=len(NO_DIGEST))
    try:
        if not stat.S_ISDIR(os.stat(path).st_mode):
            return _digested(path, 0, digest)
    except (FileNotFoundError, NotADirectoryError):
        return NO_DIGEST
    with os.scandir(os.fsencode(path)) as entries:
        digest.update(b"\0".join(sorted([entry.name + b"/" * entry.is_dir() for entry in entries])))
    return digest.digest()


def output_digest(path: str | bytes) -> bytes:
    """Return the SHA-256 of an output. Raises OSError, ValueError if it is no regular file."""
    from hashlib import sha256

    return _digested(path, NO_LINK, sha256())


def _digested(path: str | bytes, flags: int, digest: hashlib._Hash | hashlib.blake2b) -> bytes:
    fd = _opened(path, flags)
    try:
        while piece := os.read(fd, _PIECE):
            digest.update(piece)
    finally:
        os.close(fd)
    return digest.digest()


def _packed(numbers: Iterable[int]) -> bytes:
    from array import array

    return array("Q", numbers).tobytes()


def _counted(texts: Iterator[bytes]) -> list[bytes]:
    """Return the texts behind a number, as many as it says."""
    return list(islice(texts, int(next(texts))))


def _identity() -> list[str]:
    """Return the texts that must be equal: version, Python and environment."""
    environ = sorted([f"{name}={value}" for name, value in os.environ.items() if name.startswith(_ENVIRON)])
    environ = [text for text in environ if not text.startswith(_LEFT_OUT)]
    return [_MAGIC, str(len(environ)), *environ]


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return  # mostly because it is missing


def _regular(path: str) -> bytes:
    """Return the bytes of a regular file, as `files.regular.read` does: a link to a device has no end."""
    fd = _opened(path, 0)
    try:
        size = os.fstat(fd).st_size
        if size > _MOST_BYTES:
            raise ValueError
        return os.read(fd, size)
    finally:
        os.close(fd)


def _opened(path: str | bytes, flags: int) -> int:
    """Open a regular file for reading. Raises OSError, ValueError."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError
    fd = os.open(path, os.O_RDONLY | NO_WAIT | _BINARY | flags)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ValueError
    return fd


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
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | NO_WAIT) if _AT_FOLDER else None
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
