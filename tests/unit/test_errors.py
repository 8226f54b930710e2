"""Tests of the error tree and of how errors are shown to a person."""

from __future__ import annotations

import inspect
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild import errors
from qwenbuild.errors import MOST_PROBLEMS, Findings, ProjectError, QwenbuildError
from qwenbuild.problems import Place, Problem, did_you_mean, listing, nearest, visible

_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BRANCH = re.compile(r"^(?P<stem>[│ ]*(?:[├└]── )?)(?P<name>[A-Z]\w+) {2,}(?P<what>.*)$")


def _documented() -> dict[str, tuple[str, str]]:
    """Return (parent, description) of each class in the tree at the top of the module."""
    assert errors.__doc__ is not None
    found: dict[str, tuple[str, str]] = {}
    parents: list[str] = []
    for line in errors.__doc__.splitlines():
        if match := _BRANCH.match(line):
            depth = len(match["stem"]) // 4
            del parents[depth:]
            found[match["name"]] = (parents[-1] if parents else "Exception", match["what"])
            parents.append(match["name"])
    return found


def _classes() -> dict[str, type[QwenbuildError]]:
    return {name: thing for name, thing in inspect.getmembers(errors, inspect.isclass)
            if issubclass(thing, QwenbuildError)}  # fmt: skip


def _frame(place: Place) -> list[str]:
    """Return the source line and the caret line of a problem at `place`."""
    return [text for role, text in Problem("wrong", place).lines() if role in ("source", "caret")]


def _marked(place: Place) -> str:
    """Return what stands above the carets, by terminal columns as wcwidth(3) counts them."""
    source, caret = _frame(place)
    columns = [ch for ch in source for _ in range(2 if unicodedata.east_asian_width(ch) in "WF" else 1)
               if unicodedata.category(ch) not in ("Mn", "Me", "Cf")]  # fmt: skip
    marked = [ch for ch, mark in zip(columns, caret.ljust(len(columns)), strict=False) if mark == "^"]
    return "".join(ch for at, ch in enumerate(marked) if at == 0 or ch != marked[at - 1] or ord(ch) < 0x1100)


def test_the_tree_at_the_top_lists_every_class_below_its_parent() -> None:
    """The documented tree and the classes are the same."""
    assert {name: parent for name, (parent, _) in _documented().items()} == {
        name: kind.__bases__[0].__name__ for name, kind in _classes().items()
    }


def test_the_tree_at_the_top_tells_the_flags() -> None:
    """`retryable` and `stops the run` stand beside exactly the classes that are."""
    documented = {name: ("retryable" in what, "stops the run" in what) for name, (_, what) in _documented().items()}
    documented["QwenbuildError"] = (False, False)  # its description explains the flags
    assert documented == {name: (kind.retryable, kind.stops_run) for name, kind in _classes().items()}


def test_the_tree_at_the_top_tells_exit_codes() -> None:
    """What is marked `exit 2` exits with 2, and every provider's error with 1."""
    told = {
        name: int(match[1]) for name, (_, what) in _documented().items() if (match := re.search(r"exit (\d)", what))
    }
    assert told == {name: kind.exit_code for name, kind in _classes().items() if name in told}
    assert {kind.exit_code for kind in _classes().values() if issubclass(kind, errors.ProviderError)} == {1}


def test_every_class_says_what_happened() -> None:
    """Each class has a docstring of its own."""
    assert [name for name, kind in _classes().items() if not kind.__dict__.get("__doc__")] == []


def test_an_error_reads_as_claim_facts_and_hint() -> None:
    """The text of an error is what a compiler would print."""
    error = QwenbuildError("the store can't be read", facts=["store: /x", "path:  /x/ac"], hint="set permissions")
    assert str(error) == (
        "error: the store can't be read\n"
        "  = store: /x\n"
        "  = path:  /x/ac\n"
        "  = hint: set permissions"
    )  # fmt: skip


def test_a_project_error_shows_all_its_problems() -> None:
    """Every problem is shown, with an empty line between."""
    error = ProjectError([Problem("one"), Problem("two", Place("specs/a.toml"))])
    assert str(error) == "error: one\n\nerror: two\n --> specs/a.toml"
    assert len(error.problems) == 2


def test_a_project_error_needs_a_problem() -> None:
    """An error about nothing is a mistake of the caller."""
    with pytest.raises(ValueError, match="at least one"):
        ProjectError([])


def test_a_provider_error_carries_what_support_asks_for() -> None:
    """Code, request id and delay are kept beside the claim."""
    error = errors.Throttled("slow down", code="Throttling.RateQuota", request_id="r-1", retry_after_s=2.5)
    assert (error.code, error.request_id, error.retry_after_s, error.claim) == (
        ("Throttling.RateQuota", "r-1", 2.5, "slow down")
    )  # fmt: skip


def test_a_code_frame_marks_its_place() -> None:
    """File, line, column, source, caret, label, fact and hint are all there."""
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


def test_a_long_label_stands_below_the_frame() -> None:
    """A label that would run off the line becomes the first fact."""
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
    """Whatever stands before it, the caret line marks the text that is meant, and all of it."""
    place = Place("f.toml", 3, source.index('"1:2"') + 1, 5, source)
    assert _marked(place) == '"1:2"'


def test_carets_span_wide_characters() -> None:
    """A wide character has two carets, a tab has one."""
    assert _frame(Place("f", 1, 1, 2, "海报 x")) == ["1 | 海报 x", "  | ^^^^"]
    assert _frame(Place("f", 1, 2, 3, "a\tb\tc")) == ["1 | a b c", "  |  ^^^"]


def test_a_place_past_the_end_of_its_line_has_a_caret_there() -> None:
    """What is missing at the end of a line is marked behind it."""
    assert _frame(Place("f", 1, 5, 1, "a = ")) == ["1 | a = ", "  |     ^"]


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (0, "7 | “" + "a" * 99 + "…\n  | ^"),
        (500, "7 | …" + "a" * 33 + "“" + "a" * 66 + "…\n  | " + " " * 34 + "^"),
        (999, "7 | …" + "a" * 99 + "“\n  | " + " " * 100 + "^"),
    ],
)
def test_a_frame_shows_the_part_of_a_long_line_that_is_meant(at: int, shown: str) -> None:
    """Prompts are often one long line."""
    source = "a" * at + "“" + "a" * (999 - at)
    assert "\n".join(_frame(Place("f", 7, at + 1, 1, source))) == shown


@given(st.text(st.characters(categories=["L", "So", "Zs"]), max_size=400), st.integers(0, 400))
def test_a_frame_is_never_much_wider_than_a_terminal(text: str, at: int) -> None:
    """Wide characters included, and the caret still marks what is meant."""
    source, at = f"{text[:at]}!{text[at:]}", len(text[:at])
    place = Place("f", 7, at + 1, 1, source)
    assert _marked(place) == "!"
    assert max(map(len, _frame(place))) <= 4 + 2 * 102


@given(st.text(), st.integers(1, 30), st.integers(0, 30))
def test_a_code_frame_has_one_source_line_and_one_caret_line(source: str, column: int, width: int) -> None:
    """No source text, however odd, adds lines to a frame or hides the caret."""
    lines = Problem("wrong", Place("f", 1, column, width, source), "label").lines()
    assert all(text.splitlines() == [text] for _, text in lines)
    assert all("^" in text for role, text in lines if role == "caret")


@given(st.text(st.characters()) | st.text("\x1b\x9b\x07\x08\r\n\u202e\u2066\u061c\u2028[]m0;ab"))
def test_visible_lets_nothing_through_that_steers_a_terminal(text: str) -> None:
    """The result has no control, bidi or line-separating characters, and can be encoded."""
    shown = visible(text)
    shown.encode()
    assert [ch for ch in shown if ch in _BIDI_CONTROLS or unicodedata.category(ch) in ("Cc", "Cs", "Zl", "Zp")] == []


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_visible_keeps_ordinary_text(text: str) -> None:
    """Letters, marks, digits, punctuation, symbols and spaces of all scripts stay."""
    assert visible(text) == text


def test_visible_shows_escapes_as_python_writes_them() -> None:
    """ESC, an OSC link's end, an override and an unpaired surrogate are readable."""
    assert visible("\x1b]8;;http://x\x07\u202e\ud800\x9b") == r"\x1b]8;;http://x\x07\u202e\ud800\x9b"


def test_visible_keeps_what_it_is_told_to() -> None:
    """A paragraph may keep its line ends, and nothing else."""
    assert visible("a\nb\tc", keep="\n") == "a\nb\\tc"


@given(st.text(), st.lists(st.text(), max_size=3), st.text())
def test_an_errors_text_is_visible_throughout(claim: str, facts: list[str], hint: str) -> None:
    """Whoever wrote a claim, a fact or a hint, the whole text only has line ends of ours."""
    text = str(QwenbuildError(claim, facts=facts, hint=hint))
    assert visible(text, keep="\n") == text
    assert text.count("\n") == len(facts) + bool(hint)


def test_the_nearest_name_is_the_one_meant() -> None:
    """A slip of the keyboard is recognised, a stranger is not."""
    assert nearest("modle", ["model", "size"]) == "model"
    assert nearest("xyz", ["model", "size"]) is None
    assert did_you_mean("modle", ["model"]) == 'did you mean "model"?'
    assert did_you_mean("xyz", ["model"]) is None


def test_a_listing_counts_what_it_leaves_out() -> None:
    """Short lists are whole, long ones end with a count."""
    assert listing(["a", "b"]) == "a, b"
    assert listing("abcde", most=3) == "a, b, c and 2 more"


# --- findings ---


def problem(claim: str, line: int = 1, path: str = "a.toml") -> Problem:
    return Problem(claim, Place(path, line, 1, 1, "x"))


def raised(findings: Findings) -> list[str]:
    with pytest.raises(ProjectError) as caught:
        findings.raise_if_any()
    return [it.claim for it in caught.value.problems]


def test_no_findings_raise_nothing() -> None:
    """A project without problems goes on."""
    Findings().raise_if_any()


def test_a_problem_is_told_once_for_each_place() -> None:
    """However many cells run into it."""
    findings = Findings()
    findings.add([problem("x"), problem("x"), problem("x", 2)], "a/b")
    findings.add([problem("x")], "a/c")
    assert raised(findings) == ["x", "x"]


def test_problems_are_in_the_order_of_files_and_lines() -> None:
    """Whatever found them first; those without a place lead."""
    findings = Findings()
    findings.add([problem("5", 1, "b.toml"), problem("4", 10), problem("3", 9), Problem("1"), problem("2", 2)])
    assert raised(findings) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(("number", "more"), [(10, []), (11, ["a/b: 1 more problem like these"]),
                                              (1510, ["a/b: 1,500 more problems like these"])])  # fmt: skip
def test_problems_of_an_image_are_capped_and_counted(number: int, more: list[str]) -> None:
    """Ten are shown; those of other images are not affected."""
    findings = Findings()
    findings.add((problem(str(line), line) for line in range(number)), "a/b")
    findings.add([problem("other")], "a/c")
    claims = raised(findings)
    assert claims[MOST_PROBLEMS + 1 :] == more
    assert "other" in claims


def test_problems_of_no_image_are_all_told() -> None:
    """There is no cap on mistakes in a file itself."""
    findings = Findings()
    findings.add(problem(str(line), line) for line in range(50))
    assert len(raised(findings)) == 50
