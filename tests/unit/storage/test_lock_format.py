"""The text of the lock: its form, reading pins back, and the messages for mistakes."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.errors import ProjectError
from qwenbuild.files.paths import clash_key, path_fault
from qwenbuild.storage.lock_format import Pin, parse, parse_rendered, render

KEY, OTHER, IMAGE = "ab" * 32, "cd" * 32, "0" * 64
PIN = Pin("a/b-1.png", "a/b[seed=1]", KEY, IMAGE, "qwen-image-plus", 1)

TEXT = """\
# What each output is made of. Written by qwenbuild; commit it.
version = 1

[[output]]
path = "a/b-1.png"
name = "a/b[seed=1]"
key = "abababababababababababababababababababababababababababababababab"
image = "0000000000000000000000000000000000000000000000000000000000000000"
model = "qwen-image-plus"
seed = 1
"""

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
paths = texts.map(lambda text: f"{text}.png").filter(lambda path: path_fault(path) is None)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
pins = st.builds(
    Pin, paths, texts, digests, digests, texts, st.integers(0, 2**31 - 1), st.just("") | texts, st.just("") | texts,
    st.just(()) | st.lists(texts, min_size=1, max_size=3).map(tuple),
)  # fmt: skip
locks = st.lists(pins, max_size=5, unique_by=lambda pin: clash_key(pin.path))


def message(text: str) -> str:
    """Return the message for a text that is not a lock."""
    with pytest.raises(ProjectError) as caught:
        parse(text, "x")
    return "\n".join(map(str, caught.value.problems))


def test_the_form_of_a_lock() -> None:
    """A record is six lines in a fixed order."""
    assert render([PIN]) == TEXT


def test_records_are_sorted() -> None:
    """Records are sorted by path, whatever the order of the pins."""
    first = PIN._replace(path="a/a.png")
    assert render([PIN, first]) == render([first, PIN])
    assert list(parse(render([PIN, first]), "x")) == ["a/a.png", "a/b-1.png"]


@given(locks)
def test_pins_are_read_back(written: list[Pin]) -> None:
    """Any names, paths and models are read back as they were written, with the line breaks of any system."""
    text = render(written)
    assert tomllib.loads(text).get("output", []) == [
        {name: list(value) if name == "vars" else value for name, value in pin._asdict().items()
         if name not in ("emulated_by", "profile", "vars") or value}
        for pin in sorted(written)
    ]  # fmt: skip
    assert parse(text, "x") == {pin.path: pin for pin in written}
    assert parse(text.replace("\n", "\r\n"), "x") == {pin.path: pin for pin in written}


def test_what_the_command_line_gave_is_recorded() -> None:
    """Only a lock that names a profile or variables has version 3; its other records stay as they are."""
    made = PIN._replace(path="a/c.png", profile="print", vars=("campaign=spring", 'who="1"'))
    assert render([PIN, made]).splitlines()[-2:] == [
        'profile = "print"',
        'vars = ["campaign=spring", "who=\\"1\\""]',
    ]
    assert render([PIN, made]).startswith(TEXT.replace("version = 1", "version = 3"))
    assert parse_rendered([render([PIN, made]).encode()])[0] == {PIN.path: PIN, made.path: made}
    only = ([made._replace(profile="")], [made._replace(vars=())])
    assert [render(some).splitlines()[1] for some in only] == ["version = 3", "version = 3"]


def test_an_emulated_image_is_recorded_as_such() -> None:
    """Only a lock with an emulated image has version 2, which older versions of qwenbuild refuse."""
    emulated = PIN._replace(path="a/c.png", emulated_by="http://127.0.0.1:8123")
    assert render([PIN, emulated]).splitlines()[-1] == 'emulated_by = "http://127.0.0.1:8123"'
    assert [render(some).splitlines()[1] for some in ([PIN], [PIN, emulated])] == ["version = 1", "version = 2"]
    assert parse(render([PIN, emulated]), "x") == {PIN.path: PIN, emulated.path: emulated}


def test_a_change_is_a_small_difference() -> None:
    """If one image changes, one line of the lock changes."""
    before, after = (render([PIN._replace(image=image)]).splitlines() for image in (IMAGE, OTHER))
    assert [new for old, new in zip(before, after, strict=True) if old != new] == [f'image = "{OTHER}"']


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("version = 1", "version = 4", "has format version 4; this qwenbuild reads up to version 3"),
        ("seed = 1", "seed = 1\nprofile = 1", "profile must be a text"),
        ("seed = 1", "seed = 1\nvars = [1]", "vars must be a list of texts"),
        ("seed = 1", 'seed = 1\nvars = "a=1"', "vars must be a list of texts"),
        ("seed = 1", "seed = 1\nemulated_by = 1", "emulated_by must be a text"),
        ("version = 1\n", "", "has no version"),
        ("version = 1", "version = true", "has no version"),
        ("version = 1", "version = 1\nmore = 2", 'unknown key "more"'),
        ("seed = 1", "seed = -1", "seed must be between 0 and 2147483647"),
        ("seed = 1", 'seed = "1"', "seed must be a whole number"),
        ("seed = 1", "seed = 99999999999", "seed must be between 0 and 2147483647"),
        ("seed = 1", "seed = 01", "not valid TOML"),
        ("seed = 1", "seed = \u0661", "not valid TOML"),
        ("seed = 1", "", '"seed" is missing'),
        ("seed = 1", "seed = 1\nsize = 2", 'unknown key "size"'),
        ("[[output]]", "[output]", "output must be [[output]] tables"),
        ('"a/b-1.png"', '"../b-1.png"', 'not an output path: ".." can\'t be part of a path'),
        ('"a/b-1.png"', '"/etc/b.png"', "not an output path: it must be relative to the output folder"),
        ('"a/b-1.png"', '"b.sh"', 'not an output path: it must end in ".png"'),
        (KEY, KEY[:-1], "key must be 64 lower-case hexadecimal digits"),
        (KEY, KEY.upper(), "key must be 64 lower-case hexadecimal digits"),
        ('name = "a', "name = a", "not valid TOML"),
    ],
)  # fmt: skip
def test_mistakes_are_reported(old: str, new: str, expected: str) -> None:
    """A mistake in a lock, or a newer version, is reported with its line."""
    assert old in TEXT
    assert expected in message(TEXT.replace(old, new))


def test_a_path_is_pinned_once() -> None:
    """Two records of one path, or of paths that some file systems can't tell apart, are reported."""
    record = TEXT.partition("version = 1\n")[2]
    assert "a/b-1.png: this path is pinned twice" in message(TEXT + record)
    problems = message(TEXT + record.replace("a/b-1", "A/B-1"))
    assert "A/B-1.png: it clashes with a/b-1.png on some file systems" in problems
    assert "--> x:13:8" in problems


def test_a_truncated_text() -> None:
    """A text that is cut at any place is an error, or is read as the records before the cut."""
    content = render([PIN, PIN._replace(path="c.png")])
    for end in range(len(content)):
        try:
            found = parse(content[:end], "x")
        except ProjectError:
            continue
        assert list(found) in ([], ["a/b-1.png"], ["a/b-1.png", "c.png"])


def test_hand_edits_that_mean_the_same_are_read() -> None:
    """Other white space and comments are allowed."""
    text = TEXT.replace("seed = 1\n", "seed=1 # mine\n\n")
    assert parse(text, "x") == {PIN.path: PIN}


def test_only_the_rendered_form_is_read_by_columns() -> None:
    """The quick parser refuses a text that has one space more than the rendered form."""
    assert parse_rendered([TEXT.encode()])[0] == {PIN.path: PIN}
    with pytest.raises(ValueError, match=r"^$"):
        parse_rendered([TEXT.replace("seed = 1", "seed =  1").encode()])


RECORD = TEXT.partition("version = 1\n")[2]


@pytest.mark.parametrize(
    ("text", "claim", "line"),
    [
        (TEXT.replace("seed = 1", "seed = " + "9" * 10_000), "a whole number has more than 64 bits", 10),
        (TEXT.replace("seed = 1", "seed = 0x" + "f" * 4000), "a whole number has more than 64 bits", 10),
        (TEXT.replace("seed = 1", "seed = 1\nseed = 2"), "this key has a value already", 11),
        (TEXT.replace("version = 1", "version = " + "9" * 5000), "a whole number has more than 64 bits", 2),
        (TEXT + "x = " + "[" * 20_000 + "]" * 20_000, "tables and arrays are nested more than 100 deep", 11),
        (TEXT + ".".join(["a"] * 20_000) + " = 1", "a key has more than 100 parts", 11),
        ("version = 1\n" + "[[output]]\n" * 600_000, "more than 1,000,000 keys and brackets", 500_001),
    ],
    ids=range(7),
)
def test_an_absurd_lock_is_told_with_its_line(text: str, claim: str, line: int) -> None:
    """A lock comes with a clone. What would stop Python ends in a short message with a caret."""
    told = message(text)
    assert claim in told.splitlines()[0]
    assert f"--> x:{line}:" in told
    assert "^" in told
    assert len(told) < 2000


def test_a_hundred_thousand_mistakes_are_told_in_short() -> None:
    """The first twenty are shown."""
    told = message(TEXT + RECORD.replace("seed = 1", "seed = -1") * 1000)
    assert told.count("seed must be between") == 20
    assert told.endswith("x may have more mistakes: these are the first 20")


def test_a_hundred_thousand_records_are_read() -> None:
    """By columns, in a moment."""
    many = [PIN._replace(path=f"a/{number:06}.png") for number in range(100_000)]
    assert len(parse(render(many), "x")) == 100_000


def test_folders_of_two_spellings_stay_in_a_lock() -> None:
    """A build of some cells keeps the pins of the others, which may have been made under another spelling."""
    both = [PIN._replace(path="dir/a.png"), PIN._replace(path="DIR/b.png")]
    assert set(parse(render(both), "x")) == {"dir/a.png", "DIR/b.png"}


def test_a_huge_text_in_another_form_is_refused() -> None:
    """Only what qwenbuild writes may have any length: the TOML parser would take minutes and gigabytes."""
    with pytest.raises(ProjectError) as caught:
        parse(TEXT + "#" * 2**26, "qwenbuild.lock")
    [problem] = caught.value.problems
    assert problem.claim == "qwenbuild.lock is not as qwenbuild writes it, and has more than 67,108,864 characters"
    assert problem.hint == "restore it from your repository, or delete it and run `qwenbuild lock`"
