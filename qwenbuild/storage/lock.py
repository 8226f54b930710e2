"""The lock: the committed file that pins each output to its bytes.

It has one short record per output, sorted by path. So the diff of two locks is small, and git can merge
two branches line by line. If git leaves a conflict, each side of it is read as a separate lock. The
next write of the lock resolves the conflict.

Invariants: every pin that is read is valid (digests, paths below the output folder, no path twice).
The file is written only if its content changes, and always as a whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from qwenbuild.digest import sha256
from qwenbuild.errors import OutputError
from qwenbuild.files import atomic, regular
from qwenbuild.files.text import read_text
from qwenbuild.state_folder import LOCK

from .lock_format import CHUNK_BYTES, HEAD, Pin, parse, parse_any_toml, parse_rendered, render, unix_lines

NAME = LOCK
_MAX_BYTES = 1 << 30  # pins of four million outputs
_CONFLICT = re.compile(r"^(<{7}|={7}|>{7}|\|{7})(?: |$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file's content: `pins` by path. If a merge left conflicts, `theirs` are the pins of the other side.

    `others` are the pins of outputs that another profile made, or none if there is one now. They stay as long as the
    present profile does not declare their paths.
    """

    pins: Mapping[str, Pin] = field(default_factory=dict)
    theirs: Mapping[str, Pin] | None = None
    others: Mapping[str, Pin] = field(default_factory=dict, repr=False)
    digest: str = field(default="", repr=False, compare=False)  # SHA-256 of the file's text, empty if there is no file

    @property
    def every(self) -> Mapping[str, Pin]:
        """The pins of both sides by path; of two for one path, ours."""
        return {**self.theirs, **self.pins} if self.theirs else self.pins

    def without(self, paths: Collection[str]) -> Lock:
        """Return the lock without the pins of these outputs."""
        ours, theirs = (
            {path: pin for path, pin in (pins or {}).items() if path not in paths} for pins in (self.pins, self.theirs)
        )
        others = {path: pin for path, pin in self.others.items() if path not in paths}
        return Lock(ours, None if self.theirs is None else theirs, others)

    def left(self, declared: Collection[str]) -> dict[str, Pin]:
        """Return the pins that no profile declares any more, by path; `declared` are the present profile's paths."""
        return {path: pin for path, pin in self.pins.items() if path not in declared and path not in self.others}

    def under(self, profile: str, profiles: Collection[str]) -> Lock:
        """Return the lock for the present profile, empty for none; `profiles` are those that the config declares."""
        if not (known := {"", *profiles} - {profile}):
            return self
        others = {path: pin for path, pin in self.every.items() if pin.profile in known}
        return replace(self, others=others) if others or self.others else self

    def pinned(self, path: str, key: str) -> Pin | None:
        """Return the pin of an output if its request has `key`. If both sides of a conflict match, ours wins."""
        pin = self.pins.get(path)
        if self.theirs and not (pin and pin.key == key):
            pin = self.theirs.get(path)
        return pin if pin and pin.key == key else None


def read(path: Path, known: Lock | None = None, *, shown: str = NAME) -> Lock:
    """Return the lock at `path`, an empty one if there is no file.

    `known` is the result of an earlier call; it is returned if the text of the file is the same. Messages name the file
    as `shown`. Raises ProjectError if the file is not a lock that this version can read.
    """
    if not os.path.lexists(path):
        return Lock()
    with contextlib.suppress(ValueError, OSError):  # the slower code below reads any TOML and reports mistakes
        if known and known.digest == _digest(_chunks(path)):
            return known
        pins, digest = parse_rendered(_chunks(path))
        return Lock(pins, digest=digest)
    text = unix_lines(read_text(path, shown))
    digest = sha256(text.encode())
    if "\n<<<<<<< " in text or text.startswith("<<<<<<< "):
        ours, theirs = _sides(text)
        return Lock(parse(ours, shown), parse(theirs, shown), digest=digest)
    return Lock(parse_any_toml(text, shown), digest=digest)


def counts(path: Path) -> Counter[str]:
    """Return the number of pinned outputs of each image (`spec/image`); raises what `read` raises."""
    return Counter([pin.name.partition("[")[0] for pin in read(path).pins.values()])


def write(path: Path, pins: Iterable[Pin], staging: Path) -> bool:
    """Write the lock if it differs from the file; return whether it was written. Raises OutputError.

    `staging` is a folder on the same file system, for the temporary file.
    """
    content = render(pins).encode()
    try:
        present = _present(path)
        if present == content:  # a lock without pins needs no file
            return False
        # The kernel stamps files with a coarse clock. This time is finer, so the next edit has another
        # time, even within the same tick of that clock, and `noop` notices the edit.
        atomic.write(path, content, staging, mtime_ns=time.time_ns())
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror or error}", name="output-unwritable") from error
    return True


def is_written(lock: Lock, pins: Iterable[Pin]) -> bool:
    """Whether the file that `lock` was read from holds exactly these pins, so that `write` would not change it."""
    return sha256(render(pins).encode()) == (lock.digest or sha256(HEAD.encode()))


def _sides(text: str) -> tuple[str, str]:
    """Return our text and their text of a file with conflict marks. Both have the lines outside conflicts."""
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


def _present(path: Path) -> bytes:
    """Return the text of the file with `\\n` line breaks; that of a lock without pins if there is none."""
    try:
        return regular.read(path, _MAX_BYTES).replace(b"\r\n", b"\n")
    except FileNotFoundError:
        return HEAD.encode()


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield the file's text with `\\n` line breaks. Raises OSError."""
    held = b""  # a chunk may end inside a line break
    for number, piece in enumerate(regular.pieces(path, _MAX_BYTES, CHUNK_BYTES)):
        content = held + (piece if number else piece.removeprefix(BOM_UTF8))
        held = b"\r" if content.endswith(b"\r") else b""
        yield content.removesuffix(b"\r").replace(b"\r\n", b"\n")
    if held:
        yield held


def _digest(chunks: Iterable[bytes]) -> str:
    hashed = hashlib.sha256()
    for chunk in chunks:
        hashed.update(chunk)
    return hashed.hexdigest()
