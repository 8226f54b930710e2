"""Text files: reads files, and finds lines and tokens in texts."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from qwenbuild.errors import ProjectError
from qwenbuild.problems import Place, Problem

from . import regular


def read_text(path: Path, shown: str, most_bytes: int = regular.MAX_TEXT_BYTES) -> str:
    """Return the UTF-8 text of the file `path`, without a byte-order mark. Messages name the file as `shown`.

    Raises ProjectError if the file is missing, unreadable, not a regular file, larger than `most_bytes`, or not UTF-8.
    """
    try:
        content = regular.read(path, most_bytes)
    except FileNotFoundError:
        raise ProjectError([Problem(f"no such file: {shown}", name="no-such-file")]) from None
    except IsADirectoryError:
        raise ProjectError([Problem(f"{shown} is a folder; a file was expected", name="file-unreadable")]) from None
    except regular.NotRegular:
        raise ProjectError(
            [Problem(f"{shown} is not a regular file; a file was expected", name="file-unreadable")]
        ) from None
    except regular.TooLarge as error:
        hint = "split the file; a text file holds no images"
        raise ProjectError(
            [Problem(f"{shown} is too large: {error.strerror}", hint=hint, name="file-too-large")]
        ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ProjectError([Problem(f"{shown} can't be read: {reason}", name="file-unreadable")]) from error
    hint = "save the file as UTF-8"
    if path.suffix.lower() == ".csv":
        hint += '; Excel calls that "CSV UTF-8"'
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # Windows writes it; its frame would be unreadable
        raise ProjectError([Problem(f"{shown} is UTF-16, not UTF-8", hint=hint, name="not-utf8")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        bad = content.split(b"\n")[line - 1].decode("utf-8", "replace").rstrip("\r")
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        place = Place(shown, line, column, 1, bad)
        claim = f"{shown} is not UTF-8: byte 0x{content[error.start]:02x}"
        raise ProjectError([Problem(claim, place, hint=hint, name="not-utf8")]) from None


def nfc(text: str) -> str:
    """Return a text in Unicode's form NFC, which nearly all texts have. macOS names files in another form."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def line_of(text: str, number: int) -> str:
    """Return line `number` (from 1) of `text` without its line end; empty if there is no such line."""
    lines = _lines(text)
    return lines[number - 1].rstrip("\r") if 1 <= number <= len(lines) else ""


def lines_from(text: str, number: int) -> Iterator[str]:
    """Return the lines of `text` from line `number` (from 1) on."""
    return itertools.islice(_lines(text), number - 1, None)


@lru_cache(maxsize=4)  # one file may have thousands of problems
def _lines(text: str) -> Sequence[str]:
    return text.split("\n")


def find_token(shown: str, number: int, source: str, token: str, offset: int = 0) -> Place | None:
    """Return the place of `token` in a line, from `offset` on; None if the line does not contain it.

    A whole word is preferred to a part of a word.
    """
    if not token:
        return None
    word = re.search(rf"(?<!\w){re.escape(token)}(?!\w)", source[offset:])
    at = word.start() if word else source[offset:].find(token)
    return Place(shown, number, offset + at + 1, len(token), source) if at >= 0 else None


def whole_line(shown: str, number: int, source: str) -> Place:
    """Return the place of a whole line, without the white space at its ends."""
    indent = len(source) - len(source.lstrip())
    return Place(shown, number, indent + 1, max(1, len(source.rstrip()) - indent), source)
