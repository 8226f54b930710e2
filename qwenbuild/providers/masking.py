"""Masking: hides the API key in answers, errors and log lines, in whatever form a server echoes it.

A proxy, a gateway or a debugging server may send a request back, with its headers, as JSON in JSON, percent-encoded, as
HTML, in hex or in base64. A key that is split over several texts is not found.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any, Final

MASK: Final = "***"
_ESCAPES: Final = frozenset("%\\&\0")
_SHORTEST_CODE: Final = 8  # characters of hex or base64; a shorter text may stand there by chance


class Mask:
    """Hides one API key."""

    def __init__(self, key: str) -> None:
        self._key = key.lower()
        self._escaped = re.compile(r"\0{0,3}".join(map(_character, key)))
        self._encoded = re.compile("|".join(_codes(key)) or r"(?!)")

    def text(self, text: str) -> str:
        """Return the text with `***` in place of the key."""
        if self._key in text.lower() or not _ESCAPES.isdisjoint(text):
            text = self._escaped.sub(MASK, text)
        return self._encoded.sub(MASK, text)

    def json(self, value: Any) -> Any:
        """Return decoded JSON with `***` in place of the key, in names and in values. May raise RecursionError."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.json(one) for one in value]
        if isinstance(value, dict):
            return {self.text(name): self.json(one) for name, one in value.items()}
        return value

    def __repr__(self) -> str:
        return "Mask(***)"


# In the patterns, repetitions have limits and codes begin with a character: so the search takes no time to speak of.


def _character(one: str) -> str:
    """Return a pattern for a character as it is, in any case, and as JSON, URLs, Python and HTML escape it.

    NUL may follow: it stands between the characters of an answer in UTF-16 that was read as UTF-8.
    """
    code, number = _any_case(f"{ord(one):02x}"), ord(one)
    html = rf"&(?:amp;)?#(?:0{{0,6}}{number}|[xX]0{{0,6}}{code});"
    return rf"(?:{_any_case(one)}|%(?:25){{0,3}}{code}|\\{{1,4}}[uU]0{{0,6}}{code}|\\{{1,4}}x{code}|{html})"


def _codes(key: str) -> Iterator[str]:
    """Yield patterns for the key in hex and in base64."""
    if len(key) * 2 >= _SHORTEST_CODE:
        yield r"[\s:]{0,2}".join(_any_case(f"{ord(one):02x}") for one in key)
    for before in range(3):  # bytes before the key, as in `Bearer KEY`
        code = base64.b64encode(bytes(before) + key.encode()).decode()
        own = code[-(-8 * before // 6) : 8 * (before + len(key)) // 6]  # the characters that depend on the key alone
        if len(own) >= _SHORTEST_CODE:
            yield r"\s{0,2}".join(map(_base64_character, own)) + r"[A-Za-z0-9+/_=-]{0,4}"


def _any_case(text: str) -> str:
    return "".join(f"[{one.lower()}{one.upper()}]" if one.isalpha() else re.escape(one) for one in text)


def _base64_character(one: str) -> str:
    """Return a pattern for a character of base64, in both alphabets, also percent-encoded."""
    return {"+": r"(?:[+-]|%2[bB])", "/": r"(?:[/_]|%2[fF]|\\/)"}.get(one, one)
