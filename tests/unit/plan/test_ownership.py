"""Ownership: whose file is at an output's path, if the state has no record that fits."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwenbuild.digest import sha256
from qwenbuild.files.provenance import with_provenance
from qwenbuild.plan.ownership import Ownership, pinned_outputs
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.records import Output
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store, second_key
from tests.support.scripted import PNG, request_of

REQUEST = request_of("a cat")
KEY = "a" * 64


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """The state of a project that has built nothing."""
    with contextlib.closing(State(tmp_path / "state.sqlite3")) as made:
        yield made


@pytest.fixture
def unknowing(tmp_path: Path) -> Iterator[State]:
    """The state of another project that has built nothing."""
    with contextlib.closing(State(tmp_path / "unknowing.sqlite3")) as made:
        yield made


def outdated(state: State, tmp_path: Path, content: bytes, lock: Lock | None = None) -> tuple[str, str] | None:
    """Return whose the file `s/a.png` with this content is."""
    path = tmp_path / "a.png"
    path.write_bytes(content)
    ownership = Ownership({}, lock or Lock(), state, Store(tmp_path / "store"))
    return ownership.outdated("s/a.png", KEY, str(path), sha256(content))


def pin(image: bytes, key: str = "b" * 64, path: str = "s/a.png") -> dict[str, Pin]:
    return {path: Pin(path, "s/a", key, sha256(image), "m", 1)}


def test_what_the_lock_pins_for_the_path_is_an_own_file(state: State, tmp_path: Path) -> None:
    """On either side of a conflict. What it pins for another path is not."""
    assert outdated(state, tmp_path, b"x", Lock(pin(b"x"))) == ("b" * 64, "")
    assert outdated(state, tmp_path, b"x", Lock(pin(b"y"), pin(b"x"))) == ("b" * 64, "")
    assert outdated(state, tmp_path, b"x", Lock(pin(b"x", path="s/b.png"))) is None
    assert outdated(state, tmp_path, b"x") is None


def test_the_request_in_the_image_counts_only_with_its_key(state: State, tmp_path: Path) -> None:
    """A stranger's image could name any request."""
    image = with_provenance(PNG, {"request": REQUEST.as_dict()})
    found = outdated(state, tmp_path, image, Lock(pin(image, REQUEST.key)))
    assert found
    assert (found[0], json.loads(found[1])) == (REQUEST.key, REQUEST.as_dict())
    assert outdated(state, tmp_path, image, Lock(pin(image))) == ("b" * 64, "")
    for wrong in ({}, {"request": 7}, {"request": {"size": "x"}}):
        image = with_provenance(PNG, wrong)
        assert outdated(state, tmp_path, image, Lock(pin(image))) == ("b" * 64, "")


def test_earlier_images_of_the_path_and_of_the_request_are_own_files(state: State, tmp_path: Path) -> None:
    """The state remembers what was there before, and the store what was rendered for the request."""
    for content in (b"old", b"new"):
        state.record([Output("s/a.png", "c" * 64, sha256(content), 3, 0, 0, "s/a")], {})
    assert outdated(state, tmp_path, b"old") == ("c" * 64, "")
    assert outdated(state, tmp_path, b"other") is None
    Store(tmp_path / "store").put(second_key(KEY, sha256(b"other")), b"other", b"{}")
    assert outdated(state, tmp_path, b"other") == (KEY, "")


def test_a_blob_that_an_output_had_before_is_found_by_its_key(state: State, unknowing: State, tmp_path: Path) -> None:
    """By the state or by the pin, and only if the image carries the key: a stranger's state may name any blob."""
    store = Store(tmp_path / "store")
    ownership = Ownership({}, Lock(), state, store)
    image = with_provenance(PNG, {"request": REQUEST.as_dict()})
    for content, key in ((image, REQUEST.key), (b"no image", KEY), (image, KEY)):
        state.record([Output("s/a.png", key, sha256(content), 3, 0, 0, "s/a")], {})
    assert ownership.kept(REQUEST.key, "") is None
    for content in (image, b"no image"):
        blob = store.blob_path(sha256(content))
        blob.parent.mkdir(parents=True)
        blob.write_bytes(content)
    expected = (str(store.blob_path(sha256(image))), sha256(image))
    assert ownership.kept(REQUEST.key, "") == expected
    assert Ownership({}, Lock(), unknowing, store).kept(REQUEST.key, sha256(image)) == expected
    assert Ownership({}, Lock(), unknowing, store).kept(REQUEST.key, "") is None
    assert ownership.kept(REQUEST.key, sha256(b"no image")) is None
    assert ownership.kept(KEY, "") is None


def test_the_cell_whose_image_a_file_holds(state: State, tmp_path: Path) -> None:
    """Lock and state know it."""
    record = Output("s/b.png", KEY, sha256(b"x"), 1, 0, 0, "s/b")
    for records, lock, name in (({}, Lock(), ""), ({}, Lock(pin(b"x")), "s/a"), ({"s/b.png": record}, Lock(), "s/b")):
        assert Ownership(records, lock, state, Store(tmp_path)).cell_of(sha256(b"x")) == name


def test_pinned_outputs(tmp_path: Path) -> None:
    """Each existing file has its present status; a file with other bytes is not an own one."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s/a.png").write_bytes(b"x")
    pins = [*pin(b"x").values(), *pin(b"x", path="s/b.png").values()]
    [(record, is_own)] = pinned_outputs(pins, tmp_path)
    assert (record.path, record.image, record.st_size, is_own) == ("s/a.png", sha256(b"x"), 1, True)
    (tmp_path / "s/a.png").write_bytes(b"y")
    assert [is_own for _, is_own in pinned_outputs(pins, tmp_path)] == [False]
