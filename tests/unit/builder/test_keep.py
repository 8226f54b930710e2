"""Keeping: a rendered image is verified, gets its provenance, and goes into the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenbuild.builder.keep import copied, keep, keep_replaced
from qwenbuild.digest import sha256
from qwenbuild.errors import ProviderError, StoreError, WrongSize
from qwenbuild.files.provenance import read_provenance
from qwenbuild.provider import Rendered
from qwenbuild.providers.null import plain
from qwenbuild.request import Request, Size
from qwenbuild.storage.outputs import status
from qwenbuild.storage.records import Output
from qwenbuild.storage.store import Store, second_key

REQUEST = Request("f-1", "m", "a ball", "", Size(16, 8), 1, False, False)
KEY = REQUEST.key
RED, BLUE = (Rendered(plain(REQUEST.size, colour), {"note": colour.decode()}) for colour in (b"red", b"blu"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


def test_an_image_and_its_provenance_are_stored(store: Store) -> None:
    """The stored image carries request, key, provider and the provider's facts."""
    entry, image = keep(store, "p", KEY, REQUEST, RED)
    assert (entry.key, entry.image, entry.size_bytes) == (KEY, sha256(image), len(image))
    assert (store.lookup(KEY), store.read(entry)) == (entry, image)
    assert read_provenance(image) == {
        "generator": "qwenbuild", "action_key": KEY, "provider": "p", "request": REQUEST.as_dict(), "note": "red",
    }  # fmt: skip


def test_what_is_about_to_be_replaced_is_stored(store: Store, tmp_path: Path) -> None:
    """No action result names it. A file that can't be read, or that the store has, is not read."""
    path = tmp_path / "a.png"
    path.write_bytes(b"image")
    for _ in range(2):
        keep_replaced(store, path, status(path))
    assert (store.blob(sha256(b"image"), 5), [*store.root.glob("ac/*/*")]) == (b"image", [])
    record = Output("a.png", KEY, sha256(b"image"), 5, 0, 0, "a")
    path.write_bytes(b"another")
    keep_replaced(store, path, record)
    keep_replaced(store, tmp_path, status(tmp_path))
    keep_replaced(store, tmp_path / "none", None)
    assert len([*store.root.glob("cas/*/*")]) == 1


def test_an_image_is_copied_only_with_the_right_bytes(store: Store, tmp_path: Path) -> None:
    """They go into the store, and no action result names them. Once they are there, the file may change."""
    path = tmp_path / "a.png"
    assert copied(store, path, sha256(b"image")) is None
    path.write_bytes(b"image")
    assert copied(store, path, sha256(b"other")) is None
    assert copied(store, path, sha256(b"image")) == b"image"
    path.write_bytes(b"other")
    assert copied(store, path, sha256(b"image")) == b"image"
    assert (store.blob(sha256(b"image"), 5), [*store.root.glob("ac/*/*")]) == (b"image", [])


@pytest.mark.parametrize("file", [".", "tmp"])
def test_nothing_is_replaced_if_it_can_not_be_stored(store: Store, tmp_path: Path, file: str) -> None:
    """The bytes may have been paid for on another machine."""
    place = store.root / file
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"")  # where a folder must be
    path = tmp_path / "a.png"
    path.write_bytes(b"image")
    with pytest.raises(StoreError, match="the store can't be"):
        keep_replaced(store, path, status(path))
    assert path.read_bytes() == b"image"


def test_bytes_that_are_not_the_image(store: Store) -> None:
    """An image of another size is refused and not stored."""
    with pytest.raises(ProviderError):
        keep(store, "p", KEY, REQUEST, Rendered(plain(Size(8, 8), b"red")))
    assert store.lookup(KEY) is None


def test_the_first_image_stays_unless_forced(store: Store) -> None:
    """A second image of a key is dropped; a forced one replaces the first."""
    first = keep(store, "p", KEY, REQUEST, RED)
    assert keep(store, "p", KEY, REQUEST, BLUE) == first
    entry, image = keep(store, "p", KEY, REQUEST, BLUE, forced=True)
    assert (read_provenance(image) or {})["note"] == "blu"
    assert store.lookup(KEY) == entry


def test_the_image_that_the_lock_pins_is_kept_beside_the_first(store: Store) -> None:
    """If the lock pins the new bytes, they are stored although another image was first."""
    pinned = keep(Store(store.root.parent / "other"), "p", KEY, REQUEST, BLUE)[0].image
    first, _ = keep(store, "p", KEY, REQUEST, RED)
    entry, image = keep(store, "p", KEY, REQUEST, BLUE, pinned=pinned)
    assert (entry.image, sha256(image)) == (pinned, pinned)
    assert store.lookup(KEY) == first


def test_a_verified_image_is_not_verified_again(store: Store) -> None:
    """A provider that has verified its image says so: verifying a large one takes as long as a small render."""
    torn = Rendered(RED.png.replace(b"IEND\xaeB`\x82", b"IEND\xaeB`\x83"), {}, verified=True)
    entry, image = keep(store, "p", KEY, REQUEST, torn)
    assert store.read(entry) == image


def test_an_image_of_another_size_is_kept(store: Store) -> None:
    """It is paid for, but it is no image of the request: its entry records the size, and only the user takes it."""
    other = Rendered(plain(Size(8, 8), b"red"), {})
    with pytest.raises(WrongSize) as caught:
        keep(store, "p", KEY, REQUEST, other)
    assert caught.value.claim == f"the image was made in another size: 8x8, not {REQUEST.size}"
    entry = store.lookup(KEY, any_size=True)
    assert entry is not None
    assert (store.lookup(KEY), entry.other_size) == (None, Size(8, 8))
    assert keep(store, "p", KEY, REQUEST, other, accept_size=True) == (entry, store.read(entry))
    provenance = store.provenance(entry) or {}
    assert (provenance["actual_size"], provenance["request"]["size"]) == ("8x8", REQUEST.size.wire)


def test_an_image_of_another_size_replaces_nothing(store: Store) -> None:
    """The request's own image stays, and the other is kept beside it. The own image takes the other's place."""
    other, digests = Rendered(plain(Size(8, 8), b"red"), {}), set[str]()
    for first, second in ((other, RED), (RED, other)):
        place = Store(store.root / str(len(digests)))
        for rendered in (first, second):
            entry, _ = keep(place, "p", KEY, REQUEST, rendered, accept_size=True)
            digests.add(entry.image)
        own, beside = place.lookup(KEY), [place.lookup(second_key(KEY, it), any_size=True) for it in digests]
        assert own is not None
        assert own.other_size is None
        assert [it.other_size for it in beside if it] == [Size(8, 8)]


@pytest.mark.parametrize("after", [bytes(16), b"PK\x03\x04 an archive", bytes(100_000)])
def test_an_image_with_bytes_behind_its_end_is_kept(store: Store, after: bytes) -> None:
    """Every decoder shows it, and it was paid for. The rest is cut off."""
    whole = keep(Store(store.root.parent / "other"), "p", KEY, REQUEST, RED)
    assert keep(store, "p", KEY, REQUEST, Rendered(RED.png + after, RED.facts)) == whole
    assert keep(store, "p", KEY, REQUEST, Rendered(RED.png + after, RED.facts, verified=True)) == whole


def test_a_stored_image_that_is_not_the_requests_own_is_replaced(store: Store) -> None:
    """The first image stays only if it is one; the paid one takes its place."""
    store.put(KEY, b"no image", b"{}")
    entry, image = keep(store, "p", KEY, REQUEST, RED)
    assert (store.lookup(KEY), store.image(entry, KEY, REQUEST.size)) == (entry, image)
