"""Likeness: what must be the same on two machines."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

from qwenbuild.executors import likeness
from qwenbuild.files import fonts
from qwenbuild.version import __version__


def test_a_machine_says_what_it_has() -> None:
    """Versions, and a digest of the files of all fonts."""
    found = likeness.here()
    assert (found["qwenbuild"], found["Pillow"]) == (__version__, metadata.version("pillow"))
    assert re.fullmatch(r"[\d.]+ and [\w.]+, files [0-9a-f]{12}", found["fonts"])


def test_a_difference_names_both_sides() -> None:
    """What is the same is not told."""
    mine = {"qwenbuild": "1", "Pillow": "12.0", "fonts": "a"}
    assert likeness.differences(mine, mine) == []
    theirs = {"qwenbuild": "1", "Pillow": "11.3", "numpy": "2"}
    assert likeness.differences(mine, theirs) == [
        "Pillow: 12.0 here, 11.3 there",
        "fonts: a here, none there",
        "numpy: none here, 2 there",
    ]


def test_other_fonts_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was replaced counts, although its package has the same version."""
    before = likeness.here.__wrapped__()["fonts"]
    (tmp_path / "NotoSans[wght].ttf").write_bytes(b"another font")
    monkeypatch.setattr(fonts, "paths", lambda: [tmp_path / "NotoSans[wght].ttf"])
    assert likeness.here.__wrapped__()["fonts"].partition(", ")[0] == before.partition(", ")[0]
    assert likeness.here.__wrapped__()["fonts"] != before
    monkeypatch.setattr(fonts, "paths", lambda: [tmp_path / "gone.ttf"])
    assert likeness.here.__wrapped__()["fonts"] == "none"
