"""Garbage collection: only entries that meet the criteria are removed; a project's entries are spared."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.digest import sha256
from qwenbuild.errors import StateError, UsageError
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.gc import Collected, Collection, apply_gc, collect_garbage, plan_gc, renew
from qwenbuild.storage.store import Store
from tests.support.stores import DAY_S, age, result_path, rewrite, stored_files
from tests.support.workspace import Workspace

KEY = sha256(b"a key")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store whose folder does not exist yet."""
    return Store(tmp_path / "store")


def _filled(store: Store, ages: dict[str, float], size_bytes: int = 1000) -> dict[str, Entry]:
    """Return entries by name. Each has an image of `size_bytes`, and was last used as many days ago as `ages` says."""
    entries = {}
    for name, days in ages.items():
        image = name.encode().ljust(size_bytes, b".")
        entries[name] = store.put(sha256(name.encode()), image, json.dumps({"name": name}).encode())
        age(result_path(store, entries[name].key), days)
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
    """Planning changes no file."""
    _filled(store, {"old": 1000})
    before = stored_files(store)
    assert plan_gc(store, max_bytes=0).entries == 1
    assert stored_files(store) == before


def test_a_missing_store_has_no_garbage(store: Store) -> None:
    """If the store does not exist, nothing is removed and no folder is created."""
    assert plan_gc(store, unreferenced=True) == Collection((), 0, 0, 0)
    assert not store.root.exists()


def test_entries_go_by_age(store: Store) -> None:
    """Entries that were not used for `older_than_s` are removed with their blobs; the others stay."""
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
    """`touch` marks an entry as used, and so does a `put` of its key."""
    entries = _filled(store, {"a": 40, "b": 40})
    store.touch(entries["a"].key)
    assert _chosen(plan_gc(store, older_than_s=30 * DAY_S), entries) == ["b"]


def test_the_least_recently_used_go_until_the_store_is_small_enough(store: Store) -> None:
    """With a size limit, no more entries are removed than necessary."""
    entries = _filled(store, {"b": 2, "c": 3, "a": 1, "d": 4})
    total = plan_gc(store).kept_bytes
    assert _chosen(plan_gc(store, max_bytes=total), entries) == []
    assert _chosen(plan_gc(store, max_bytes=total - 1), entries) == ["d"]
    assert _chosen(plan_gc(store, max_bytes=total - total // 4 - 1), entries) == ["d", "c"]
    assert _chosen(plan_gc(store, max_bytes=0), entries) == ["d", "c", "b", "a"]
    assert plan_gc(store, max_bytes=0).kept_bytes == 0


def test_criteria_narrow(store: Store) -> None:
    """An entry is removed only if it meets all criteria."""
    entries = _filled(store, {"a": 40, "b": 35, "c": 1})
    keys = frozenset({entries["a"].key})
    assert _chosen(plan_gc(store, unreferenced=True, max_bytes=0, referenced_keys=keys), entries) == ["b", "c"]
    assert _chosen(
        plan_gc(store, unreferenced=True, older_than_s=30 * DAY_S, referenced_keys=keys), entries
    ) == ["b"]  # fmt: skip
    assert _chosen(plan_gc(store, older_than_s=30 * DAY_S, max_bytes=0), entries) == ["a", "b"]


def test_what_no_project_uses_stays_for_ninety_days(store: Store) -> None:
    """Another age is for the user to say. `renew` lets the time begin anew, for a result and for a lone blob."""
    entries = _filled(store, {"a": 91, "b": 89, "c": 0, "d": 91})
    assert _chosen(plan_gc(store, unreferenced=True), entries) == ["a", "d"]
    assert _chosen(plan_gc(store, unreferenced=True, older_than_s=0), entries) == ["a", "d", "b", "c"]
    renew(store, entries["d"].key, entries["d"].image)
    assert _chosen(plan_gc(store, unreferenced=True), entries) == ["a"]
    result_path(store, entries["a"].key).unlink()
    blobs = [store.blob_path(entries["a"].image), store.blob_path(entries["a"].provenance)]
    for blob in blobs:
        age(blob, 91)
    assert len(plan_gc(store).removals) == 2
    renew(store, entries["a"].key, entries["a"].image)
    [left] = plan_gc(store).removals
    assert left.files[0].path == str(blobs[1])


def test_what_projects_refer_to_is_spared_by_default(store: Store) -> None:
    """An entry that a project refers to is spared, unless `spare_referenced` is False. The plan counts it."""
    entries = _filled(store, {"a": 40, "b": 35})
    keys = frozenset({entries["a"].key})
    spared = plan_gc(store, older_than_s=DAY_S, max_bytes=0, referenced_keys=keys)
    assert (_chosen(spared, entries), spared.spared, spared.kept_entries) == (["b"], 1, 1)
    forced = plan_gc(store, older_than_s=DAY_S, referenced_keys=keys, spare_referenced=False)
    assert (_chosen(forced, entries), forced.spared) == (["a", "b"], 0)


def test_a_blob_of_two_entries_goes_with_the_last(store: Store) -> None:
    """A blob stays while an entry names it."""
    old, new = sha256(b"old"), sha256(b"new")
    first, second = store.put(old, b"image", b'{"n":1}'), store.put(new, b"image", b'{"n":2}')
    age(result_path(store, old), 40)
    collected = apply_gc(store, plan_gc(store, older_than_s=DAY_S))
    assert (collected.entries, store.lookup(old), store.read(second)) == (1, None, b"image")
    assert not store.blob_path(first.provenance).exists()
    apply_gc(store, plan_gc(store, older_than_s=0))
    assert not store.blob_path(second.image).exists()


def test_what_was_used_since_the_plan_is_kept(store: Store) -> None:
    """Entries that a build used or rendered since the plan are kept, with the blobs that they share."""
    entries = _filled(store, {"touched": 40, "put": 40, "gone": 40})
    shared = store.put(sha256(b"shares"), b"touched".ljust(1000, b"."), b"{}")
    age(result_path(store, shared.key), 40)
    collection = plan_gc(store, max_bytes=0)
    store.touch(entries["touched"].key)
    store.put(entries["put"].key, b"another", b"{}", replace=True)
    collected = apply_gc(store, collection)
    assert (collected.entries, collected.kept > 0) == (2, True)
    assert store.read(entries["touched"]) == b"touched".ljust(1000, b".")
    assert store.provenance(entries["touched"]) == {"name": "touched"}
    assert store.lookup(entries["put"].key) is not None
    assert (store.lookup(entries["gone"].key), store.lookup(shared.key)) == (None, None)


def test_a_blob_that_a_new_entry_names_is_kept(store: Store) -> None:
    """A blob that a new entry names since the plan is kept."""
    entry = store.put(KEY, b"image", b"{}")
    result_path(store, KEY).unlink()
    for digest in (entry.image, entry.provenance):
        age(store.blob_path(digest), 91)
    collection = plan_gc(store)
    again = store.put(KEY, b"image", b"{}")
    assert (apply_gc(store, collection), store.read(again)) == (Collected(0, 0, 2), b"image")


def test_blobs_without_a_result_go_when_they_are_ninety_days_old(store: Store) -> None:
    """A younger blob stays: a build keeps what it replaces, and stores images before their results."""
    entry = store.put(KEY, b"image", b"{}")
    result_path(store, KEY).unlink()
    age(store.blob_path(entry.image), 91)
    age(store.blob_path(entry.provenance), 89)
    collection = plan_gc(store)
    assert [(removal.why, removal.bytes_freed) for removal in collection.removals] == [
        ("no action result names this file", 5)
    ]
    assert apply_gc(store, collection) == Collected(0, 5, 0)
    assert [path.name for path in (store.root / "cas").rglob("?" * 64)] == [entry.provenance]


def test_results_without_their_image_and_unreadable_ones_go(store: Store) -> None:
    """No build can use such results, so they are removed."""
    entries = _filled(store, {"gone": 0, "broken": 0, "whole": 0})
    store.blob_path(entries["gone"].image).unlink()
    rewrite(result_path(store, entries["broken"].key), b"{")
    collection = plan_gc(store)
    assert sorted(_chosen(collection, entries)) == ["broken", "gone"]
    assert apply_gc(store, collection).entries == 2
    assert store.lookup(entries["whole"].key) == entries["whole"]


def test_results_of_another_version_are_kept(store: Store) -> None:
    """A result that names unknown files is kept together with its blobs."""
    entry = store.put(KEY, b"image", b"{}")
    digest = {"hash": entry.image, "sizeBytes": "5"}
    rewrite(result_path(store, KEY), json.dumps({"outputFiles": [{"path": "image.avif", "digest": digest}]}).encode())
    for path in (store.root / "cas").rglob("?" * 64):
        age(path, 1)
    apply_gc(store, plan_gc(store))
    assert (result_path(store, KEY).exists(), store.blob_path(entry.image).exists()) == (True, True)


def test_leftovers_go_and_foreign_files_stay(store: Store, tmp_path: Path) -> None:
    """Quarantined blobs, old temporary files and registrations of deleted projects are removed; foreign files stay."""
    entry = store.put(KEY, b"image", b"{}")
    rewrite(store.blob_path(entry.image), b"IMAGE")
    store.read(entry)
    (tmp_path / "living").mkdir()
    for name in ("living", "gone", "unmounted"):
        store.register(tmp_path / name)
    for path in (store.root / "projects").iterdir():
        if b"unmounted" not in path.read_bytes():
            age(path, 100)
    for name, days in (("old.tmp", 2.0), ("young.tmp", 0.5)):
        (store.staging / name).touch()
        age(store.staging / name, days)
    (store.root / "cas" / ".DS_Store").touch()
    age(store.root / "cas" / ".DS_Store", 100)
    collection = plan_gc(store)
    assert sorted(removal.why for removal in collection.removals) == [
        "its bytes do not match its name",
        "its image is gone, or the entry can't be read",
        "its project is gone",
        "left by a crash",
    ]
    apply_gc(store, collection)
    assert (list((store.root / "quarantine").iterdir()), store.projects()) == (
        ([], [tmp_path / "living", tmp_path / "unmounted"])
    )  # fmt: skip
    assert ((store.staging / "young.tmp").exists(), (store.root / "cas" / ".DS_Store").exists()) == (True, True)


def test_negative_criteria_are_refused(store: Store) -> None:
    """A negative age or size is a usage error."""
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
    """After any mix of puts and removals, every result names complete blobs."""
    store = Store(tmp_path / "store")
    keys = [sha256(b"%d" % n) for n in range(6)]
    with subprocess.Popen([sys.executable, "-c", _COLLECT, store.root], stdout=subprocess.PIPE) as collector:
        assert collector.stdout is not None
        collector.stdout.readline()
        os.set_blocking(collector.stdout.fileno(), False)
        begun_s, turn, counts = time.monotonic(), 0, b""
        # A slow machine gets the time that the first removal takes.
        while time.monotonic() < begun_s + 1.5 or not set(counts) & set(b"123456789"):
            store.put(keys[turn % 6], b"image %d" % (turn % 3), b"{}")
            turn += 1
            counts += collector.stdout.read() or b""
            assert time.monotonic() < begun_s + 60, "nothing was removed"
        collector.send_signal(signal.SIGKILL)
    entries = [store.lookup(path.name) for path in (store.root / "ac").rglob("?" * 64)]
    assert None not in entries
    assert [entry.key for entry in entries if entry and store.read(entry) is None] == []


def test_images_of_every_project_are_spared(tmp_path: Path) -> None:
    """Images of any project's outputs are spared; if a state can't be read, nothing is removed."""
    one, other = (
        Workspace(tmp_path / name).write({
            "qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": f'[image.z]\nprompt = "{name}"\n'
        })
        for name in ("one", "other")
    )  # fmt: skip
    load(one.root).build()
    load(other.root).build()
    planned, done = collect_garbage(os.environ, unreferenced=True)
    assert (planned.entries, done.entries if done else -1) == (0, 0)
    other.write({".qwenbuild/state.sqlite3": "torn" * 100})
    with pytest.raises(StateError):
        collect_garbage(os.environ, unreferenced=True)
    shutil.rmtree(other.root)
    planned, done = collect_garbage(os.environ, unreferenced=True, older_than_s=0, dry_run=True)
    assert (planned.entries, done) == (1, None)
