"""Mutations: valid texts and bytes, with pieces cut out, repeated, and replaced by what parsers find hard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

NUMBERS = [
    "0", "-1", "1", "2147483647", "2147483648", "9223372036854775807", "9223372036854775808", "9" * 400, "9" * 5000,
    "0x" + "f" * 4000, "0b1", "1e308", "1e999", "-0.0", "inf", "-inf", "nan", "1_000", "00", "1.", "true",
    "2026-02-30",
    "2026-02-10T10:00:00Z",
]  # fmt: skip
WORDS = [
    "", " ", ".", "..", "../x", "/etc/passwd", "C:/x", "CON", "com¹", "a.", "a ", "Ⅷ", "VIII", "ﬁ", "fi", "é",
    "e\u0301",
    "ß", "İ", "\u200b", "\u202e", "\ufeff", "\u3164", "\u0345", "\u2028", "\u0000", "\x1b[31m", "\x7f", "𝕳",
    "👩‍👩‍👧", "一起来玩球吧！",
    "</script><script>", "<!--", "]]>", "&amp;", "'", '"', '"""', "'''", "\\", "\\u0000", "\\ud800", "{{", "}}",
    "{%", "%}",
    "{#", "#}", "${x}", "%s", "x" * 300, "x" * 5000, "prompt", "self", "true", "id", "__class__", "size", "1:1",
    "16:9",
]  # fmt: skip
SIGNS = [
    "[",
    "]",
    "{",
    "}",
    "[[",
    "]]",
    "=",
    ",",
    ".",
    ":",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "#",
    "-",
    "a.b.c",
    "a." * 150,
    "[" * 150,
]


@st.composite
def mutated(draw: st.DrawFn, bases: Sequence[str], pieces: Sequence[str] = (*NUMBERS, *WORDS, *SIGNS)) -> str:
    """Draw one of the texts with up to six edits."""
    text: str = draw(st.sampled_from(bases))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(text)))
        length = draw(st.sampled_from([0, 0, 1, 2, 5, 20, 100]))
        part = text[at : at + length]
        match draw(st.integers(0, 4)):
            case 0:
                new = ""
            case 1:
                new = part * draw(st.sampled_from([2, 3, 50]))
            case 2:  # replaces the rest of a line
                end = text.find("\n", at)
                part, new = text[at : end if end >= 0 else None], draw(st.sampled_from(pieces))
            case 3:
                new = draw(st.text(max_size=8))
            case _:
                new = draw(st.sampled_from(pieces))
        text = text[:at] + new + text[at + len(part) :]
    return text


@st.composite
def mutated_bytes(draw: st.DrawFn, base: bytes) -> bytes:
    """Draw the bytes with up to six edits."""
    content = base
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from([0, 1, 1, 4, 12, 100]))
        new = draw(st.binary(max_size=12) | st.sampled_from([b"", b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff"]))
        content = content[:at] + new + content[at + length :]
    return content


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.just(10**400) | st.floats() | st.text(max_size=8)
    | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
"""Any value that JSON can have."""


@st.composite
def mutated_json(draw: st.DrawFn, bases: Sequence[Any]) -> Any:
    """Draw one of the values with up to four parts replaced, removed or repeated."""
    value = draw(st.sampled_from(bases))
    for _ in range(draw(st.integers(0, 4))):
        value = _changed(draw, value)
    return value


def _changed(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(value)))
        rest = {name: each for name, each in value.items() if name != key}
        return rest if draw(st.integers(0, 5)) == 0 else {**rest, key: _changed(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], *[_changed(draw, value[at])] * draw(st.sampled_from([0, 1, 1, 3])), *value[at + 1 :]]
    return draw(json_values)
