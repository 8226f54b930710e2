"""The history: which images were written where."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwenbuild.storage.history import images_before, written
from qwenbuild.storage.records import Output
from qwenbuild.storage.state import State

ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """A state in which a.png was written twice, and b.png between these times."""
    with contextlib.closing(State(tmp_path / "state.sqlite3")) as state:
        for path, key in (("a.png", ONE), ("b.png", ONE), ("a.png", TWO)):
            state.record([Output(path, key, key, 100, 123, 42, "s/a")], {})
        yield state


def test_the_images_of_paths(state: State) -> None:
    """They come with the key of the image that each one replaced, the newest first, and not more than asked for."""
    both = written(state, {"a.png", "b.png"})
    assert [(it.path, it.key, it.image, it.before) for it in both] == [
        ("a.png", TWO, TWO, ONE), ("b.png", ONE, ONE, ""), ("a.png", ONE, ONE, "")
    ]  # fmt: skip
    assert written(state, {"a.png"}) == [both[0], both[2]]
    assert written(state, {"a.png", "b.png"}, 2) == both[:2]
    assert written(state, {"a.png"}, 1) == both[:1]
    assert written(state, {"c.png", "d.png"}) == []


def test_the_images_before_a_time(state: State, tmp_path: Path) -> None:
    """The last one of each path counts."""
    with contextlib.closing(sqlite3.connect(tmp_path / "state.sqlite3")) as db, db:
        db.execute("UPDATE history SET at_s = id * 10.0")
    assert images_before(state, 30.0) == {"a.png": (ONE, ONE, 10.0), "b.png": (ONE, ONE, 20.0)}
    assert images_before(state, float("inf")) == {"a.png": (TWO, TWO, 30.0), "b.png": (ONE, ONE, 20.0)}
    assert images_before(state, 10.0) == {}


def test_a_state_without_a_history(tmp_path: Path) -> None:
    """A missing state, and one of an older version, have no past images."""
    with contextlib.closing(State(tmp_path / "nowhere", create=False)) as state:
        assert (written(state, {"a.png"}), images_before(state, time.time())) == ([], {})
