"""The lock file: it is read in pieces, written only if it changes, and both sides of a conflict are read."""

from __future__ import annotations

import os
import time
from codecs import BOM_UTF8
from pathlib import Path

import pytest

from qwenbuild.errors import OutputError, ProjectError
from qwenbuild.storage import lock, lock_format
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.lock_format import Pin
from tests.support.trouble import nobody, public_folder

KEY, OTHER, IMAGE = "ab" * 32, "cd" * 32, "0" * 64
PIN = Pin("a/b-1.png", "a/b[seed=1]", KEY, IMAGE, "qwen-image-plus", 1)

TEXT = lock_format.render([PIN])


def saved(folder: Path, text: str | bytes) -> Path:
    path = folder / lock.NAME
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_large_lock(tmp_path: Path) -> None:
    """A file of many chunks is read back, wherever a chunk ends. An unchanged file gives the earlier result."""
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
    name = "b" * (2**16 - 1 - text.encode().rindex(b"\r", 0, 2**16))  # so that a chunk ends inside a line break
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


def test_a_missing_lock(tmp_path: Path) -> None:
    """A missing lock file has no pins; it is written only for an output."""
    found = lock.read(tmp_path / lock.NAME)
    assert found == Lock()
    assert (lock.is_written(found, []), lock.is_written(found, [PIN])) == (True, False)


def test_a_lock_is_written_only_when_it_changes(tmp_path: Path) -> None:
    """A file that differs only in its line breaks is not written."""
    path = tmp_path / lock.NAME
    assert lock.write(path, [PIN], tmp_path)
    assert path.read_text("utf-8") == TEXT
    assert not lock.write(path, [PIN], tmp_path)
    saved(tmp_path, TEXT.replace("\n", "\r\n"))
    assert not lock.write(path, [PIN], tmp_path)
    assert lock.write(path, [PIN._replace(seed=2)], tmp_path)


def test_pinned() -> None:
    """A pin counts only for the request whose key it records."""
    known = Lock({PIN.path: PIN})
    assert known.pinned(PIN.path, KEY) == PIN
    assert known.pinned(PIN.path, OTHER) is None
    assert known.pinned("other.png", KEY) is None


def test_both_sides_of_a_conflict(tmp_path: Path) -> None:
    """Both sides are read. `pinned` returns the pin of the side that has the key; if both have it, our pin."""
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
    assert lock.read(tmp_path / lock.NAME, found) is found


def test_a_conflict_in_the_first_line(tmp_path: Path) -> None:
    """Two branches that each wrote their first lock differ from the beginning on."""
    other = PIN._replace(path="c.png")
    text = f"<<<<<<< HEAD\n{TEXT}=======\n{lock_format.render([other])}>>>>>>> them\n"
    found = lock.read(saved(tmp_path, text))
    assert (found.pins, found.theirs) == ({PIN.path: PIN}, {other.path: other})


@pytest.mark.parametrize(("ours", "theirs"), [("-1", "2"), ("2", "-1")])
def test_a_mistake_on_one_side_of_a_conflict(tmp_path: Path, ours: str, theirs: str) -> None:
    """The message names the file as the caller shows it."""
    middle = f"<<<<<<< HEAD\nseed = {ours}\n=======\nseed = {theirs}\n>>>>>>> them\n"
    path = saved(tmp_path, TEXT.replace("seed = 1\n", middle))
    with pytest.raises(ProjectError, match=r"^error: seed must be between 0 and \d+\n +--> sub/qwenbuild\.lock:"):
        lock.read(path, shown="sub/qwenbuild.lock")


def test_outputs_are_counted_by_image(tmp_path: Path) -> None:
    """All pins of an image are counted together, whatever their cells."""
    others = [PIN._replace(path=f"{name}.png", name=name) for name in ("a/b[seed=2]", "c/d")]
    path = saved(tmp_path, lock_format.render([PIN, *others]))
    assert lock.counts(path) == {"a/b": 2, "c/d": 1}


def test_a_lock_without_some_outputs() -> None:
    """`without` drops pins on both sides of a conflict."""
    other = PIN._replace(path="c.png")
    both = {PIN.path: PIN, other.path: other}
    assert Lock(both).without(["c.png"]) == Lock({PIN.path: PIN})
    assert Lock(both, both).without(["c.png"]) == Lock({PIN.path: PIN}, {PIN.path: PIN})


def test_a_lock_that_people_wrote(tmp_path: Path) -> None:
    """Any TOML with the same meaning is read."""
    lines = TEXT.splitlines()
    free = "# by hand\n" + "\n".join(line.replace(" = ", "  =  ") for line in lines) + "\n"
    found = lock.read(saved(tmp_path, free))
    assert found.pins == {PIN.path: PIN}
    assert not lock.is_written(found, [PIN])
    assert lock.read(saved(tmp_path, free), found) is found
    assert lock.is_written(lock.read(saved(tmp_path, TEXT)), [PIN])


def test_what_is_no_regular_file_is_no_lock(tmp_path: Path) -> None:
    """A pipe is not waited for."""
    os.mkfifo(tmp_path / lock.NAME)
    with pytest.raises(ProjectError, match="not a regular file"):
        lock.read(tmp_path / lock.NAME)


def test_a_lock_that_can_not_be_read() -> None:
    """The message names the file as the caller shows it, and the reason."""
    with public_folder() as folder:
        saved(folder, TEXT).chmod(0)
        with (
            nobody(),
            pytest.raises(ProjectError, match=r"^error: sub/qwenbuild\.lock can't be read: Permission denied$"),
        ):
            lock.read(folder / lock.NAME, shown="sub/qwenbuild.lock")


def test_a_mistake_in_a_lock_that_people_wrote(tmp_path: Path) -> None:
    """The message names the file as the caller shows it."""
    with pytest.raises(ProjectError, match=r"^error: sub/qwenbuild\.lock has no version"):
        lock.read(saved(tmp_path, "# empty\n"), shown="sub/qwenbuild.lock")


def test_a_lock_that_can_not_be_written(tmp_path: Path) -> None:
    """The message names the lock and the reason."""
    path = tmp_path / lock.NAME
    path.mkdir()
    with pytest.raises(OutputError) as caught:
        lock.write(path, [PIN], tmp_path)
    assert caught.value.claim == f"{path} can't be written: it is a folder"


def test_the_time_of_a_written_lock_is_the_present(tmp_path: Path) -> None:
    """A later edit has another time, also within the same tick of the system's clock."""
    before_ns = time.time_ns()
    assert lock.write(tmp_path / lock.NAME, [PIN], tmp_path) is True
    assert before_ns <= (tmp_path / lock.NAME).stat().st_mtime_ns <= time.time_ns()


def test_line_breaks_at_the_ends_of_pieces(tmp_path: Path) -> None:
    """The file is read in pieces; a line break may lie on both sides of a border, or be half a one at the end."""
    path, border = tmp_path / lock.NAME, b"x" * (lock_format.CHUNK_BYTES - 1)
    for content in (b"", b"\r", b"a\r", b"a\r\n", b"\xef\xbb\xbfa\r\nb\r", border + b"\r\n\r\ny\r\r\n"):
        path.write_bytes(content)
        assert b"".join(lock._chunks(path)) == content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
