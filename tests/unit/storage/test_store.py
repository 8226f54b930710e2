"""The store: real files, concurrent and killed processes, full disks and missing permissions."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.digest import sha256
from qwenbuild.errors import StoreError
from qwenbuild.request import Size
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.gc import plan_gc
from qwenbuild.storage.store import Store, second_key
from tests.support.pngs import made_for
from tests.support.stores import result_path, rewrite, stored_files
from tests.support.trouble import most_bytes, nobody, public_folder

KEY = sha256(b"a key")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store whose folder does not exist yet."""
    return Store(tmp_path / "store")


def _run(script: str, *arguments: object) -> str:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# --- storing and reading ---


def test_what_is_absent(store: Store) -> None:
    """Keys that no listed folder contains are absent. For few keys, or in a far larger store, nothing is listed."""
    there = [sha256(b"there %d" % number) for number in range(3000)]
    missing = {sha256(b"missing %d" % number) for number in range(3000)}
    assert store.absent(missing) == missing
    for key in there:
        path = result_path(store, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert store.absent({*there, *missing}) == missing
    assert store.absent(set(there[:9])) == store.absent(set()) == set()
    shard = [f"ab{number:062x}" for number in range(500)]
    for key in shard[:400]:
        result_path(store, key).touch()
    assert store.absent(set(shard[390:])) == set(shard[400:])
    assert store.absent(set(shard[-9:])) == set()


def test_an_image_comes_back(store: Store) -> None:
    """An image that was put can be looked up and read, and so can its provenance."""
    entry = store.put(KEY, b"image", b'{"seed":1}')
    assert entry == Entry(KEY, sha256(b"image"), 5, sha256(b'{"seed":1}'))
    assert (store.lookup(KEY), store.read(entry), store.provenance(entry)) == (entry, b"image", {"seed": 1})


def test_the_layout_is_that_of_bazels_disk_cache(store: Store) -> None:
    """Blobs and results lie in folders of two hex digits, and nothing is left in staging."""
    entry = store.put(KEY, b"image", b"{}")
    assert stored_files(store) == sorted(
        [f"ac/{KEY[:2]}/{KEY}", *(f"cas/{name[:2]}/{name}" for name in (entry.image, entry.provenance)), "lock"]
    )
    assert store.blob_path(entry.image).read_bytes() == b"image"


def test_an_action_result_is_reapi_json(store: Store) -> None:
    """Sizes are strings, because proto3 JSON writes 64-bit integers as strings."""
    store.put(KEY, b"image", b"{}")
    assert json.loads(result_path(store, KEY).read_bytes()) == {
        "outputFiles": [
            {"path": "image.png", "digest": {"hash": sha256(b"image"), "sizeBytes": "5"}},
            {"path": "provenance.json", "digest": {"hash": sha256(b"{}"), "sizeBytes": "2"}},
        ]
    }


def test_making_a_store_and_looking_up_writes_nothing(store: Store) -> None:
    """A lookup does not make the store's folder."""
    assert (store.lookup(KEY), store.projects(), store.root.exists()) == (None, [], False)


def test_files_are_read_only(store: Store) -> None:
    """An editor can't save over a stored image."""
    entry = store.put(KEY, b"image", b"{}")
    paths = (result_path(store, KEY), store.blob_path(entry.image), store.blob_path(entry.provenance))
    assert [stat.S_IMODE(path.stat().st_mode) & 0o222 for path in paths] == [0, 0, 0]


@pytest.mark.parametrize("name", ["", "a" * 63, "A" * 64, "g" * 64, "../" * 21 + "a", "a" * 64 + "\n", "٣" * 64])
def test_names_that_are_no_digests_never_become_paths(store: Store, name: str) -> None:
    """A key or digest that is not 64 lower-case hex digits raises ValueError."""
    for action in (store.lookup, store.blob_path, lambda key: store.put(key, b"", b"")):
        with pytest.raises(ValueError, match="64 lower-case hex"):
            action(name)
    assert not store.root.exists()


def test_the_first_image_of_a_key_stays(store: Store) -> None:
    """A second image of the same key is not stored, and `put` returns the entry of the first image."""
    first = store.put(KEY, b"first", b"{}")
    assert (store.put(KEY, b"second", b"{}"), store.lookup(KEY)) == (first, first)
    assert sorted(path.name for path in (store.root / "cas").rglob("*") if path.is_file()) == sorted(
        [first.image, first.provenance]
    )


def test_an_image_is_replaced_when_the_user_asks(store: Store) -> None:
    """With `replace` the key has the new image."""
    store.put(KEY, b"first", b"{}")
    second = store.put(KEY, b"second", b"{}", replace=True)
    assert (second.image, store.lookup(KEY)) == (sha256(b"second"), second)


def test_another_image_of_a_key_is_put_beside_the_first(store: Store) -> None:
    """With `put_beside` both images are kept: the first under the key, the second under another key."""
    first = store.put_beside(KEY, b"first", b"{}")
    second = store.put_beside(KEY, b"second", b'{"seed":2}')
    assert (first, second.key) == (store.lookup(KEY), second_key(KEY, sha256(b"second")))
    assert store.put_beside(KEY, b"second", b'{"seed":2}') == second == store.lookup(second.key)
    assert [store.read(entry) for entry in (first, second)] == [b"first", b"second"]


def test_a_corrupt_image_does_not_stand_in_the_way_of_a_new_one(store: Store) -> None:
    """An entry with damaged bytes of the right size is replaced by a new image."""
    entry = store.put(KEY, b"first", b"{}")
    rewrite(store.blob_path(entry.image), b"FIRST")
    second = store.put(KEY, b"second", b"{}")
    assert (second.image, store.read(second)) == (sha256(b"second"), b"second")


def test_putting_the_same_bytes_again_heals_them(store: Store) -> None:
    """A corrupt blob is repaired when its bytes are put again, even under another key."""
    entry = store.put(KEY, b"image", b"{}")
    rewrite(store.blob_path(entry.image), b"IMAGE")
    store.put(sha256(b"other"), b"image", b"{}")
    assert store.read(entry) == b"image"


def test_an_emptied_cache_folder_is_filled_again(store: Store) -> None:
    """After the store's folder was emptied, reading is a miss, and `put` works again."""
    entry = store.put(KEY, b"image", b"{}")
    for path in sorted(store.root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert (store.lookup(KEY), store.read(entry), store.provenance(entry)) == (None, None, None)
    store.touch(entry.key)
    assert store.put(KEY, b"image", b"{}") == store.lookup(KEY) == entry


# --- corruption ---


@pytest.mark.parametrize("content", [b"short", b"IMAGE", b"longer than it was", b""])
def test_a_corrupt_image_is_quarantined(store: Store, content: bytes) -> None:
    """Wrong bytes are never returned: they go to quarantine, and the entry becomes a miss."""
    entry = store.put(KEY, b"image", b"{}")
    rewrite(store.blob_path(entry.image), content)
    assert (store.read(entry), store.lookup(KEY)) == (None, None)
    (moved,) = (store.root / "quarantine").iterdir()
    assert (moved.name.startswith(entry.image), moved.read_bytes()) == (True, content)


def test_corrupt_provenance_is_none(store: Store) -> None:
    """Corrupt provenance is None, and the image can still be read."""
    entry = store.put(KEY, b"image", b'{"seed":1}')
    rewrite(store.blob_path(entry.provenance), b'{"seed":2}')
    assert (store.provenance(entry), store.read(entry), store.lookup(KEY)) == (None, b"image", entry)


@pytest.mark.parametrize("content", [b"[1]", b"not JSON", b"\xff", b"[" * 100_000])
def test_provenance_that_is_no_object_is_none(store: Store, content: bytes) -> None:
    """Provenance that is not a JSON object is None."""
    assert store.provenance(store.put(KEY, b"image", content)) is None


def test_an_image_of_the_wrong_size_is_a_miss(store: Store) -> None:
    """A truncated blob is a miss; the lookup does not read it."""
    entry = store.put(KEY, b"image", b"{}")
    rewrite(store.blob_path(entry.image), b"ima")
    assert store.lookup(KEY) is None


_DIGEST: dict[str, Any] = {"hash": sha256(b"image"), "sizeBytes": "5"}


@pytest.mark.parametrize(
    "result",
    [
        b"",
        b"\0" * 300,
        b"[]",
        b"{}",
        b'{"outputFiles": 1}',
        b'{"outputFiles": [1]}',
        b'{"outputFiles": [{"path": "image.png"}]}',
        b"[" * 10_000,
        b" " * 20_000,
        json.dumps({"outputFiles": [{"path": "image.png", "digest": _DIGEST}]}).encode(),
    ],
    ids=range(10),
)
def test_a_corrupt_result_is_a_miss(store: Store, result: bytes) -> None:
    """A result that can't be parsed is a miss, and a new image takes its place."""
    store.put(KEY, b"image", b"{}")
    rewrite(result_path(store, KEY), result)
    assert store.lookup(KEY) is None
    assert store.put(KEY, b"new", b"{}") == store.lookup(KEY)


# --- processes ---


def _race(root: Path, number: int, barrier: Any, answers: Any) -> None:
    store = Store(root)
    entries = []
    for turn in range(20):
        barrier.wait()
        entries.append(store.put(sha256(b"%d" % turn), b"%d of %d" % (turn, number) * 1000, b'{"n":%d}' % number))
    answers.put(entries)


def test_processes_that_race_for_a_key_keep_one_image(tmp_path: Path) -> None:
    """All processes get the same complete entry, and the other images are not kept."""
    spawn = multiprocessing.get_context("spawn")
    barrier, answers = spawn.Barrier(3), spawn.Queue()
    racers = [spawn.Process(target=_race, args=(tmp_path, number, barrier, answers)) for number in range(3)]
    for racer in racers:
        racer.start()
    entries = [answers.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join(60)
    store = Store(tmp_path)
    standing = [store.lookup(sha256(b"%d" % turn)) for turn in range(20)]
    assert entries == [standing] * 3
    for entry in standing:
        assert entry is not None
        assert store.read(entry) is not None
        assert store.provenance(entry) is not None
    assert len({entry.image for entry in standing if entry}) == 20 == sum(
        path.stat().st_size > 100 for path in (tmp_path / "cas").rglob("*") if path.is_file()
    )  # fmt: skip


def test_threads_that_race_for_a_key_keep_one_image(store: Store) -> None:
    """Threads may share one store object."""
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(lambda n: store.put(KEY, b"image %d" % n, b"{}"), range(24)))
    assert set(entries) == {store.lookup(KEY)}


_ENDLESS = """
import sys
from pathlib import Path
from qwenbuild.storage.store import Store
from qwenbuild.digest import sha256
store = Store(Path(sys.argv[1]))
for n in range(10**9):
    print(n, flush=True)
    store.put(sha256(b"%d" % (n % 5)), b"%d" % n * 200_000, b"{}", replace=True)
"""


def test_a_killed_put_leaves_no_torn_entry(tmp_path: Path) -> None:
    """After a kill at any time, every result names complete blobs, and the next put succeeds."""
    store = Store(tmp_path / "store")
    for turn in range(10):
        with subprocess.Popen([sys.executable, "-c", _ENDLESS, store.root], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(3):
                writer.stdout.readline()
            time.sleep(0.0031 * turn)
            writer.send_signal(signal.SIGKILL)
        for path in (store.root / "ac").rglob("?" * 64):
            entry = store.lookup(path.name)
            assert entry is not None
            assert store.read(entry) is not None
    assert not (store.root / "quarantine").exists()
    assert store.put(KEY, b"image", b"{}") == store.lookup(KEY)


def test_a_put_waits_for_the_lock(store: Store) -> None:
    """A put waits while another process or thread holds the store's lock."""
    other = Store(store.root)
    store.put(KEY, b"image", b"{}")
    key = sha256(b"other")
    with other.exclusive():
        thread = threading.Thread(target=store.put, args=(key, b"new", b"{}"))
        thread.start()
        thread.join(0.2)
        assert (thread.is_alive(), store.lookup(key)) == (True, None)
    thread.join(30)
    assert store.lookup(key) is not None


# --- what the system refuses ---

_FULL = """
import sys
from pathlib import Path
from qwenbuild.storage.store import Store
import resource, signal
from qwenbuild.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    Store(Path(sys.argv[1])).put("0" * 64, b"x" * 200_000, b"{}")
except StoreError as error:
    print(error)
"""


def test_a_full_disk_is_a_clear_error(store: Store) -> None:
    """The error has a hint, the store has not changed, and later puts succeed."""
    entry = store.put(KEY, b"image", b"{}")
    before = stored_files(store)
    assert _run(_FULL, store.root) == (
        "error: the store can't be written: its disk or quota is full\n"
        f"  = store: {store.root}\n"
        "  = hint: make room there, or run `qwenbuild gc`\n"
    )
    assert (stored_files(store), store.read(entry)) == (before, b"image")


def test_a_store_without_permissions_is_a_clear_error() -> None:
    """An unreadable store is an error, not a miss: its images may have been paid for."""
    import filelock  # noqa: F401 - later this process has no right to read it

    with public_folder() as root:
        for name in ("ac", "cas", "projects"):
            (root / name).mkdir(mode=0o000)
        root.chmod(0o555)
        store = Store(root)
        actions: list[tuple[str, Callable[[], object]]] = [
            ("read", lambda: store.lookup("0" * 64)),
            ("written", lambda: store.put("0" * 64, b"x", b"{}")),
            ("read", store.projects),
        ]
        with nobody():
            for verb, action in actions:
                with pytest.raises(StoreError) as caught:
                    action()
                assert caught.value.claim == f"the store can't be {verb}: permission denied"
            store.register(Path("/"))
            store.touch("0" * 64)


def test_a_file_in_the_stores_place_is_a_clear_error(tmp_path: Path) -> None:
    """Reading and writing raise StoreError; registering a project does not."""
    (tmp_path / "store").touch()
    store = Store(tmp_path / "store")
    actions: list[tuple[str, Callable[[], object]]] = [
        ("read", lambda: store.lookup(KEY)),
        ("written", lambda: store.put(KEY, b"", b"{}")),
        ("read", store.projects),
        ("read", lambda: plan_gc(store)),
    ]
    for verb, action in actions:
        with pytest.raises(StoreError) as caught:
            action()
        assert caught.value.claim == f"the store can't be {verb}: something else is in a folder's place"
    store.register(tmp_path)


# --- its folder and its projects ---


def test_projects_are_registered_once(store: Store, tmp_path: Path) -> None:
    """A project is listed once, by its real path, even if it was registered through a link."""
    (tmp_path / "b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "b")
    for root in (tmp_path / "b", tmp_path / "link", tmp_path / "a", tmp_path / "b"):
        store.register(root)
    assert store.projects() == [tmp_path / "a", tmp_path / "b"]


def test_a_damaged_registration_is_no_project(store: Store, tmp_path: Path) -> None:
    """A registration whose content does not match its name is skipped."""
    store.register(tmp_path)
    (store.root / "projects" / ("0" * 64)).write_bytes(b"/somewhere")
    (store.root / "projects" / "notes.txt").write_bytes(b"/somewhere")
    assert store.projects() == [tmp_path]


def test_registering_sweeps_up_after_crashes(store: Store, tmp_path: Path) -> None:
    """Registering removes leftovers of crashes, but not a file that is being written."""
    store.staging.mkdir(parents=True)
    (store.staging / "0123.tmp").touch()
    store.register(tmp_path)
    assert [path.name for path in store.staging.iterdir()] == ["0123.tmp"]


# --- trouble ---


def test_an_unreadable_blob_raises(store: Store) -> None:
    """It is an error, never a miss: the image may have been paid for."""
    entry = store.put(KEY, b"image", b"{}")
    for digest in (entry.image, entry.provenance):
        path = store.blob_path(digest)
        path.unlink()
        path.symlink_to(path.name)
    for action in (store.read, store.provenance):
        with pytest.raises(StoreError) as caught:
            action(entry)
        assert caught.value.claim == "the store can't be read: Too many levels of symbolic links"
    assert not (store.root / "quarantine").exists()


def test_a_shard_that_can_not_be_listed_is_left_to_lookup(store: Store) -> None:
    """Its error is raised for the keys that are looked up, one by one."""
    keys = {f"ab{number:062x}" for number in range(20)}
    (store.root / "ac").mkdir(parents=True)
    (store.root / "ac" / "ab").touch()
    assert store.absent(keys) == set()
    with pytest.raises(StoreError):
        store.lookup(min(keys))


def test_an_empty_store_lacks_all_keys(store: Store) -> None:
    """A shard that does not exist is passed over, and the others are listed."""
    keys = {f"{shard}{number:062x}" for shard in ("ab", "cd") for number in range(20)}
    present = f"cd{3:062x}"
    result_path(store, present).parent.mkdir(parents=True)
    result_path(store, present).touch()
    assert store.absent(keys) == keys - {present}


def test_a_store_that_can_not_be_prepared(tmp_path: Path) -> None:
    """A build learns it before it pays."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "cas").touch()
    with pytest.raises(StoreError) as caught:
        Store(tmp_path / "store").prepare()
    assert caught.value.claim == "the store can't be written: something else is in a folder's place"
    assert caught.value.facts == (f"store: {tmp_path / 'store'}", f"path:  {tmp_path / 'store' / 'cas'}")


def test_preparing_leaves_folders_and_no_files(store: Store) -> None:
    """The folders are there, and staging is empty."""
    store.prepare()
    store.prepare()
    assert sorted(os.listdir(store.root)) == ["ac", "cas", "tmp"]
    assert os.listdir(store.staging) == []


def test_a_lock_that_hangs_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the error says which lock was waited for."""
    monkeypatch.setattr("qwenbuild.storage.store._LOCK_TIMEOUT_S", 0.02)
    store.put(KEY, b"image", b"{}")
    with Store(store.root).exclusive(), pytest.raises(StoreError) as caught:
        store.put("0" * 64, b"image", b"{}")
    assert caught.value.claim == "the store is locked by another process"
    assert caught.value.facts == (f"lock:   {store.root / 'lock'}", "waited: 0 s")
    assert caught.value.hint == "end the process that hangs, then build again"


def test_a_blob_that_another_process_repairs(store: Store) -> None:
    """Whoever waited for the lock reads the repaired bytes, and nothing goes to quarantine."""
    entry = store.put(KEY, b"image", b"{}")
    rewrite(store.blob_path(entry.image), b"IMAGE")
    found: list[bytes | None] = []
    reader = threading.Thread(target=lambda: found.append(store.read(entry)))
    with Store(store.root).exclusive():
        reader.start()
        deadline_s = time.monotonic() + 30
        while not _is_inside(reader, "exclusive"):
            assert time.monotonic() < deadline_s
            time.sleep(0.001)
        rewrite(store.blob_path(entry.image), b"image")
    reader.join()
    assert found == [b"image"]
    assert not (store.root / "quarantine").exists()


def _is_inside(thread: threading.Thread, function: str) -> bool:
    """Whether a thread is in a call of that function at present."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code.co_name != function:
        frame = frame.f_back
    return frame is not None


def test_a_registration_that_has_gone_is_no_project(store: Store, tmp_path: Path) -> None:
    """Garbage collection may remove it while the others are listed."""
    store.register(tmp_path)
    (store.root / "projects" / ("0" * 64)).symlink_to("gone")
    assert store.projects() == [tmp_path]


def test_a_full_disk_while_an_image_is_replaced(store: Store) -> None:
    """The old image stays under its key, and nothing is left in staging."""
    entry = store.put(KEY, b"old", b"{}")
    with most_bytes(1000), pytest.raises(StoreError):
        store.put(KEY, b"n" * 2000, b"{}", replace=True)
    assert (store.lookup(KEY), store.read(entry), os.listdir(store.staging)) == (entry, b"old", [])


def test_a_replaced_image_is_set_aside(store: Store) -> None:
    """The old image was paid for: it stays, with its provenance, under the second key."""
    old = store.put(KEY, b"old", b'{"seed":1}')
    new = store.put(KEY, b"new", b"{}", replace=True)
    aside = store.lookup(second_key(KEY, old.image))
    assert aside is not None
    assert (aside.image, store.read(aside), store.provenance(aside)) == (old.image, b"old", {"seed": 1})
    assert store.lookup(KEY) == new
    assert result_path(store, aside.key).stat().st_mode & 0o777 == 0o444
    assert store.put(KEY, b"new", b"{}", replace=True) == new
    assert store.lookup(second_key(KEY, new.image)) is None


def test_a_large_blob_is_not_read(store: Store) -> None:
    """A blob above the limit is a miss, and goes to quarantine; one at the limit is read."""
    entry = store.put(KEY, b"image", b"{}")
    assert store.blob(entry.image, 5) == b"image"
    assert store.blob(entry.image, 4) is None
    assert [path.name[:64] for path in (store.root / "quarantine").iterdir()] == [entry.image]


def test_using_an_entry_marks_it(store: Store) -> None:
    """Its result file gets the present time; an entry that is gone is no error."""
    entry = store.put(KEY, b"image", b"{}")
    os.utime(result_path(store, KEY), (1, 1))
    store.touch(entry.key)
    assert time.time() - result_path(store, KEY).stat().st_mtime < 100
    result_path(store, KEY).unlink()
    store.touch(entry.key)


def test_a_store_that_is_emptied_during_a_put(store: Store) -> None:
    """The image was paid for: what was removed is written again."""
    store.put("0" * 64, b"other", b"{}")
    writer = threading.Thread(target=store.put, args=[KEY, b"image", b"{}"])
    with Store(store.root).exclusive():
        writer.start()
        deadline_s = time.monotonic() + 30
        while not _is_inside(writer, "exclusive"):
            assert time.monotonic() < deadline_s
            time.sleep(0.001)
        for name in ("tmp", "ac", "cas"):
            shutil.rmtree(store.root / name)
    writer.join()
    entry = store.lookup(KEY)
    assert entry is not None
    assert (store.read(entry), os.listdir(store.staging)) == (b"image", [])


# --- images of requests ---


@pytest.mark.parametrize(
    "image", [b"<html>no image", made_for(KEY, Size(8, 16)), made_for("cd" * 32, Size(16, 8)),
              made_for(KEY, Size(16, 8)) + b"more"],
)  # fmt: skip
def test_only_the_image_of_the_request_leaves_the_store(tmp_path: Path, image: bytes) -> None:
    """Bytes with the right digest that are no image, or another one, count as corrupt: they go to quarantine."""
    store = Store(tmp_path / "store")
    entry = store.put(KEY, image, b"{}")
    assert store.image(entry, KEY, Size(16, 8)) is None
    assert (store.read(entry), store.lookup(KEY)) == (None, None)
    (aside,) = (tmp_path / "store/quarantine").iterdir()
    assert aside.read_bytes() == image
    assert store.image(entry, KEY, Size(16, 8)) is None
    right = made_for(KEY, Size(16, 8))
    assert store.image(store.put(KEY, right, b"{}"), KEY, Size(16, 8)) == right
