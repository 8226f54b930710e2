"""Quoted texts: the texts in quotes that a prompt asks the model to write into the image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

LETTER = r"[^\W\d_\u2e80-\u9fff\uac00-\ud7a3]"
"""A regular expression: a letter of a script that puts spaces between words."""

_PAIRS = (("“", "”"), ("「", "」"), ("『", "』"), ("《", "》"), ("«", "»"), ("„", "“”"), ("＂", "＂"))
_QUOTED = re.compile(
    f"(?=[{''.join(a for a, _ in _PAIRS)}\"‘'])(?:"  # most positions are passed over by one comparison
    + "|".join(f"{a}([^{a}{b}]+)[{b}]" for a, b in _PAIRS)
    + rf'|(?<![0-9])(?<!{LETTER})"([^"]+)"'  # not after a digit: 5" is inches
    # Single quotes are also apostrophes, so those inside a word are not quotes.
    + rf"|(?<!{LETTER})‘([^‘’]+(?:’{LETTER}[^‘’]*)*)’(?!{LETTER})"
    + rf"|(?<!{LETTER})'([^\s'][^']*(?:'{LETTER}[^']*)*)'(?!{LETTER}))"
)


class Quoted(NamedTuple):
    """A quoted text: its place in the prompt with its quotes, and its words with single spaces between them."""

    start: int
    end: int
    words: str


def find(prompt: str) -> Iterator[Quoted]:
    """Yield the quoted texts of a prompt in their order."""
    for match in _QUOTED.finditer(prompt):
        if words := " ".join(next(group for group in match.groups() if group).split()):
            yield Quoted(match.start(), match.end(), words)
