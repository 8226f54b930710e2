"""Garbage collection of the store: plans which files to remove and why, and removes them.

Without criteria, only useless files are removed: blobs that no action result names for 90 days, results without
their image, quarantined blobs, leftovers of crashes. An image was paid for, and a new render would be
different. So an entry is removed only if

- it meets every criterion that the user gave ("unreferenced and not used for 30 days"). With a size
  limit, the least recently used of these entries are removed until the store is small enough;
- it was not used for 90 days, if "unreferenced" is the only criterion: its project may want it back; and
- no output of a registered project refers to it, or `spare_referenced` is False.

Builds may run at the same time. Each file is removed under the store's lock, and only if it is unchanged
since the plan: a file that was used or stored again is kept. Results are removed before their blobs.
So a crash in the middle leaves blobs without a result, never a result without its blobs.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from qwenbuild.errors import UsageError

from . import lock
from .action_result import IMAGE, MAX_BYTES, is_digest, parse_files
from .state import State
from .store import TEMPORARY_LIFE_S, Store, second_key
from .store_place import default_root

KEPT_DAYS = 90
"""How long the store keeps what no project uses any more, unless told otherwise."""

_KEPT_S = KEPT_DAYS * 86_400.0  # also blobs without a result: a build keeps what it replaces in a clone
_REGISTRATION_LIFE_S = _KEPT_S  # a project's folder may be on a disk that is not mounted now
_BATCH = 1024  # files to remove before the lock is released, so that builds can take it
_PAUSE_S = 0.02  # between batches; a waiting build tries to take the lock more often than this


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file as it was at the time of the plan."""

    path: str
    size_bytes: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Removal:
    """One thing to remove: an entry and the blobs that no other entry names, or a stray file.

    `key` is the entry's action key, empty for a stray file. `why` is shown to people.
    """

    key: str
    why: str
    files: tuple[Stamp, ...] = field(repr=False)  # an entry's action result first
    names: frozenset[str] = field(default=frozenset(), repr=False)  # digests of all blobs that the entry names

    @property
    def bytes_freed(self) -> int:
        """The total size of the files."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Collection:
    """The plan of a collection. `spared` counts entries that meet the criteria, but that a project refers to."""

    removals: tuple[Removal, ...]
    kept_entries: int
    kept_bytes: int
    spared: int

    @property
    def entries(self) -> int:
        """The number of entries to remove."""
        return sum(removal.key != "" for removal in self.removals)

    @property
    def bytes_freed(self) -> int:
        """The number of bytes to remove."""
        return sum(removal.bytes_freed for removal in self.removals)


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection removed. `kept` counts planned files that were used since, or could not be removed."""

    entries: int
    bytes_freed: int
    kept: int


@dataclass(frozen=True, slots=True)
class _Result:
    """An action result in `ac/`: the digests that it names, and its image's digest (empty if it names no image)."""

    key: str
    stamp: Stamp
    names: frozenset[str]
    image: str

    def is_usable(self, blobs: Container[str]) -> bool:
        """Whether the result could be read, and its image is among `blobs`."""
        return bool(self.names) and (not self.image or self.image in blobs)


def plan_gc(
    store: Store,
    *,
    older_than_s: float | None = None,
    max_bytes: int | None = None,
    unreferenced: bool = False,
    referenced_keys: Set[str] = frozenset(),
    spare_referenced: bool = True,
) -> Collection:
    """Return what to remove by the rules of this module; changes nothing.

    `older_than_s` chooses entries that were not used for this many seconds. `unreferenced` chooses entries
    that are not in `referenced_keys`; alone, only those that were not used for 90 days. `max_bytes` is the size that
    the store should not exceed.
    `referenced_keys` are the action keys of all outputs of all projects in `Store.projects`.
    Raises UsageError for negative numbers, and StoreError.
    """
    if (older_than_s or 0) < 0 or (max_bytes or 0) < 0:
        raise UsageError("an age or a size can't be negative", name="wrong-command-line")
    now_s = time.time()
    if unreferenced and older_than_s is None and max_bytes is None:
        older_than_s = _KEPT_S
    try:
        # Results are listed before blobs. A build may store both in between. Then its blobs count as
        # new and stay. In the other order, its result would seem to have no image.
        results = sorted(_results(store), key=lambda result: result.stamp.mtime_ns)
        blobs = {os.path.basename(stamp.path): stamp for stamp in _digest_named_files(store, "cas")}
        strays = [*_leftovers(store, now_s), *_dead_projects(store, now_s)]
    except OSError as error:
        raise store.failure(error, "read") from error
    usable = [result for result in results if result.is_usable(blobs)]
    users = Counter(name for result in usable for name in result.names)
    removals = [*_unusable_results(results, blobs), *_unused_blobs(blobs, users, now_s)]
    left = sum(stamp.size_bytes for stamp in blobs.values()) + sum(result.stamp.size_bytes for result in results)
    left -= sum(removal.bytes_freed for removal in removals)

    spared = kept = 0
    has_criteria = unreferenced or older_than_s is not None or max_bytes is not None
    for result in usable:
        age_s = _age_s(result.stamp, now_s)
        referenced = result.key in referenced_keys
        chosen = (
            has_criteria
            and not (unreferenced and referenced)
            and (older_than_s is None or age_s >= older_than_s)
            and (max_bytes is None or left > max_bytes)
        )
        if not chosen or (referenced and spare_referenced):
            kept += 1
            spared += chosen
            continue
        users.subtract(result.names)
        freed = tuple(blobs[name] for name in sorted(result.names) if not users[name] and name in blobs)
        why = f"not used for {_days(age_s)}" + ("" if referenced else ", used by no project")
        removals.append(Removal(result.key, why, (result.stamp, *freed), result.names))
        left -= removals[-1].bytes_freed
    return Collection((*removals, *strays), kept, left, spared)


def apply_gc(store: Store, collection: Collection) -> Collected:
    """Remove the files of a plan, except those that were used since. Raises StoreError if a file can't be removed."""
    entries = [removal for removal in collection.removals if removal.key]
    results = [removal.files[0] for removal in entries]
    gone = _remove_all(store, results)
    needed = {name for removal, removed in zip(entries, gone, strict=True) if not removed for name in removal.names}
    others = [
        stamp
        for removal in collection.removals
        for stamp in removal.files[bool(removal.key) :]
        if os.path.basename(stamp.path) not in needed
    ]
    gone_others = _remove_all(store, others)
    removed = [stamp for stamp, is_gone in zip(results + others, gone + gone_others, strict=True) if is_gone]
    planned = sum(len(removal.files) for removal in collection.removals)
    return Collected(sum(gone), sum(stamp.size_bytes for stamp in removed), planned - len(removed))


def collect_garbage(
    environ: Mapping[str, str],
    *,
    older_than_s: float | None = None,
    max_bytes: int | None = None,
    unreferenced: bool = False,
    spare_referenced: bool = True,
    dry_run: bool = False,
) -> tuple[Collection, Collected | None]:
    """Plan and remove images of the store that all projects share; return the plan, and what was removed.

    The criteria are those of `plan_gc`. With `dry_run` nothing is removed, and the second value is None.
    Raises StateError or ProjectError if the state or lock of a project can't be read: its images may
    still be in use.
    """
    store = Store(default_root(environ))
    planned = plan_gc(
        store, older_than_s=older_than_s, max_bytes=max_bytes, unreferenced=unreferenced,
        referenced_keys=_referenced_keys(store), spare_referenced=spare_referenced,
    )  # fmt: skip
    return planned, None if dry_run else apply_gc(store, planned)


def renew(store: Store, key: str, image: str) -> None:
    """Let the time begin anew for which the store keeps an image that no project will use. Never raises.

    `image` is the digest of the bytes that were made for `key`.
    """
    for known in (key, second_key(key, image)):
        store.touch(known)
    with contextlib.suppress(OSError):
        os.utime(store.blob_path(image))


def _referenced_keys(store: Store) -> set[str]:
    """Return the keys of the store's entries that the states and locks of all projects refer to."""
    referenced: set[str] = set()
    for root in store.projects():
        with contextlib.closing(State.of(root, create=False)) as state:
            images = {(output.key, output.image) for output in state.outputs().values()}
        known = lock.read(root / lock.NAME, shown=str(root / lock.NAME))
        images |= {(pin.key, pin.image) for pins in (known.pins, known.theirs or {}) for pin in pins.values()}
        for key, image in images:
            entry = store.lookup(key)
            referenced.add(key if entry is None or entry.image == image else second_key(key, image))
    return referenced


def _unusable_results(results: Sequence[_Result], blobs: Container[str]) -> Iterator[Removal]:
    for result in results:
        if not result.is_usable(blobs):
            yield Removal(result.key, "its image is gone, or the entry can't be read", (result.stamp,), result.names)


def _unused_blobs(blobs: Mapping[str, Stamp], users: Counter[str], now_s: float) -> Iterator[Removal]:
    for name, stamp in blobs.items():
        if not users[name] and _age_s(stamp, now_s) > _KEPT_S:
            yield Removal("", "no action result names this file", (stamp,))


def _remove_all(store: Store, stamps: Sequence[Stamp]) -> list[bool]:
    """Remove files in batches, so builds can take the lock in between; return, for each file, whether it is gone."""
    gone: list[bool] = []
    for start in range(0, len(stamps), _BATCH):
        if start:
            time.sleep(_PAUSE_S)
        try:
            with store.exclusive():
                gone += [_remove(stamp) for stamp in stamps[start : start + _BATCH]]
        except OSError as error:
            raise store.failure(error, "written") from error
    return gone


def _remove(stamp: Stamp) -> bool:
    """Remove the file if it is unchanged since the plan; return whether it is gone."""
    try:
        if _stamp(stamp.path, os.lstat(stamp.path)) != stamp:
            return False
        os.unlink(stamp.path)
    except FileNotFoundError:
        return True
    except PermissionError:
        if sys.platform != "win32":
            raise
        return False  # Windows does not remove a file that a program has open
    return True


def _results(store: Store) -> Iterator[_Result]:
    for stamp in _digest_named_files(store, "ac"):
        with contextlib.suppress(FileNotFoundError), open(stamp.path, "rb") as file:
            files = parse_files(file.read(MAX_BYTES)) or {}
            names = frozenset(digest for digest, _ in files.values())
            yield _Result(os.path.basename(stamp.path), stamp, names, files[IMAGE][0] if IMAGE in files else "")


def _leftovers(store: Store, now_s: float) -> Iterator[Removal]:
    for stamp in _files(store, "quarantine"):
        yield Removal("", "its bytes do not match its name", (stamp,))
    for stamp in _files(store, "tmp"):
        if _age_s(stamp, now_s) > TEMPORARY_LIFE_S:
            yield Removal("", "left by a crash", (stamp,))


def _dead_projects(store: Store, now_s: float) -> Iterator[Removal]:
    for stamp in _digest_named_files(store, "projects"):
        with contextlib.suppress(FileNotFoundError), open(stamp.path, "rb") as file:
            if _age_s(stamp, now_s) > _REGISTRATION_LIFE_S and not os.path.lexists(file.read()):
                yield Removal("", "its project is gone", (stamp,))


def _digest_named_files(store: Store, folder: str) -> Iterator[Stamp]:
    """Yield the files whose names are digests. Other files in the store's folders are not qwenbuild's."""
    return (stamp for stamp in _files(store, folder) if is_digest(os.path.basename(stamp.path)))


def _files(store: Store, folder: str) -> Iterator[Stamp]:
    """Yield the regular files below a folder of the store."""
    pending = [os.path.join(store.root, folder)]
    while pending:
        with contextlib.suppress(FileNotFoundError), os.scandir(pending.pop()) as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):
                        yield _stamp(entry.path, os.lstat(entry.path))


def _stamp(path: str, status: os.stat_result) -> Stamp:
    return Stamp(path, status.st_size, status.st_mtime_ns, status.st_ino)


def _age_s(stamp: Stamp, now_s: float) -> float:
    return now_s - stamp.mtime_ns / 1e9


def _days(age_s: float) -> str:
    days = int(age_s // 86_400)
    return "a day" if days == 1 else f"{days} days" if days else "less than a day"
