"""The snapshot of a build that left nothing to do: the file's format, and whether the project is still like that.

The snapshot holds the environment, the command lines whose builds have nothing to do, and a fingerprint and a digest of
each file and folder that the verdicts depend on (see `noop_files`). These are the inputs (links followed), the inputs
that were missing, the state, and the outputs. `engine.snapshot` writes it. This module loads nothing heavy.

The kernel's clock is coarse: an input that was just saved could change again without a new time. So no snapshot is
written for inputs that are very young. Outputs are safe, because they are written with times that the coarse clock
never gives (`mtime_ns` in `files.atomic`).

Format of the file: the lengths of the texts and of the cells, and the CRC-32 of both (8 bytes each); the fingerprints
as native unsigned 64-bit numbers, four for each input, and for each folder of outputs three columns; 32 bytes for each
digest; NUL-separated texts; the NUL-separated cells.
The parser trusts nothing: it raises one of `DAMAGE` for a torn or foreign file.
"""

from __future__ import annotations

import os
import sys
import time
from itertools import islice
from zlib import crc32

from .noop_files import (
    ABSENT,
    BINARY,
    Folder,
    all_same,
    input_digest,
    input_print,
    opened,
    output_digest,
    output_print,
)
from .state_folder import FOLDER
from .version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

NAME = os.path.join(FOLDER, "snapshot")
SETTLED_NS = 50_000_000
"""Several ticks of the coarsest kernel clock (10 ms). A younger input may change without a new time."""

DAMAGE = (OSError, ValueError, IndexError, TypeError, StopIteration)  # TypeError: a file may end within a number
_MAGIC = f"qwenbuild snapshot 5 {__version__} {sys.version} {sys.prefix}"
_ENVIRON = ("QWENBUILD_", "DASHSCOPE_", "XDG_", "HOME", "LOCALAPPDATA", "PYTHON")
_LEFT_OUT = ("DASHSCOPE_API_KEY=", "QWENBUILD_REMOTE_")  # secrets: no verdict depends on them, no file may hold them
_MOST_BYTES = 1 << 29  # of a snapshot: a million outputs need half of it
_MOST_ANSWERS = 20
_HEAD = 24  # bytes before the numbers


class Snapshot:
    """The content of a snapshot. `answers` are texts of `noop`, `json` the parts of what `build --json` prints.

    `status` is what `status` shows of the whole project: the text that `status --json` prints; when the last build
    started (seconds since 1970) and how its outputs ended, both empty without a build; each image's name and number.
    Paths below the project are relative, so that a snapshot is valid in another folder, too.
    """

    __slots__ = ("_length", "_raw", "answers", "digests", "folders", "inputs", "json", "numbers", "root", "status")

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
        self.answers, self.json, self.status, self.inputs = [_counted(texts) for _ in range(4)]
        self.folders = [(folder, _counted(texts)) for folder in texts]
        inputs, outputs = len(self.inputs), sum([len(names) for _, names in self.folders])
        middle = _HEAD + 32 * inputs + 24 * outputs
        if middle + 32 * (inputs + outputs) + length != end:
            raise ValueError
        self.numbers = content[_HEAD:middle].cast("Q")
        self.digests = content[middle : end - length]

    @property
    def cells(self) -> bytes:
        """The name and the path of each output of the whole project, in the order of the plan."""
        return self._raw[len(self._raw) - self._length :]

    def holds(self, ignored: bytes = b"") -> bool:
        """Whether all inputs and outputs have the recorded fingerprints. The input `ignored` may have any other."""
        used = 0
        for path in self.inputs:
            if path != ignored and input_print(self._path(path)) != tuple(self.numbers[used : used + 4]):
                return False
            used += 4
        return all_same(self._columns())

    def content_holds(self, ignored: bytes = b"") -> bool:
        """Whether all inputs and outputs have the recorded content. If so, the file gets their present fingerprints.

        The input `ignored` may have any other content; then its record stays.
        """
        begun_ns, is_settled, number = time.time_ns(), True, 0
        present: list[int] = []
        for relative in self.inputs:
            path = self._path(relative)
            recorded = tuple(self.numbers[4 * number : 4 * number + 4])
            found = recorded if relative == ignored else input_print(path)
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
                now = output_print(path)
                if now != tuple(numbers) and output_digest(path) != self._digest(number):
                    return False
                prints.append(now)
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
        parts = answers, self.json, self.status, self.inputs
        return pack(self.numbers, [bytes(self.digests)], parts, self.folders, self.cells)

    def _columns(self) -> list[Folder]:
        """Return the outputs' folders, names, and fingerprints."""
        found, used = list[Folder](), 4 * len(self.inputs)
        for folder, names in self.folders:
            count = len(names)
            columns = [self.numbers[used + part * count : used + (part + 1) * count].tolist() for part in range(3)]
            found.append((self._path(folder), names, columns))
            used += 3 * count
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
    numbers: Iterable[int], digests: Iterable[bytes], parts: Iterable[Sequence[bytes]],
    folders: Iterable[tuple[bytes, Sequence[bytes]]], cells: bytes,
) -> bytes:  # fmt: skip
    """Return the bytes of a snapshot. `parts` are answers, json, status and inputs; see `Snapshot` for all."""
    texts = [os.fsencode(text) for text in _identity()]
    for some in parts:
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
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o666)
    with open(fd, "wb") as file:
        file.write(content)
    os.replace(temporary, path)


def forget(root: str) -> None:
    """Remove the project's snapshot.

    A build with work to do calls this first. If that build is killed, the next one takes the slow path.
    """
    _remove(os.path.join(root, NAME))  # if it can't be removed, the next build compares it with the files as usual


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
    fd = opened(path, 0)
    try:
        size = os.fstat(fd).st_size
        if size > _MOST_BYTES:
            raise ValueError
        return os.read(fd, size)
    finally:
        os.close(fd)
