"""The lock: what it looks like, that it comes back as it was written, and what is told about one that is wrong."""

from __future__ import annotations

import tomllib
from codecs import BOM_UTF8
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.errors import ProjectError
from qwenbuild.files.paths import clash_key, path_fault
from qwenbuild.storage import lock, lock_format
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.lock_format import Pin

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
pins = st.builds(Pin, paths, texts, digests, digests, texts, st.integers(0, 2**31 - 1))
locks = st.lists(pins, max_size=5, unique_by=lambda pin: clash_key(pin.path))


def saved(folder: Path, text: str | bytes) -> Path:
    path = folder / lock.NAME
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def message(folder: Path, text: str | bytes) -> str:
    with pytest.raises(ProjectError) as caught:
        lock.read(saved(folder, text))
    return "\n".join(map(str, caught.value.problems))


def test_its_form() -> None:
    """A record is six lines, in this order."""
    assert lock_format.render([PIN]) == TEXT


def test_records_are_sorted() -> None:
    """By path, whatever the order in which they come."""
    first = PIN._replace(path="a/a.png")
    assert lock_format.render([PIN, first]) == lock_format.render([first, PIN])
    assert list(lock_format.parse(lock_format.render([PIN, first]), "x")) == ["a/a.png", "a/b-1.png"]


@given(locks)
def test_it_comes_back(written: list[Pin]) -> None:
    """Whatever names, paths and models hold, what is read is what was written, line ends of any system."""
    text = lock_format.render(written)
    assert tomllib.loads(text).get("output", []) == [pin._asdict() for pin in sorted(written)]
    assert lock_format.parse(text, "x") == {pin.path: pin for pin in written}
    assert lock_format.parse(text.replace("\n", "\r\n"), "x") == {pin.path: pin for pin in written}


def test_a_large_lock(tmp_path: Path) -> None:
    """A file of many pieces comes back as well, wherever they end; one that was read before, where it says the same."""
    written = [
        PIN._replace(path=f"a/{'b' * (number % 97)}{number}.png", name=f'"{number}" 雨') for number in range(2000)
    ]
    text = lock_format.render(written)
    assert len(text.encode()) > 5 * 2**16
    expected = {pin.path: pin for pin in written}
    found = lock.read(saved(tmp_path, text))
    assert found.pins == expected
    assert lock.read(saved(tmp_path, text.replace("\n", "\r\n")), found) is found
    assert lock.read(saved(tmp_path, text.replace("\n", "\r\n"))).pins == expected
    text = text.replace("\n", "\r\n")
    name = "b" * (2**16 - 1 - text.encode().rindex(b"\r", 0, 2**16))  # so that a piece ends within a line break
    path = saved(tmp_path, text.replace("雨", f"雨{name}", 1))
    assert path.read_bytes()[2**16 - 1 : 2**16 + 1] == b"\r\n"
    for mark in (b"", BOM_UTF8):
        path.write_bytes(mark + path.read_bytes())
        again = lock.read(path)
        assert lock.read(path, again) is again
        assert lock.is_written(again, again.pins.values())
    assert lock.is_written(found, written)
    assert not lock.is_written(found, written[1:])
    other = lock.read(saved(tmp_path, lock_format.render(written).replace(IMAGE, OTHER, 1)), found)
    assert sum(other.pins[path] != pin for path, pin in expected.items()) == 1


def test_there_may_be_none(tmp_path: Path) -> None:
    """Where there is no file, nothing is pinned."""
    assert lock.read(tmp_path / lock.NAME) == Lock()


def test_it_is_written_only_when_it_changes(tmp_path: Path) -> None:
    """The file is left alone where it says the same, also with another system's line ends."""
    path = tmp_path / lock.NAME
    assert lock.write(path, [PIN], tmp_path)
    assert path.read_text("utf-8") == TEXT
    assert not lock.write(path, [PIN], tmp_path)
    saved(tmp_path, TEXT.replace("\n", "\r\n"))
    assert not lock.write(path, [PIN], tmp_path)
    assert lock.write(path, [PIN._replace(seed=2)], tmp_path)


def test_a_change_is_a_small_difference() -> None:
    """A new image changes one line."""
    before, after = (lock_format.render([PIN._replace(image=image)]).splitlines() for image in (IMAGE, OTHER))
    assert [new for old, new in zip(before, after, strict=True) if old != new] == [f'image = "{OTHER}"']


def test_pinned() -> None:
    """A pin holds for the request that it was made of, and no other."""
    known = Lock({PIN.path: PIN})
    assert known.pinned(PIN.path, KEY) == PIN
    assert known.pinned(PIN.path, OTHER) is None
    assert known.pinned("other.png", KEY) is None


def test_what_git_could_not_merge(tmp_path: Path) -> None:
    """Both sides can be read; the one whose request is asked for holds, ours where both do."""
    ours, theirs, key = PIN._replace(image="1" * 64), PIN._replace(image="2" * 64), f'key = "{KEY}"\n'
    head, tail = TEXT.split(f'image = "{IMAGE}"\n')
    one, base, two = (f'image = "{digit * 64}"\n' for digit in "102")
    middle = f"<<<<<<< HEAD\n{one}||||||| base\n{base}=======\n{two}>>>>>>> them\n"
    found = lock.read(saved(tmp_path, head + middle + tail))
    assert (found.pins, found.theirs) == ({PIN.path: ours}, {PIN.path: theirs})
    assert found.pinned(PIN.path, KEY) == ours
    middle = f'<<<<<<< HEAD\n{key}=======\nkey = "{OTHER}"\n>>>>>>> them\n'
    found = lock.read(saved(tmp_path, TEXT.replace(key, middle)))
    assert found.pinned(PIN.path, OTHER) == PIN._replace(key=OTHER)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("version = 1", "version = 2", "is of version 2; this qwenbuild reads up to 1"),
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
        ('"a/b-1.png"', '"../b-1.png"', 'not an output path: ".." can\'t be part of it'),
        ('"a/b-1.png"', '"/etc/b.png"', "not an output path: it must be relative to the output folder"),
        ('"a/b-1.png"', '"b.sh"', 'not an output path: it must end in ".png"'),
        (KEY, KEY[:-1], "key must be 64 hexadecimal digits, lower-case"),
        (KEY, KEY.upper(), "key must be 64 hexadecimal digits, lower-case"),
        ('name = "a', "name = a", "not valid TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_shown(tmp_path: Path, old: str, new: str, told: str) -> None:
    """A lock that was edited badly, or that a newer version wrote, is told with the line."""
    assert old in TEXT
    assert told in message(tmp_path, TEXT.replace(old, new))


def test_a_path_is_pinned_once(tmp_path: Path) -> None:
    """Two records of one path, or of paths that some file systems take for one, are a mistake."""
    record = TEXT.partition("version = 1\n")[2]
    assert "a/b-1.png: it is pinned twice" in message(tmp_path, TEXT + record)
    told = message(tmp_path, TEXT + record.replace("a/b-1", "A/B-1"))
    assert "A/B-1.png: some file systems can't tell it from a/b-1.png" in told
    assert f"--> {lock.NAME}:13:8" in told


def test_a_torn_file_is_no_lock(tmp_path: Path) -> None:
    """Wherever a file is cut, it is either told or a lock of the records before the cut."""
    content = lock_format.render([PIN, PIN._replace(path="c.png")]).encode()
    for end in range(len(content)):
        try:
            found = lock.read(saved(tmp_path, content[:end])).pins
        except ProjectError:
            continue
        assert list(found) in ([], ["a/b-1.png"], ["a/b-1.png", "c.png"])


def test_hand_edits_that_mean_the_same_are_read(tmp_path: Path) -> None:
    """Other white space, order and comments are TOML as well."""
    text = TEXT.replace("seed = 1\n", "seed=1 # mine\n\n")
    assert lock.read(saved(tmp_path, text)).pins == {PIN.path: PIN}
