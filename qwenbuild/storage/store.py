"""The store: image bytes by digest, and action results by key, shared by all of a user's projects.

    ac/<2 hex>/<64 hex>     an action result (see `action_result`), by action key
    cas/<2 hex>/<64 hex>    a blob: an image, or its provenance in JSON, by the SHA-256 of its bytes
    projects/<64 hex>       the root folder of a project that has used the store
    quarantine/             blobs whose bytes did not match their name, or were not the image that they should be
    tmp/                    files that are being written
    lock                    held while files are renamed or removed, never while bytes are written

Invariants:
- Bytes are returned only if they match their name, and an image for `out/` only if it is the image of its request.
- An action result is written after the blobs that it names. The first image of a key stays, unless the
  user replaces it. A replaced image was paid for, so it is kept under another key (see `second_key`).
- An image of another size than asked for was paid for, too. Its result names it by its size, so it is never taken for
  the image of the request.
- Reading changes nothing, except that a corrupt blob goes to quarantine.
- Files are read-only, so no editor can change an image that was paid for.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from qwenbuild.digest import sha256
from qwenbuild.emulation import is_unmarked
from qwenbuild.errors import StoreError
from qwenbuild.files import atomic
from qwenbuild.request import Size

from . import store_faults
from .action_result import MAX_BYTES, PROVENANCE, Entry, checked_digest, is_digest, name_of, parse_entry, render
from .belonging import is_image_of

TEMPORARY_LIFE_S = 86_400.0

# Windows can neither replace nor remove a read-only file.
BLOB_MODE = 0o666 if sys.platform == "win32" else 0o444
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_MAX_PROVENANCE_BYTES = 16 * 1024 * 1024
_WORTH_LISTING = 8  # fewer lookups in one folder are quicker than listing it
_WORTH_READING = 10  # names per lookup; if a folder has more names, the lookups are quicker
_LOCK_TIMEOUT_S = 60.0  # the lock is held for milliseconds at a time


def second_key(key: str, image: str) -> str:
    """Return the key for a further image of `key`, if `key` itself holds another image. `image` is its digest."""
    return sha256(f"{key} {image}".encode())


class Store:
    """The store in the folder `root`, which may be missing. Threads and processes may share it.

    A key or digest that is not 64 lower-case hex digits raises ValueError.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))
        self.staging = self.root / "tmp"
        self._results, self._blobs = (os.path.join(self.root, name, "") for name in ("ac", "cas"))
        self._mutex = threading.Lock()

    def lookup(self, key: str, *, any_size: bool = False) -> Entry | None:
        """Return the entry of `key` if its image exists with as many bytes as recorded; these are not read.

        With `any_size`, the image may have another size than the one that was asked for: see `Entry.other_size`.
        Returns None for a corrupt entry, and for an emulator's image that an older version took for the service's.
        Raises StoreError if the store exists but can't be read: with None, its images would be paid for again.
        """
        try:
            content = _content(_sharded(self._results, key), MAX_BYTES)
            entry = parse_entry(key, content) if content is not None else None
            if entry is None or (entry.other_size and not any_size):
                return None
            status = os.stat(_sharded(self._blobs, entry.image))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.failure(error, "read") from error
        is_whole = stat.S_ISREG(status.st_mode) and status.st_size == entry.size_bytes
        return entry if is_whole and not is_unmarked(self.provenance(entry)) else None

    def absent(self, keys: set[str]) -> Set[str]:
        """Return the keys that have no action result; an empty set if calling `lookup` for each key is quicker.

        A first plan of 100,000 cells lists 256 folders instead of looking up each key: row cold-plan takes 15 % less.
        """
        found, shards = set[str](), {key[:2] for key in keys}
        of_shard = len(keys) / max(1, len(shards))
        if of_shard < _WORTH_LISTING:
            return frozenset()
        for shard in shards:
            try:
                names = os.listdir(self._results + shard)
            except FileNotFoundError:
                continue
            except OSError:  # `lookup` will report it
                return frozenset()
            if len(names) > _WORTH_READING * of_shard:  # keys are spread evenly, so all shards have about as many names
                return frozenset()
            found.update(keys.intersection(names))
        return keys - found if found else keys

    def read(self, entry: Entry) -> bytes | None:
        """Return the verified image; None if it is gone, or was corrupt and is now in quarantine.

        Raises StoreError if it can't be read.
        """
        return self._verified(entry.image, entry.size_bytes)

    def image(self, entry: Entry, key: str, size: Size) -> bytes | None:
        """Do what `read` does; bytes that are not the image of the request with `key` and `size` count as corrupt.

        If the entry records another size, the image must have that one.
        """
        content = self.read(entry)
        if content is None or is_image_of(content, key, entry.other_size or size, decode=False):
            return content
        with contextlib.suppress(OSError, StoreError), self.exclusive():
            self._set_aside(entry.image)
        return None

    def provenance(self, entry: Entry) -> dict[str, Any] | None:
        """Return the verified provenance; None and StoreError as in `read`."""
        content = self._verified(entry.provenance, _MAX_PROVENANCE_BYTES)
        try:
            value = None if content is None else json.loads(content)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def blob(self, digest: str, most_bytes: int) -> bytes | None:
        """Return a verified blob of at most `most_bytes`; None and StoreError as in `read`."""
        return self._verified(digest, most_bytes)

    def blob_path(self, digest: str) -> Path:
        """Return the path of a blob. The blob may be missing."""
        return Path(_sharded(self._blobs, digest))

    def contents(self, entry: Entry, image: bytes, provenance: bytes) -> dict[str, bytes]:
        """Return the content of an entry's files by path: its two blobs, then its action result."""
        files = {name_of(entry.other_size): (entry.image, len(image)), PROVENANCE: (entry.provenance, len(provenance))}
        return {
            _sharded(self._blobs, entry.image): image,
            _sharded(self._blobs, entry.provenance): provenance,
            _sharded(self._results, entry.key): render(files),
        }

    def put(
        self, key: str, image: bytes, provenance: bytes, *, replace: bool = False, other_size: Size | None = None
    ) -> Entry:
        """Store the image of `key` and its provenance (JSON); return the entry that `key` has now.

        `other_size` is the image's size, if it is not the one that was asked for.

        An entry that exists already stays, unless its image is corrupt, or the user asked to replace it (`replace`).
        When this returns, the entry survives a power cut. Raises StoreError; then the store has not changed.
        """
        entry = Entry(key, sha256(image), len(image), sha256(provenance), other_size)
        content = self.contents(entry, image, provenance)
        try:
            try:
                return self._put(entry, content, replace=replace)
            except FileNotFoundError:  # the folder was emptied meanwhile; the image was paid for, so try again
                return self._put(entry, content, replace=replace)
        except OSError as error:
            raise self.failure(error, "written") from error

    def put_beside(self, key: str, image: bytes, provenance: bytes, *, other_size: Size | None = None) -> Entry:
        """Store the image of `key` and its provenance, and return the entry of this image. Raises StoreError.

        If `key` has another image already, that image stays, and this image is stored under `second_key`. Only an
        image of another size than asked for makes room. For `other_size` see `put`.
        """
        entry, digest = self.put(key, image, provenance, other_size=other_size), sha256(image)
        if entry.image == digest:
            return entry
        return self.put(second_key(key, digest), image, provenance, other_size=other_size)

    def prepare(self) -> None:
        """Raise StoreError if nothing can be written, so that a build does not pay for images that it can't keep."""
        try:
            for folder in (self.staging, self._results, self._blobs):
                atomic.make_folder(Path(folder))
            # Another process may have made these folders, and been killed before it synced their names.
            for folder in (self.root.parent, self.root, self._results, self._blobs):
                atomic.sync_folder(Path(folder))
            os.unlink(atomic.stage(b"", self.staging, mode=BLOB_MODE))
        except OSError as error:
            raise self.failure(error, "written") from error

    def touch(self, key: str) -> None:
        """Mark the entry of `key` as used now, for garbage collection by age. Never raises."""
        with contextlib.suppress(OSError):
            os.utime(_sharded(self._results, key))

    def register(self, project_root: Path) -> None:
        """Record that the project uses the store, and remove leftovers of crashes. Call it once per build.

        Never raises, because a build that renders nothing works with a store that can't be written.
        """
        atomic.sweep(self.staging, older_than_s=TEMPORARY_LIFE_S)
        name = os.fsencode(os.path.realpath(project_root))
        path = self.root / "projects" / sha256(name)
        with contextlib.suppress(OSError):
            atomic.make_folder(path.parent)
            atomic.write(path, name, self.staging)

    def projects(self) -> list[Path]:
        """Return the root folders of all registered projects, including deleted ones. Raises StoreError."""
        try:
            names = os.listdir(self.root / "projects")
            roots = [self._registered(name) for name in names if is_digest(name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self.failure(error, "read") from error
        return sorted(root for root in roots if root is not None)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the store's lock, so no other process or thread adds or removes files. Raises OSError and StoreError."""
        from filelock import FileLock, Timeout

        with self._mutex:
            lock = FileLock(self.root / "lock")
            try:
                lock.acquire(timeout=_LOCK_TIMEOUT_S, poll_interval=0.005)
            except Timeout as error:
                raise StoreError(
                    "the store is locked by another process", name="store-locked",
                    facts=[f"lock:   {self.root / 'lock'}", f"waited: {_LOCK_TIMEOUT_S:.0f} s"],
                    hint="end the process that hangs, then build again",
                ) from error  # fmt: skip
            try:
                yield
            finally:
                lock.release()

    def failure(self, error: OSError, verb: str) -> StoreError:
        """Return a StoreError with the reason and a hint. `verb` is "read" or "written"."""
        return store_faults.failure(error, verb, self.root)

    def _registered(self, name: str) -> Path | None:
        try:
            content = (self.root / "projects" / name).read_bytes()
        except FileNotFoundError:  # garbage collection removed it meanwhile
            return None
        return Path(os.fsdecode(content)) if sha256(content) == name else None

    def _put(self, entry: Entry, content: Mapping[str, bytes], *, replace: bool) -> Entry:
        staged: dict[Path, str] = {}
        try:
            atomic.make_folder(self.staging)
            for path, data in content.items():
                staged[atomic.stage(data, self.staging, mode=BLOB_MODE)] = path
                atomic.make_folder(Path(path).parent)
            with self.exclusive():
                present = None if replace else self._intact(entry.key)
                if present is None:
                    is_replaced = self._keep_replaced(entry)
                    # A blob that exists is replaced too: if it is corrupt, it is repaired, and `gc` sees its new time.
                    *blobs, result = staged.items()
                    for blob in blobs:
                        os.replace(*blob)
                    if is_replaced:  # after a power cut, the new result must not stand there without its image
                        self._sync_names([entry.image, entry.provenance])
                    os.replace(*result)
            # The process that stored the present image may not have synced its names yet.
            self._sync_names([present.image] if present else [entry.image, entry.provenance])
            atomic.sync_folder(Path(_sharded(self._results, entry.key)).parent)
        finally:
            for temporary in staged:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
        return present or entry

    def _sync_names(self, digests: Iterable[str]) -> None:
        for folder in {self.blob_path(digest).parent for digest in digests}:
            atomic.sync_folder(folder)

    def _keep_replaced(self, entry: Entry) -> bool:
        """Store the result that `entry` is about to replace under another key; return whether there is one."""
        old = self.lookup(entry.key, any_size=True)
        if old is None or old.image == entry.image:
            return False
        path = _sharded(self._results, second_key(old.key, old.image))
        atomic.make_folder(Path(path).parent)
        content = _content(_sharded(self._results, old.key), MAX_BYTES) or b""
        os.replace(atomic.stage(content, self.staging, mode=BLOB_MODE), path)
        atomic.sync_folder(Path(path).parent)
        return True

    def _intact(self, key: str) -> Entry | None:
        """Return the entry of `key` if the bytes of its image match their digest."""
        entry = self.lookup(key)
        if entry is None:
            return None
        content = _content(_sharded(self._blobs, entry.image), entry.size_bytes)
        return entry if content is not None and sha256(content) == entry.image else None

    def _verified(self, digest: str, most_bytes: int) -> bytes | None:
        path = _sharded(self._blobs, digest)
        try:
            content = _content(path, most_bytes)
            if content is not None and sha256(content) == digest:
                return content
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.failure(error, "read") from error
        with contextlib.suppress(OSError, StoreError), self.exclusive():
            # Another process may have repaired the blob meanwhile.
            content = _content(path, most_bytes)
            if content is not None and sha256(content) == digest:
                return content
            self._set_aside(digest)
        return None

    def _set_aside(self, digest: str) -> None:
        quarantine = self.root / "quarantine"
        quarantine.mkdir(exist_ok=True)
        os.replace(self.blob_path(digest), quarantine / f"{digest}-{secrets.token_hex(4)}")


def _sharded(folder: str, name: str) -> str:
    return f"{folder}{checked_digest(name)[:2]}{os.sep}{name}"


def _content(path: str, most_bytes: int) -> bytes | None:
    """Return the file's bytes, None if there are more than `most_bytes`. Raises OSError."""
    fd = os.open(path, _READ)
    try:
        size = os.fstat(fd).st_size
        if size > most_bytes:
            return None
        content = os.read(fd, size)
        while len(content) < size and (more := os.read(fd, size)):
            content += more  # pragma: no cover - Linux reads less at once only from files above 2 GiB
        return content
    finally:
        os.close(fd)
