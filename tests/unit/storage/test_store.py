"""Tests of the store and of collecting its garbage: real files, racing and dying processes, limits of the system."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.digest import sha256
from qwenbuild.errors import StoreError, UsageError
from qwenbuild.storage.gc import Collected, Collection, apply_gc, plan_gc
from qwenbuild.storage.store import Entry, Store, default_root, parse_result

KEY = sha256(b"a key")
DAY_S = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that is not there yet."""
    return Store(tmp_path / "store")


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _result_path(store: Store, key: str = KEY) -> Path:
    return store.root / "ac" / key[:2] / key


def _rewrite(path: Path, content: bytes) -> None:
    """Change a read-only file in place, as a failing disk would."""
    path.chmod(0o644)
    path.write_bytes(content)


def _age(path: Path, days: float) -> None:
    then = time.time() - days * DAY_S
    os.utime(path, (then, then))


def _run(script: str, *arguments: object) -> str:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# --- storing and reading ---


def test_what_is_absent(store: Store) -> None:
    """What listing finds missing has no entry; few keys, and a store that is far larger, are not worth listing."""
    there = [sha256(b"there %d" % number) for number in range(3000)]
    missing = {sha256(b"missing %d" % number) for number in range(3000)}
    assert store.absent(missing) == missing
    for key in there:
        path = _result_path(store, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert store.absent({*there, *missing}) == missing
    assert store.absent(set(there[:9])) == store.absent(set()) == set()
    shard = [f"ab{number:062x}" for number in range(500)]
    for key in shard[:400]:
        _result_path(store, key).touch()
    assert store.absent(set(shard[390:])) == set(shard[400:])
    assert store.absent(set(shard[-9:])) == set()


def test_an_image_comes_back(store: Store) -> None:
    """What was put is looked up, read and explained."""
    entry = store.put(KEY, b"image", b'{"seed":1}')
    assert entry == Entry(KEY, sha256(b"image"), 5, sha256(b'{"seed":1}'))
    assert (store.lookup(KEY), store.read(entry), store.provenance(entry)) == (entry, b"image", {"seed": 1})


def test_the_layout_is_that_of_bazels_disk_cache(store: Store) -> None:
    """Blobs and results lie under two hex digits, and nothing is left in staging."""
    entry = store.put(KEY, b"image", b"{}")
    assert _files(store.root) == sorted(
        [f"ac/{KEY[:2]}/{KEY}", *(f"cas/{name[:2]}/{name}" for name in (entry.image, entry.provenance)), "lock"]
    )
    assert store.blob_path(entry.image).read_bytes() == b"image"


def test_an_action_result_is_reapi_json(store: Store) -> None:
    """Sizes are strings, as proto3 JSON writes 64-bit integers."""
    store.put(KEY, b"image", b"{}")
    assert json.loads(_result_path(store).read_bytes()) == {
        "outputFiles": [
            {"path": "image.png", "digest": {"hash": sha256(b"image"), "sizeBytes": "5"}},
            {"path": "provenance.json", "digest": {"hash": sha256(b"{}"), "sizeBytes": "2"}},
        ]
    }


def test_making_a_store_and_looking_up_writes_nothing(store: Store) -> None:
    """Planning against a store that is not there leaves it so."""
    assert (store.lookup(KEY), store.projects(), store.root.exists()) == (None, [], False)


def test_files_are_read_only(store: Store) -> None:
    """An editor that opens the stored image can't save over it."""
    entry = store.put(KEY, b"image", b"{}")
    paths = (_result_path(store), store.blob_path(entry.image), store.blob_path(entry.provenance))
    assert [stat.S_IMODE(path.stat().st_mode) & 0o222 for path in paths] == [0, 0, 0]


@pytest.mark.parametrize("name", ["", "a" * 63, "A" * 64, "g" * 64, "../" * 21 + "a", "a" * 64 + "\n", "٣" * 64])
def test_names_that_are_no_digests_never_become_paths(store: Store, name: str) -> None:
    """Keys and digests are 64 lower-case hex digits; anything else is the caller's mistake."""
    for action in (store.lookup, store.blob_path, lambda key: store.put(key, b"", b"")):
        with pytest.raises(ValueError, match="64 lower-case hex"):
            action(name)
    assert not store.root.exists()


def test_the_first_image_of_a_key_stays(store: Store) -> None:
    """A second image for the same key is not kept; the caller learns which one stands."""
    first = store.put(KEY, b"first", b"{}")
    assert (store.put(KEY, b"second", b"{}"), store.lookup(KEY)) == (first, first)
    assert sorted(path.name for path in (store.root / "cas").rglob("*") if path.is_file()) == sorted(
        [first.image, first.provenance]
    )


def test_an_image_is_replaced_when_the_user_asks(store: Store) -> None:
    """With `replace` the new image stands."""
    store.put(KEY, b"first", b"{}")
    second = store.put(KEY, b"second", b"{}", replace=True)
    assert (second.image, store.lookup(KEY)) == (sha256(b"second"), second)


def test_a_corrupt_image_does_not_stand_in_the_way_of_a_new_one(store: Store) -> None:
    """An entry whose bytes went bad, though of the right size, is not kept over bytes that were just paid for."""
    entry = store.put(KEY, b"first", b"{}")
    _rewrite(store.blob_path(entry.image), b"FIRST")
    second = store.put(KEY, b"second", b"{}")
    assert (second.image, store.read(second)) == (sha256(b"second"), b"second")


def test_putting_the_same_bytes_again_heals_them(store: Store) -> None:
    """A blob that is there already, but corrupt, is written anew."""
    entry = store.put(KEY, b"image", b"{}")
    _rewrite(store.blob_path(entry.image), b"IMAGE")
    store.put(sha256(b"other"), b"image", b"{}")
    assert store.read(entry) == b"image"


def test_an_emptied_cache_folder_is_filled_again(store: Store) -> None:
    """Removing the store between two puts, or under a reader, is a miss and no error."""
    entry = store.put(KEY, b"image", b"{}")
    for path in sorted(store.root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert (store.lookup(KEY), store.read(entry), store.provenance(entry)) == (None, None, None)
    store.touch(entry)
    assert store.put(KEY, b"image", b"{}") == store.lookup(KEY) == entry


# --- corruption ---


@pytest.mark.parametrize("content", [b"short", b"IMAGE", b"longer than it was", b""])
def test_a_corrupt_image_is_quarantined(store: Store, content: bytes) -> None:
    """Wrong bytes are never handed out; they are moved away, and the entry is a miss from then on."""
    entry = store.put(KEY, b"image", b"{}")
    _rewrite(store.blob_path(entry.image), content)
    assert (store.read(entry), store.lookup(KEY)) == (None, None)
    (moved,) = (store.root / "quarantine").iterdir()
    assert (moved.name.startswith(entry.image), moved.read_bytes()) == (True, content)


def test_corrupt_provenance_is_none(store: Store) -> None:
    """The image is not affected."""
    entry = store.put(KEY, b"image", b'{"seed":1}')
    _rewrite(store.blob_path(entry.provenance), b'{"seed":2}')
    assert (store.provenance(entry), store.read(entry), store.lookup(KEY)) == (None, b"image", entry)


@pytest.mark.parametrize("content", [b"[1]", b"not JSON", b"\xff", b"[" * 100_000])
def test_provenance_that_is_no_object_is_none(store: Store, content: bytes) -> None:
    """Whatever somebody stored under it, reading it does not fail."""
    assert store.provenance(store.put(KEY, b"image", content)) is None


def test_an_image_of_the_wrong_size_is_a_miss(store: Store) -> None:
    """A truncated blob is found while planning, without reading it."""
    entry = store.put(KEY, b"image", b"{}")
    _rewrite(store.blob_path(entry.image), b"ima")
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
    """What can't be understood counts as not there, and a new image takes its place."""
    store.put(KEY, b"image", b"{}")
    _rewrite(_result_path(store), result)
    assert store.lookup(KEY) is None
    assert store.put(KEY, b"new", b"{}") == store.lookup(KEY)


@pytest.mark.parametrize("size", [5, "5"])
def test_sizes_may_be_numbers_or_strings(size: object) -> None:
    """Both forms that JSON writers use are read."""
    content = json.dumps({"outputFiles": [{"path": "a", "digest": {**_DIGEST, "sizeBytes": size}}]}).encode()
    assert parse_result(content) == {"a": (sha256(b"image"), 5)}


@pytest.mark.parametrize(
    "digest",
    [{"sizeBytes": -1}, {"sizeBytes": "-1"}, {"sizeBytes": 1.5}, {"sizeBytes": "1_0"}, {"sizeBytes": True},
     {"sizeBytes": None}, {"sizeBytes": "٣"}, {"sizeBytes": "9" * 5000}, {"hash": "../../etc/passwd"}, {"hash": 1},
     {"hash": "A" * 64}],
)  # fmt: skip
def test_a_result_with_an_impossible_digest_is_none(digest: dict[str, object]) -> None:
    """Sizes are natural numbers, and a hash never leads out of the store."""
    assert parse_result(json.dumps({"outputFiles": [{"path": "a", "digest": {**_DIGEST, **digest}}]}).encode()) is None


@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner:
       st.lists(inner) | st.dictionaries(st.sampled_from(["outputFiles", "path", "digest", "hash"]), inner),
       ).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_reading_a_result_never_raises(content: bytes) -> None:
    """Garbage and JSON of any shape give a result or None."""
    files = parse_result(content)
    assert files is None or all(len(digest) == 64 and size >= 0 for digest, size in files.values())


# --- processes ---


def _race(root: Path, number: int, barrier: Any, answers: Any) -> None:
    store = Store(root)
    entries = []
    for turn in range(20):
        barrier.wait()
        entries.append(store.put(sha256(b"%d" % turn), b"%d of %d" % (turn, number) * 1000, b'{"n":%d}' % number))
    answers.put(entries)


def test_processes_that_race_for_a_key_keep_one_image(tmp_path: Path) -> None:
    """All of them are told the same entry, it is whole, and the losers' images are not kept."""
    spawn = multiprocessing.get_context("spawn")
    barrier, answers = spawn.Barrier(3), spawn.Queue()
    racers = [spawn.Process(target=_race, args=(tmp_path, number, barrier, answers)) for number in range(3)]
    for racer in racers:
        racer.start()
    told = [answers.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join(60)
    store = Store(tmp_path)
    standing = [store.lookup(sha256(b"%d" % turn)) for turn in range(20)]
    assert told == [standing] * 3
    for entry in standing:
        assert entry is not None
        assert store.read(entry) is not None
        assert store.provenance(entry) is not None
    assert len({entry.image for entry in standing if entry}) == 20 == sum(
        path.stat().st_size > 100 for path in (tmp_path / "cas").rglob("*") if path.is_file()
    )  # fmt: skip


def test_threads_that_race_for_a_key_keep_one_image(store: Store) -> None:
    """One store object may be used from many threads."""
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda n: store.put(KEY, b"image %d" % n, b"{}"), range(24)))
    assert set(told) == {store.lookup(KEY)}


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
    """Whenever the process is killed, every result that is there names whole blobs, and the next put goes through."""
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
    """While another process or thread publishes or collects, nothing is published."""
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
    """The message says what to do, the store is as it was, and later puts succeed."""
    entry = store.put(KEY, b"image", b"{}")
    before = _files(store.root)
    assert _run(_FULL, store.root) == (
        "error: the store can't be written: its disk or quota is full\n"
        f"  = store: {store.root}\n"
        "  = hint: make room there, or run `qwenbuild gc`\n"
    )
    assert (_files(store.root), store.read(entry)) == (before, b"image")


_AS_NOBODY = """
import sys
from pathlib import Path
from qwenbuild.storage.store import Store
import os
from qwenbuild.errors import StoreError
from qwenbuild.storage.store import Entry
import filelock, json, pathlib  # before the rights to read them go
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
store = Store(Path(sys.argv[1]))
for action in (lambda: store.lookup("0" * 64), lambda: store.put("0" * 64, b"x", b"{}"), lambda: store.projects()):
    try:
        action()
    except StoreError as error:
        print(error.claim)
store.register(Path("/"))
store.touch(Entry("0" * 64, "0" * 64, 1, "0" * 64))
"""


@pytest.fixture
def public_root() -> Iterator[Path]:
    """A folder for a store whose parents every user may pass."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder / "store"
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_store_without_permissions_is_a_clear_error(public_root: Path) -> None:
    """Not being allowed to read is no miss: the image may be there, and paid for."""
    public_root.mkdir(mode=0o755)
    for name in ("ac", "cas", "projects"):
        (public_root / name).mkdir(mode=0o000)
    public_root.chmod(0o555)
    assert _run(_AS_NOBODY, public_root).splitlines() == [
        "the store can't be read: permission denied",
        "the store can't be written: permission denied",
        "the store can't be read: permission denied",
    ]


def test_a_file_in_the_stores_place_is_a_clear_error(tmp_path: Path) -> None:
    """Reading and writing both say so; registering, which a build can do without, does not."""
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


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "its disk or quota is full"),
        (errno.EDQUOT, "its disk or quota is full"),
        (errno.EROFS, "its file system is read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_every_refusal_of_the_system_has_its_words(store: Store, number: int, reason: str) -> None:
    """Each says what is wrong, where, and what to do."""
    error = store.failure(OSError(number, os.strerror(number), f"{store.root}/tmp/x"), "written")
    assert (error.claim, error.facts) == (
        f"the store can't be written: {reason}", (f"store: {store.root}", f"path:  {store.root}/tmp/x"),
    )  # fmt: skip
    assert error.hint


# --- where it is ---


def test_the_environment_chooses_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`QWENBUILD_CACHE_DIR` may be relative or begin with the home folder; empty counts as unset."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_root({"QWENBUILD_CACHE_DIR": str(tmp_path / "x")}) == tmp_path / "x"
    assert default_root({"QWENBUILD_CACHE_DIR": "relative"}) == tmp_path / "relative"
    assert default_root({"QWENBUILD_CACHE_DIR": "~/x"}) == tmp_path / "home" / "x"
    assert default_root({"QWENBUILD_CACHE_DIR": ""}) == default_root({})
    assert default_root({}).name == "qwenbuild"


def test_projects_are_registered_once(store: Store, tmp_path: Path) -> None:
    """A project is listed by its real path, however often and by whichever way it was named."""
    (tmp_path / "b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "b")
    for root in (tmp_path / "b", tmp_path / "link", tmp_path / "a", tmp_path / "b"):
        store.register(root)
    assert store.projects() == [tmp_path / "a", tmp_path / "b"]


def test_a_damaged_registration_is_no_project(store: Store, tmp_path: Path) -> None:
    """What does not hash to its name, or has no such name, is passed over."""
    store.register(tmp_path)
    (store.root / "projects" / ("0" * 64)).write_bytes(b"/somewhere")
    (store.root / "projects" / "notes.txt").write_bytes(b"/somewhere")
    assert store.projects() == [tmp_path]


# --- garbage ---


def _filled(store: Store, ages: dict[str, float], size_bytes: int = 1000) -> dict[str, Entry]:
    """Return entries by name, each last used so many days ago, with an image of `size_bytes`."""
    entries = {}
    for name, days in ages.items():
        image = name.encode().ljust(size_bytes, b".")
        entries[name] = store.put(sha256(name.encode()), image, json.dumps({"name": name}).encode())
        _age(_result_path(store, entries[name].key), days)
    return entries


def _chosen(collection: Collection, entries: dict[str, Entry]) -> list[str]:
    names = {entry.key: name for name, entry in entries.items()}
    return [names[removal.key] for removal in collection.removals]


def test_nothing_goes_by_default(store: Store) -> None:
    """Without criteria no entry is removed, however old."""
    _filled(store, {"old": 1000, "new": 0})
    collection = plan_gc(store)
    assert (collection.removals, collection.kept_entries) == ((), 2)
    assert apply_gc(store, collection) == Collected(0, 0, 0)


def test_planning_changes_nothing(store: Store) -> None:
    """A plan only reads."""
    _filled(store, {"old": 1000})
    before = _files(store.root)
    assert plan_gc(store, max_bytes=0).entries == 1
    assert _files(store.root) == before


def test_a_missing_store_has_no_garbage(store: Store) -> None:
    """There is nothing to collect, and nothing is made."""
    assert plan_gc(store, unreferenced=True) == Collection((), 0, 0, 0)
    assert not store.root.exists()


def test_entries_go_by_age(store: Store) -> None:
    """Those not used for so long, with their blobs, and no others."""
    entries = _filled(store, {"a": 40, "b": 31, "c": 29, "d": 0})
    collection = plan_gc(store, older_than_s=30 * DAY_S)
    assert _chosen(collection, entries) == ["a", "b"]
    assert collection.removals[0].why == "not used for 40 days, used by no project"
    before = sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file())
    collected = apply_gc(store, collection)
    after = sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file())
    assert collected == Collected(2, before - after, 0)
    assert (collection.bytes_freed, collection.kept_bytes) == (before - after, after)
    assert [name for name in entries if store.lookup(entries[name].key)] == ["c", "d"]
    assert all(store.read(entries[name]) is not None for name in "cd")


def test_using_an_entry_makes_it_young(store: Store) -> None:
    """`touch` counts as use, and so does putting the key again."""
    entries = _filled(store, {"a": 40, "b": 40})
    store.touch(entries["a"])
    assert _chosen(plan_gc(store, older_than_s=30 * DAY_S), entries) == ["b"]


def test_the_least_recently_used_go_until_the_store_is_small_enough(store: Store) -> None:
    """With a size, no more goes than is needed."""
    entries = _filled(store, {"b": 2, "c": 3, "a": 1, "d": 4})
    total = plan_gc(store).kept_bytes
    assert _chosen(plan_gc(store, max_bytes=total), entries) == []
    assert _chosen(plan_gc(store, max_bytes=total - 1), entries) == ["d"]
    assert _chosen(plan_gc(store, max_bytes=total - total // 4 - 1), entries) == ["d", "c"]
    assert _chosen(plan_gc(store, max_bytes=0), entries) == ["d", "c", "b", "a"]
    assert plan_gc(store, max_bytes=0).kept_bytes == 0


def test_criteria_narrow(store: Store) -> None:
    """An entry goes only if it meets all of them."""
    entries = _filled(store, {"a": 40, "b": 35, "c": 1})
    keys = frozenset({entries["a"].key})
    assert _chosen(plan_gc(store, unreferenced=True, referenced_keys=keys), entries) == ["b", "c"]
    assert _chosen(
        plan_gc(store, unreferenced=True, older_than_s=30 * DAY_S, referenced_keys=keys), entries
    ) == ["b"]  # fmt: skip
    assert _chosen(plan_gc(store, older_than_s=30 * DAY_S, max_bytes=0), entries) == ["a", "b"]


def test_what_projects_refer_to_is_spared_unless_told_otherwise(store: Store) -> None:
    """Neither age nor size takes a project's images without the user's word, and the plan counts them."""
    entries = _filled(store, {"a": 40, "b": 35})
    keys = frozenset({entries["a"].key})
    spared = plan_gc(store, older_than_s=DAY_S, max_bytes=0, referenced_keys=keys)
    assert (_chosen(spared, entries), spared.spared, spared.kept_entries) == (["b"], 1, 1)
    told = plan_gc(store, older_than_s=DAY_S, referenced_keys=keys, spare_referenced=False)
    assert (_chosen(told, entries), told.spared) == (["a", "b"], 0)


def test_a_blob_of_two_entries_goes_with_the_last(store: Store) -> None:
    """Equal images are stored once, and stay while one entry names them."""
    old, new = sha256(b"old"), sha256(b"new")
    first, second = store.put(old, b"image", b'{"n":1}'), store.put(new, b"image", b'{"n":2}')
    _age(_result_path(store, old), 40)
    collected = apply_gc(store, plan_gc(store, older_than_s=DAY_S))
    assert (collected.entries, store.lookup(old), store.read(second)) == (1, None, b"image")
    assert not store.blob_path(first.provenance).exists()
    apply_gc(store, plan_gc(store, older_than_s=0))
    assert not store.blob_path(second.image).exists()


def test_what_was_used_since_the_plan_is_kept(store: Store) -> None:
    """A build that restores, or renders, between planning and removing loses nothing, shared blobs included."""
    entries = _filled(store, {"touched": 40, "put": 40, "gone": 40})
    shared = store.put(sha256(b"shares"), b"touched".ljust(1000, b"."), b"{}")
    _age(_result_path(store, shared.key), 40)
    collection = plan_gc(store, max_bytes=0)
    store.touch(entries["touched"])
    store.put(entries["put"].key, b"another", b"{}", replace=True)
    collected = apply_gc(store, collection)
    assert (collected.entries, collected.kept > 0) == (2, True)
    assert store.read(entries["touched"]) == b"touched".ljust(1000, b".")
    assert store.provenance(entries["touched"]) == {"name": "touched"}
    assert store.lookup(entries["put"].key) is not None
    assert (store.lookup(entries["gone"].key), store.lookup(shared.key)) == (None, None)


def test_a_blob_that_a_new_entry_names_is_kept(store: Store) -> None:
    """An orphan that is put again between planning and removing is in use."""
    entry = store.put(KEY, b"image", b"{}")
    _result_path(store).unlink()
    for digest in (entry.image, entry.provenance):
        _age(store.blob_path(digest), 1)
    collection = plan_gc(store)
    again = store.put(KEY, b"image", b"{}")
    assert (apply_gc(store, collection), store.read(again)) == (Collected(0, 0, 2), b"image")


def test_blobs_without_a_result_go_when_they_are_an_hour_old(store: Store) -> None:
    """Younger ones may be about to get theirs."""
    entry = store.put(KEY, b"image", b"{}")
    _result_path(store).unlink()
    _age(store.blob_path(entry.image), 0.1)
    collection = plan_gc(store)
    assert [(removal.why, removal.bytes_freed) for removal in collection.removals] == [("no action result names it", 5)]
    assert apply_gc(store, collection) == Collected(0, 5, 0)
    assert [path.name for path in (store.root / "cas").rglob("?" * 64)] == [entry.provenance]


def test_results_without_their_image_and_unreadable_ones_go(store: Store) -> None:
    """They are misses already."""
    entries = _filled(store, {"gone": 0, "broken": 0, "whole": 0})
    store.blob_path(entries["gone"].image).unlink()
    _rewrite(_result_path(store, entries["broken"].key), b"{")
    collection = plan_gc(store)
    assert sorted(_chosen(collection, entries)) == ["broken", "gone"]
    assert apply_gc(store, collection).entries == 2
    assert store.lookup(entries["whole"].key) == entries["whole"]


def test_results_of_another_version_are_kept(store: Store) -> None:
    """A result that names other files than ours is no garbage, nor is what it names."""
    entry = store.put(KEY, b"image", b"{}")
    digest = {"hash": entry.image, "sizeBytes": "5"}
    _rewrite(_result_path(store), json.dumps({"outputFiles": [{"path": "image.avif", "digest": digest}]}).encode())
    for path in (store.root / "cas").rglob("?" * 64):
        _age(path, 1)
    apply_gc(store, plan_gc(store))
    assert (_result_path(store).exists(), store.blob_path(entry.image).exists()) == (True, True)


def test_leftovers_go_and_strangers_files_stay(store: Store, tmp_path: Path) -> None:
    """Quarantine, old temporary files and projects long gone are cleared; other files are not ours."""
    entry = store.put(KEY, b"image", b"{}")
    _rewrite(store.blob_path(entry.image), b"IMAGE")
    store.read(entry)
    (tmp_path / "living").mkdir()
    for name in ("living", "gone", "unmounted"):
        store.register(tmp_path / name)
    for path in (store.root / "projects").iterdir():
        if b"unmounted" not in path.read_bytes():
            _age(path, 100)
    for name, days in (("old.tmp", 2.0), ("young.tmp", 0.5)):
        (store.staging / name).touch()
        _age(store.staging / name, days)
    (store.root / "cas" / ".DS_Store").touch()
    _age(store.root / "cas" / ".DS_Store", 100)
    collection = plan_gc(store)
    assert sorted(removal.why for removal in collection.removals) == [
        "its bytes were not those of its name",
        "its image is gone, or it can't be read",
        "its project is gone",
        "left by a crash",
    ]
    apply_gc(store, collection)
    assert (list((store.root / "quarantine").iterdir()), store.projects()) == (
        ([], [tmp_path / "living", tmp_path / "unmounted"])
    )  # fmt: skip
    assert ((store.staging / "young.tmp").exists(), (store.root / "cas" / ".DS_Store").exists()) == (True, True)


def test_registering_sweeps_up_after_crashes(store: Store, tmp_path: Path) -> None:
    """What is being written now stays."""
    store.staging.mkdir(parents=True)
    (store.staging / "0123.tmp").touch()
    store.register(tmp_path)
    assert [path.name for path in store.staging.iterdir()] == ["0123.tmp"]


def test_negative_criteria_are_refused(store: Store) -> None:
    """They are a slip of the user's."""
    with pytest.raises(UsageError, match="negative"):
        plan_gc(store, older_than_s=-1)
    with pytest.raises(UsageError, match="negative"):
        plan_gc(store, max_bytes=-1)


_COLLECT = """
import sys
from pathlib import Path
from qwenbuild.storage.store import Store
from qwenbuild.storage.gc import apply_gc, plan_gc
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    print(apply_gc(store, plan_gc(store, max_bytes=0)).entries, flush=True)
"""


def test_collecting_while_building_never_leaves_a_result_without_its_image(tmp_path: Path) -> None:
    """However puts and removals interleave, a result that is there when nobody works names whole blobs."""
    store = Store(tmp_path / "store")
    keys = [sha256(b"%d" % n) for n in range(6)]
    with subprocess.Popen([sys.executable, "-c", _COLLECT, store.root], stdout=subprocess.PIPE) as collector:
        assert collector.stdout is not None
        collector.stdout.readline()
        end, turn = time.monotonic() + 1.5, 0
        while time.monotonic() < end:
            store.put(keys[turn % 6], b"image %d" % (turn % 3), b"{}")
            turn += 1
        collector.send_signal(signal.SIGKILL)
        removed = sum(map(int, collector.stdout.read().splitlines()[:-1]))
    entries = [store.lookup(path.name) for path in (store.root / "ac").rglob("?" * 64)]
    assert removed > 0
    assert None not in entries
    assert [entry.key for entry in entries if entry and store.read(entry) is None] == []
