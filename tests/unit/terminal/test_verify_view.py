"""The differences between the output folder and the lock, as text and as JSON."""

from __future__ import annotations

import json

import pytest

from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.verify import Fault, Mismatch
from qwenbuild.terminal import verify_view

ABSENT = Mismatch(Pin("s/a.png", "s/a", "k", "d", "m", 1), Fault.ABSENT)
DIFFERS = Mismatch(Pin("s/\x1b.png", "s/b", "k", "e", "m", 1), Fault.DIFFERS)


def test_equal_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    """Images that the lock does not pin are listed, but are no error."""
    verify_view.show(1200, [], ["new.png"], as_json=False)
    assert capsys.readouterr().out == "  unlocked  new.png\nall 1,200 outputs are what the lock pins\n"


def test_thousands_of_files_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """The output folder may hold any number of images that nobody pinned: the first 1,000 are listed."""
    verify_view.show(1, [], [f"{number}.png" for number in range(2345)], as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1002
    assert lines[1000] == "         …  1,345 more; `verify --json` lists all"


@pytest.mark.parametrize(
    ("mismatches", "text"),
    [
        (
            [ABSENT],
            "   missing  s/a.png\n1 of 2 outputs are not what the lock pins; "
            "`qwenbuild build` brings back what is missing\n",
        ),
        (
            [ABSENT, DIFFERS],
            "   missing  s/a.png\n   differs  s/\\x1b.png\n2 of 2 outputs are not what the lock pins; "
            "`qwenbuild build` brings back what is missing, `build --overwrite` also what differs\n",
        ),
    ],
)
def test_mismatches(mismatches: list[Mismatch], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The last line says which command corrects the outputs."""
    verify_view.show(2, mismatches, [], as_json=False)
    assert capsys.readouterr().out == text


def test_emulated_images_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """They are what the lock pins, but not what the service makes."""
    verify_view.show(3, [], [], as_json=False, emulated=2)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "emulated images among them: 2; a build at the service replaces them"
    ]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Each mismatch and each unknown image is a line; the last has the counts."""
    verify_view.show(2, [ABSENT], ["new.png"], as_json=True)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"event": "mismatch", "path": "s/a.png", "name": "s/a", "fault": "missing", "pinned": "d"},
        {"event": "stranger", "path": "new.png"},
        {"event": "verified", "pinned": 2, "mismatches": 1, "strangers": 1, "emulated": 0},
    ]
