"""The lock: which bytes each output is made of, as a file that is committed beside the config.

One short record for each output, sorted by path, so that the difference of two locks is small and
two branches merge line by line. Where git could not merge, both sides can be read: each is a lock
of its own, and writing the lock anew resolves the conflict.

Invariants: what is read is valid (digests, paths below the output folder, each once); the file is
written only when it changes, and then as a whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from qwenbuild.digest import sha256
from qwenbuild.errors import OutputError
from qwenbuild.files import atomic
from qwenbuild.files.text import read_text

from .lock_format import _HEAD, BYTES_AT_ONCE, Pin, _as_written, _carefully, _pieces, _pins, _quickly, render

NAME = "qwenbuild.lock"
_CONFLICT = re.compile(r"^(<{7}|={7}|>{7}|\|{7})(?: |$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock as it was read: `pins` by path; where a merge left conflicts, `theirs` are those of the other side."""

    pins: Mapping[str, Pin] = field(default_factory=dict)
    theirs: Mapping[str, Pin] | None = None
    digest: str = field(default="", repr=False, compare=False)  # SHA-256 of the file's text, empty where there is none

    def without(self, paths: Collection[str]) -> Lock:
        """Return the lock less the pins of these outputs."""
        ours, theirs = (
            {path: pin for path, pin in (pins or {}).items() if path not in paths} for pins in (self.pins, self.theirs)
        )
        return Lock(ours, None if self.theirs is None else theirs)

    def pinned(self, path: str, key: str) -> Pin | None:
        """Return the pin of an output whose request has `key`; of two sides', ours where both have that key."""
        pin = self.pins.get(path)
        if self.theirs and not (pin and pin.key == key):
            pin = self.theirs.get(path)
        return pin if pin and pin.key == key else None


def read(path: Path, known: Lock | None = None, sound: Set[str] = frozenset(), *, shown: str = NAME) -> Lock:
    """Return the lock at `path`, an empty one where there is none; `known` while that is what the file says.

    `sound` are output paths that can all be, and be told apart. Messages name the file as `shown`.
    Raises ProjectError where it is no lock that this version can read.
    """
    if not os.path.lexists(path):
        return Lock()
    with contextlib.suppress(ValueError, OSError):  # what has another form, or can't be read, is looked at below
        if known and known.digest == _digest(_chunks(path)):
            return known
        return Lock(*_quickly(_pieces(_chunks(path)), sound))
    text = _as_written(read_text(path, shown))
    digest = sha256(text.encode())
    if "\n<<<<<<< " in text or text.startswith("<<<<<<< "):
        ours, theirs = _sides(text)
        return Lock(_pins(shown, ours, sound), _pins(shown, theirs, sound), digest)
    return Lock(_carefully(shown, text), digest=digest)


def counts(path: Path) -> Counter[str]:
    """Return how many outputs of each image the lock at `path` pins; raises what `read` does."""
    return Counter([pin.name.partition("[")[0] for pin in read(path).pins.values()])


def write(path: Path, pins: Iterable[Pin], staging: Path) -> bool:
    """Write the lock where it differs from the file; return whether it did. Raises OutputError.

    `staging` is a folder of the same file system for what is being written.
    """
    content = render(pins).encode()
    try:
        now = path.read_bytes().replace(b"\r\n", b"\n") if path.exists() else _HEAD.encode()
        if now == content:  # where nothing is pinned, no file needs to say so
            return False
        # A time to the nanosecond: an edit within the kernel's coarse tick still changes it (see `snapshot`).
        atomic.write(path, content, staging, mtime_ns=time.time_ns())
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror or error}") from error
    return True


def is_written(lock: Lock, pins: Iterable[Pin]) -> bool:
    """Whether `write` would leave the file that `lock` was read from alone."""
    return sha256(render(pins).encode()) == (lock.digest or sha256(_HEAD.encode()))


def _sides(text: str) -> tuple[str, str]:
    """Return our and their text of one that has the marks of a conflict; what both have in common is in both."""
    ours: list[str] = []
    theirs: list[str] = []
    into: Sequence[list[str]] = (ours, theirs)
    for line in text.splitlines(keepends=True):
        mark = line[:7] if _CONFLICT.match(line) else ""
        if not mark:
            for side in into:
                side.append(line)
        else:
            into = {"<<<<<<<": (ours,), "|||||||": (), "=======": (theirs,), ">>>>>>>": (ours, theirs)}[mark]
    return "".join(ours), "".join(theirs)


def _chunks(path: Path) -> Iterator[bytes]:
    """Give a file's text as it was written. Raises OSError, and ValueError for no regular file."""
    if not path.is_file():  # reading a pipe would wait for its writer
        raise ValueError
    with open(path, "rb") as file:
        content = file.read(BYTES_AT_ONCE).removeprefix(BOM_UTF8)
        while content:
            while content.endswith(b"\r") and (more := file.read(1)):  # half of a line break
                content += more
            yield content.replace(b"\r\n", b"\n")
            content = file.read(BYTES_AT_ONCE)


def _digest(chunks: Iterable[bytes]) -> str:
    hashed = hashlib.sha256()
    for chunk in chunks:
        hashed.update(chunk)
    return hashed.hexdigest()
