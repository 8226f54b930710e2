from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.problems import Place, Problem, did_you_mean, listing, nearest, plain, visible

_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _frame(place: Place) -> list[str]:
    """Return the source line and the caret line of a problem at `place`."""
    return [text for role, text in Problem("wrong", place).lines() if role in ("source", "caret")]


def _marked(place: Place) -> str:
    """Return the text above the carets, by terminal columns as wcwidth(3) counts them."""
    source, caret = _frame(place)
    columns = [ch for ch in source for _ in range(2 if unicodedata.east_asian_width(ch) in "WF" else 1)
               if unicodedata.category(ch) not in ("Mn", "Me", "Cf")]  # fmt: skip
    marked = [ch for ch, mark in zip(columns, caret.ljust(len(columns)), strict=False) if mark == "^"]
    return "".join(ch for at, ch in enumerate(marked) if at == 0 or ch != marked[at - 1] or ord(ch) < 0x1100)


def test_a_code_frame_marks_its_place() -> None:
    """The text has file, line, column, source, carets, label, facts and hint."""
    place = Place("specs/a.toml", 12, 9, 5, 'model = "qwne"')
    problem = Problem('unknown model "qwne"', place, "expected a model", ["known: qwen-image"], "see the list")
    assert str(problem) == (
        'error: unknown model "qwne"\n'
        "  --> specs/a.toml:12:9\n"
        "   |\n"
        '12 | model = "qwne"\n'
        "   |         ^^^^^ expected a model\n"
        "   = known: qwen-image\n"
        "   = hint: see the list"
    )


def test_a_long_label_becomes_a_fact() -> None:
    """A label over 60 characters becomes the first fact."""
    lines = Problem("wrong", Place("f", 1, 1, 1, "x"), "long " * 20, ["fact"]).lines()
    assert [role for role, _ in lines] == ["error", "place", "gutter", "source", "caret", "fact", "fact"]


@pytest.mark.parametrize(
    "source",
    [
        '\tsize = "1:2"',
        '\t\ta\t= "1:2"\t# tab',
        '海报 = "1:2"',
        'ｗｉｄｅ = "1:2"',
        'e\u0301clair = "1:2"',
        'สวัสดี = "1:2"',
        '👩\u200d👧 = "1:2"',
        '❤\ufe0f = "1:2"',
        '\x1b[31m\u202e = "1:2"',
    ],
    ids=["tab", "tabs", "cjk", "fullwidth", "combining", "thai", "joiner", "variation", "escaped"],
)
def test_the_caret_stands_under_its_text(source: str) -> None:
    """Carets mark exactly the text of the place, whatever precedes it."""
    place = Place("f.toml", 3, source.index('"1:2"') + 1, 5, source)
    assert _marked(place) == '"1:2"'


def test_carets_span_wide_characters() -> None:
    """A wide character gets two carets, a tab one."""
    assert _frame(Place("f", 1, 1, 2, "海报 x")) == ["1 | 海报 x", "  | ^^^^"]
    assert _frame(Place("f", 1, 2, 3, "a\tb\tc")) == ["1 | a b c", "  |  ^^^"]


def test_a_place_past_the_end_of_its_line_has_a_caret_there() -> None:
    """If something is missing at the end of a line, the caret stands behind the line."""
    assert _frame(Place("f", 1, 5, 1, "a = ")) == ["1 | a = ", "  |     ^"]


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (0, "7 | “" + "a" * 99 + "…\n  | ^"),
        (500, "7 | …" + "a" * 33 + "“" + "a" * 66 + "…\n  | " + " " * 34 + "^"),
        (999, "7 | …" + "a" * 99 + "“\n  | " + " " * 100 + "^"),
    ],
)
def test_a_frame_shows_the_part_of_a_long_line_around_its_place(at: int, shown: str) -> None:
    """A prompt is often one long line."""
    source = "a" * at + "“" + "a" * (999 - at)
    assert "\n".join(_frame(Place("f", 7, at + 1, 1, source))) == shown


@given(st.text(st.characters(categories=["L", "So", "Zs"]), max_size=400), st.integers(0, 400))
def test_a_frame_is_never_much_wider_than_a_terminal(text: str, at: int) -> None:
    """This holds for wide characters, too, and the caret still marks the place."""
    source, at = f"{text[:at]}!{text[at:]}", len(text[:at])
    place = Place("f", 7, at + 1, 1, source)
    assert _marked(place) == "!"
    assert max(map(len, _frame(place))) <= 4 + 2 * 102


@given(st.text(), st.integers(1, 30), st.integers(0, 30))
def test_a_code_frame_has_one_source_line_and_one_caret_line(source: str, column: int, width: int) -> None:
    """No source text adds lines to a frame or hides the caret."""
    lines = Problem("wrong", Place("f", 1, column, width, source), "label").lines()
    assert all(text.splitlines() == [text] for _, text in lines)
    assert all("^" in text for role, text in lines if role == "caret")


@given(st.text(st.characters()) | st.text("\x1b\x9b\x07\x08\r\n\u202e\u2066\u061c\u2028[]m0;ab"))
def test_visible_text_can_not_control_a_terminal(text: str) -> None:
    """The result has no control, bidi or line-separating characters, and it can be encoded."""
    shown = visible(text)
    shown.encode()
    assert [ch for ch in shown if ch in _BIDI_CONTROLS or unicodedata.category(ch) in ("Cc", "Cs", "Zl", "Zp")] == []


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_visible_keeps_ordinary_text(text: str) -> None:
    """Letters, marks, digits, punctuation, symbols and spaces of all scripts are unchanged."""
    assert visible(text) == text


def test_visible_shows_escapes_as_python_writes_them() -> None:
    """ESC, the end of an OSC link, an override and an unpaired surrogate become readable escapes."""
    assert visible("\x1b]8;;http://x\x07\u202e\ud800\x9b") == r"\x1b]8;;http://x\x07\u202e\ud800\x9b"


def test_visible_keeps_the_characters_in_keep() -> None:
    """With `keep`, a paragraph keeps its line ends; its tabs are escaped."""
    assert visible("a\nb\tc", keep="\n") == "a\nb\\tc"


def test_the_nearest_name_is_similar() -> None:
    """A typing error has a nearest name; a different word has none."""
    assert nearest("modle", ["model", "size"]) == "model"
    assert nearest("xyz", ["model", "size"]) is None
    assert did_you_mean("modle", ["model"]) == 'did you mean "model"?'
    assert did_you_mean("xyz", ["model"]) is None


def test_a_listing_counts_what_it_leaves_out() -> None:
    """A short list is complete; a long one ends with the number of the others."""
    assert listing(["a", "b"]) == "a, b"
    assert listing("abcde", most=3) == "a, b, c and 2 more"


@pytest.mark.parametrize(
    ("value", "expected"), [(True, "true"), (False, "false"), (1, "1"), (-1.5, "-1.5"), ("a b", "a b"), ("", "")]
)
def test_a_plain_value_is_written_as_in_toml(value: object, expected: str) -> None:
    """Truth values are lower-case; texts have no quotes."""
    assert plain(value) == expected


def test_a_message_is_short_whatever_it_quotes() -> None:
    """A value of a megabyte stands in claims, facts and hints; the source line is a part of the line anyway."""
    long = "x" * 1_000_000
    problem = Problem(f"bad {long}", Place("a", 1, 1, 1, long), "near", facts=[long], hint=long)
    text = str(problem)
    assert text.count("… and 99") == 3
    assert "… and 998,004 more characters" in text
    assert len(text) < 10_000


def test_names_are_compared_in_a_moment() -> None:
    """The time to compare two names grows with their lengths: long ones, and those beyond a thousand, are left out."""
    assert nearest("model", [f"name{number}" for number in range(100_000)] + ["modle"]) is None
    assert nearest("ab" * 50, ["ab" * 50_000, "ab" * 49]) == "ab" * 49
    assert nearest("ab" * 500_000, ["ab" * 499_999]) is None
