"""Masking: no text that a person or a program can turn back into the key stays."""

from __future__ import annotations

import base64
import html
import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.providers.masking import MASK, Mask

KEY = "sk-0a1b2c3d4e5f60718293a4b5c6d7e8f9"
FORMS = {
    "plain": KEY,
    "upper case": KEY.upper(),
    "percent-encoded": "".join(f"%{ord(one):02X}" for one in KEY),
    "percent-encoded in part": KEY.replace("-", "%2d"),
    "percent-encoded twice": quote("".join(f"%{ord(one):02x}" for one in KEY)),
    "JSON escapes": "".join(f"\\u{ord(one):04x}" for one in KEY),
    "JSON escapes in JSON": json.dumps("".join(f"\\u{ord(one):04X}" for one in KEY)),
    "Python escapes": "".join(f"\\x{ord(one):02x}" for one in KEY),
    "JavaScript escapes": "".join(f"\\U{ord(one):08x}" for one in KEY),
    "HTML numbers": "".join(f"&#{ord(one)};" for one in KEY),
    "HTML hex numbers": "".join(f"&#x{ord(one):x};" for one in KEY),
    "HTML twice": html.escape("".join(f"&#0{ord(one)};" for one in KEY)),
    "hex": KEY.encode().hex(),
    "upper-case hex": KEY.encode().hex().upper(),
    "hex with colons": KEY.encode().hex(":"),
    "hex with spaces": KEY.encode().hex(" "),
    "UTF-16": KEY.encode("utf-16-le").decode("latin-1"),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("="),
    "base64 of the header": base64.b64encode(f"Bearer {KEY}".encode()).decode(),
    "base64 of a user": base64.b64encode(f"user:{KEY}".encode()).decode(),
    "base64 of JSON": base64.b64encode(json.dumps({"headers": {"authorization": f"Bearer {KEY}"}}).encode()).decode(),
    "percent-encoded base64": quote_plus(base64.b64encode(f"Bearer {KEY}".encode()).decode()),
    "base64 in lines": base64.encodebytes(b"x" * 40 + KEY.encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_key_is_masked_in_every_form(form: str) -> None:
    """Whatever stands around it stays; the form itself does not."""
    for before, after in (("", ""), ("the header was: ", ", was it?"), ("[", "]")):
        masked = Mask(KEY).text(before + FORMS[form] + after)
        assert MASK in masked
        assert masked.startswith(before)
        assert len(masked) < len(before + FORMS[form] + after)
        longest = max(len(piece) for piece in masked.removeprefix(before).split(MASK))
        assert longest < len(FORMS[form]) - len(KEY) + 8 + len(after)


@given(st.integers(0, 40), st.integers(0, 40))
def test_base64_is_masked_wherever_the_key_stands_in_it(before: int, after: int) -> None:
    """Each of the three ways in which the key's bits can lie in base64 is known."""
    encoded = base64.b64encode(b"\xfb\xff\xbe" * before + b"a" * (before % 3) + KEY.encode() + b"?" * after).decode()
    left = Mask(KEY).text(encoded).split(MASK)
    assert len(left) == 2
    for text in left:
        padded = text[: len(text) // 4 * 4]
        assert KEY[4:12].encode() not in base64.b64decode(padded)


def test_json_is_masked_in_names_and_values() -> None:
    """Numbers and truths stay what they are."""
    value = {f"x {KEY}": [KEY, 1, None, True, {"deep": [f"a{KEY}b"]}]}
    assert Mask(KEY).json(value) == {"x ***": ["***", 1, None, True, {"deep": ["a***b"]}]}


@given(st.text())
def test_other_texts_stay(text: str) -> None:
    """What does not hold the key is not changed."""
    assert Mask(KEY).text(text) == text


def test_a_key_of_a_few_characters_is_not_looked_for_in_codes() -> None:
    """Its hex and its base64 stand in many texts by chance."""
    assert Mask("abc").text("abc 616263 YWJj %61bc") == "*** 616263 YWJj ***"


def test_nothing_shows_the_key() -> None:
    """Neither does the object that hides it."""
    assert repr(Mask(KEY)) == "Mask(***)"


@pytest.mark.parametrize("piece", ["s", "sk-", "\\", "%25", "%73", "7 ", "73 ", "&#0", "c2st", KEY[:-1], "\0"])
def test_masking_takes_no_time_to_speak_of(piece: str) -> None:
    """Eight megabytes of what almost is the key take seconds at most."""
    text, begun_s = piece * (2**21 // len(piece)), time.monotonic()
    assert Mask(KEY).text(text) == text
    assert time.monotonic() - begun_s < 60
