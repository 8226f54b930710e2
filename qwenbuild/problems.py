"""Problems: mistakes in the user's files, with their places, and as text for people."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(text: str, *, keep: str = "") -> str:
    """Return `text` with escapes such as `\\x1b` for control, bidi and unencodable characters.

    Characters in `keep` stay, such as the newlines of a paragraph.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        ch
        if ch in keep or (ch not in _BIDI and unicodedata.category(ch) not in ("Cc", "Cs", "Zl", "Zp"))
        else ch.encode("unicode_escape", "surrogatepass").decode("ascii")
        for ch in text
    )


def plain(value: object) -> str:
    """Return a value as TOML writes it, without quotes: `true`, `7`, `sunset`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to `name`, or None if none is similar."""
    if len(name) > _LONGEST_NAME:
        return None
    short = (each for each in known if len(each) <= _LONGEST_NAME)
    return _nearest(name, tuple(itertools.islice(short, _MOST_NAMES)))


# The time to compare two names grows with the product of their lengths.
_LONGEST_NAME = 100
_MOST_NAMES = 1000


@lru_cache(maxsize=64)  # a mistake in a template is found again for each cell
def _nearest(name: str, known: tuple[str, ...]) -> str | None:
    import difflib

    found = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return the hint `did you mean "…"?`, or None if no known name is similar."""
    near = nearest(name, known)
    return f'did you mean "{near}"?' if near is not None else None


def listing(names: Iterable[str], *, most: int = 12) -> str:
    """Return names as `a, b, c`; beyond `most` names, as `a, b, c and 2 more`."""
    all_names = list(names)
    shown = ", ".join(all_names[:most])
    return shown if len(all_names) <= most else f"{shown} and {len(all_names) - most} more"


@dataclass(frozen=True, slots=True)
class Place:
    """A span of a text file: `line` and `column` count from 1, `width` is in characters."""

    path: str
    line: int = 0  # 0: the whole file
    column: int = 1
    width: int = 1
    source: str = ""  # the text of that line, without its end

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path


_BESIDE = 60  # the longest label beside a caret, in characters
_LONGEST_TEXT = 2000  # characters of a claim, fact or hint: values of any length stand in them
_WIDEST = 100  # columns of a source line in a frame; prompts are often one long line


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the user's files: a claim, its place, facts, and a hint what to do.

    `name` names the entry that `qwenbuild explain-error` shows. Problems that say the same are equal.
    """

    claim: str
    place: Place | None = None
    label: str = ""  # shown beside the caret, such as what was expected
    facts: Sequence[str] = ()
    hint: str | None = None
    name: str = field(default="", compare=False)

    def __str__(self) -> str:
        """Return the problem as a compiler prints it, without colour."""
        return "\n".join(text for _, text in self.lines())

    def lines(self) -> list[tuple[str, str]]:
        """Return (role, text) for each line; roles: error, place, gutter, source, caret, fact, hint."""
        out = [("error", "error: " + _shown(self.claim))]
        place = self.place
        gutter = " " * len(str(place.line)) if place and place.line else " "
        framed = place is not None and place.line > 0 and place.source != ""
        beside = framed and len(self.label) <= _BESIDE  # a longer label becomes a fact
        if place:
            out.append(("place", f"{gutter}--> {_shown(str(place))}"))
        if place and framed:
            # Tabs become one space so that the caret stays under its text.
            text, at = _window(place.source.replace("\t", " "), place.column - 1)
            source = visible(text)
            before = columns(visible(text[:at]))
            span = text[at : at + place.width]
            carets = "^" * max(1, columns(visible(span)))
            label = f" {visible(self.label)}" if beside and self.label else ""
            out.append(("gutter", f"{gutter} |"))
            out.append(("source", f"{place.line} | {source}"))
            out.append(("caret", f"{gutter} | {' ' * before}{carets}{label}"))
        facts = self.facts if beside or not self.label else (self.label, *self.facts)
        out += [("fact", f"{gutter} = {_shown(fact)}") for fact in facts]
        if self.hint:
            out.append(("hint", f"{gutter} = hint: {_shown(self.hint)}"))
        return out


def _shown(text: str) -> str:
    """Return `text` without control characters, and without what is beyond `_LONGEST_TEXT`."""
    over = len(text) - _LONGEST_TEXT
    return visible(text) if over <= 0 else f"{visible(text[:_LONGEST_TEXT])}… and {over:,} more characters"


def _window(text: str, at: int) -> tuple[str, int]:
    """Return the part of a long line around position `at`, and that position within the part."""
    wide = columns(text)
    if wide <= _WIDEST:
        return text, at
    length = _WIDEST * len(text) // wide
    start = max(0, min(at - length // 3, len(text) - length))
    part = text[start : start + length]
    before, after = "…" if start else "", "…" if start + length < len(text) else ""
    return f"{before}{part}{after}", at - start + len(before)


def columns(text: str) -> int:
    """Return the number of terminal columns that `text` takes."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.category(ch) in ("Mn", "Me", "Cf")  # marks, joiners, variation selectors
        else 2
        if unicodedata.east_asian_width(ch) in "WF"
        else 1
        for ch in text
    )
