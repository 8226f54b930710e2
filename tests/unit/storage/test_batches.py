"""Batches: images that wait for the disk together are all there afterwards, and in order at every moment before."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from qwenbuild.digest import sha256
from qwenbuild.errors import StoreError
from qwenbuild.request import Size
from qwenbuild.storage.action_result import parse_files
from qwenbuild.storage.batches import NewImage, put_all
from qwenbuild.storage.store import Store
from tests.faults import injector
from tests.faults.disk import Disk, State
from tests.support.pngs import made_for
from tests.support.stores import result_path
from tests.support.trouble import most_bytes

pytest_plugins = ("tests.support.injected",)

SIZE = Size(8, 8)


def image(number: int, provenance: bytes = b"{}") -> NewImage:
    key = sha256(b"key %d" % number)
    return NewImage.of(key, made_for(key, SIZE), provenance + b" " * number)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store whose folder does not exist yet."""
    return Store(tmp_path / "store")


def is_stored(store: Store, new: NewImage) -> bool:
    """Whether the store has the image, its provenance, and a result that names both."""
    entry = store.lookup(new.entry.key)
    return entry == new.entry and (store.read(entry), store.blob(entry.provenance, 1000)) == (new.image, new.provenance)


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_all_images_of_a_batch_are_stored(store: Store, count: int) -> None:
    """Each key has its image, and no temporary file is left. The files are read-only, as those of `Store.put`."""
    images = [image(number) for number in range(count)]
    assert put_all(store, images) == [True] * count
    assert [is_stored(store, new) for new in images] == [True] * count
    assert os.listdir(store.staging) == []
    assert {path.stat().st_mode & 0o222 for path in store.root.glob("?[cs]*/*/*")} <= {0}
    assert put_all(store, images) == [True] * count


def test_the_first_image_of_a_key_stays(store: Store) -> None:
    """The caller is told that the key has another image, in the order of the batch."""
    first, *others = (image(number) for number in range(3))
    store.put(first.entry.key, b"another image", b"{}")
    assert put_all(store, [others[0], first, others[1]]) == [True, False, True]
    entry = store.lookup(first.entry.key)
    assert entry is not None
    assert store.read(entry) == b"another image"
    assert os.listdir(store.staging) == []


def test_of_two_images_of_one_key_the_first_is_stored(store: Store) -> None:
    """The second one is not called stored."""
    first = image(1)
    second = NewImage.of(first.entry.key, b"another image", b"{}")
    assert put_all(store, [first, second]) == [True, False]
    assert is_stored(store, first)


def test_an_image_of_another_size_stays(store: Store) -> None:
    """It was made for the key, too, so the caller decides."""
    new = image(1)
    entry = store.put(new.entry.key, new.image, b"{}", other_size=Size(4, 4))
    assert put_all(store, [new]) == [False]
    assert store.lookup(new.entry.key, any_size=True) == entry


def test_damaged_images_are_repaired(store: Store) -> None:
    """A blob with other bytes gets the right ones; a result that can't be read, or without its image, is replaced."""
    images = [image(number) for number in range(3)]
    put_all(store, images)
    damaged = store.blob_path(images[0].entry.image)
    damaged.unlink()
    damaged.write_bytes(b"x" * images[0].entry.size_bytes)
    store.blob_path(images[1].entry.image).unlink()
    result_path(store, images[2].entry.key).unlink()
    result_path(store, images[2].entry.key).write_bytes(b"no result")
    assert put_all(store, images) == [True] * 3
    assert [is_stored(store, new) for new in images] == [True] * 3


def test_a_full_disk(store: Store) -> None:
    """The error says what to do, and no temporary file is left. Without the large image, the others are stored."""
    small, large = image(1), image(2, b" " * 4000)
    with most_bytes(3000), pytest.raises(StoreError, match="the store can't be written"):
        put_all(store, [small, large])
    assert (os.listdir(store.staging), store.lookup(small.entry.key)) == ([], None)
    with most_bytes(3000):
        assert put_all(store, [small]) == [True]
    assert is_stored(store, small)


def test_a_file_in_the_place_of_a_folder(store: Store) -> None:
    """The error names it."""
    new = image(1)
    store.root.mkdir()
    (store.root / "cas").touch()
    with pytest.raises(StoreError, match="something else is in a folder's place"):
        put_all(store, [new])


# --- every moment of a batch ---

_SCRIPT = """
import sys
from pathlib import Path
from qwenbuild.storage.batches import put_all
from qwenbuild.storage.store import Store
from tests.unit.storage.test_batches import image
put_all(Store(Path(sys.argv[1])), [image(number) for number in range(int(sys.argv[2]))])
"""


def recorded(library: Path, store: Store, count: int) -> Sequence[injector.Call]:
    """Return the calls of a batch of `count` images."""
    arming = injector.Arming(store.root.parent / "log", (store.root.parent,), records_data=True)
    command = [sys.executable, "-c", _SCRIPT, str(store.root), str(count)]
    subprocess.run(command, env={**os.environ, **arming.environment(library)}, check=True)
    return injector.read(arming.log)


def wrong(store: Store, state: State) -> list[str]:
    """Return the files of a state that have other bytes than their names say, and results without their blobs."""
    found, root = [], str(store.root)
    for path, content in state.items():
        kind, name = os.path.relpath(path, root).split(os.sep)[0], os.path.basename(path)
        if content is None or kind not in ("ac", "cas"):
            continue
        if kind == "cas" and sha256(content) != name:
            found.append(path)
        if kind == "ac":
            names = [digest for digest, _ in (parse_files(content) or {"": ("", 0)}).values()]
            found += [path for digest in names if os.fspath(store.blob_path(digest or "0" * 64)) not in state]
    return found


@pytest.mark.parametrize("count", [1, 4])  # the files of one image are synced one by one, those of four together
def test_no_result_is_without_its_blobs(library: Path, store: Store, count: int) -> None:
    """Neither a kill nor a power cut at any call leaves one, and at the end a power cut takes nothing."""
    disk = Disk([store.root.parent])
    for call in recorded(library, store, count):
        disk.do(call)
        if call.name not in ("rename", "fsync", "syncfs"):  # nothing gets a name in cas/ or ac/, and nothing is safe
            continue
        assert wrong(store, disk.everything) == [], f"a kill after {call}"
        for state in disk.states((str(store.staging),)):
            assert wrong(store, state) == [], f"a power cut after {call}"
    for number in range(count):
        entry = image(number).entry
        for path in (*map(store.blob_path, (entry.image, entry.provenance)), result_path(store, entry.key)):
            assert disk.least[str(path)] == path.read_bytes()


def test_a_batch_waits_for_the_disk_three_times(library: Path, store: Store) -> None:
    """The whole file system is synced: bytes, names of blobs, names of results. New folders cost nothing more."""
    put_all(store, [image(99)])
    waits = [call.name for call in recorded(library, store, 20) if call.name in ("fsync", "fdatasync", "syncfs")]
    assert waits == ["syncfs"] * 3
