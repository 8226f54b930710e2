"""Batches: stores many new images so that they wait for the disk together.

`Store.put` waits for the disk six times for each image. A batch waits three times, however many images it has.
Databases call this a group commit. OSTree stores its objects in this way: it writes all files into a temporary folder,
calls syncfs(2) once, renames the files, and calls fsync(2) for each folder. Here `atomic.sync` chooses between the two.

Invariant: after a power cut, a name has its bytes, and a result has its blobs.

Batches are for images that can be made again: see `atomic.sync`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qwenbuild.digest import sha256
from qwenbuild.files import atomic

from .action_result import Entry
from .store import BLOB_MODE, Store

_File = tuple[str, str]  # the path of a temporary file, and the path that it shall have


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image of the size that was asked for, its provenance (JSON), and the entry that it shall have."""

    entry: Entry
    image: bytes = field(repr=False)
    provenance: bytes = field(repr=False)

    @classmethod
    def of(cls, key: str, image: bytes, provenance: bytes) -> NewImage:
        """Return the new image of `key`."""
        return cls(Entry(key, sha256(image), len(image), sha256(provenance)), image, provenance)


def put_all(store: Store, images: Sequence[NewImage]) -> list[bool]:
    """Store images; return, for each one, whether its key has this image now.

    An entry that exists already stays, even if it is damaged: `Store.put` decides about it. When this returns, the
    new entries survive a power cut. Raises StoreError; then some of the images may be stored.
    """
    blobs: list[_File] = []
    results: list[_File] = []
    try:
        atomic.make_folder(store.staging)
        for new in images:
            *two, result = store.contents(new.entry, new.image, new.provenance).items()
            for blob in two:
                _stage(store, *blob, blobs)
            _stage(store, *result, results)
        # The names of new folders become safe together with the names of the blobs.
        changed = _make_folders(path for _, path in (*blobs, *results))
        atomic.sync([temporary for temporary, _ in (*blobs, *results)])
        with store.exclusive():
            for file in blobs:
                os.replace(*file)
        atomic.sync(sorted(changed | _folders(path for _, path in blobs)))
        with store.exclusive():
            are_there = [_finish(store, new.entry, file) for new, file in zip(images, results, strict=True)]
        atomic.sync(sorted(_folders(path for _, path in results)))
    except OSError as error:
        raise store.failure(error, "written") from error
    finally:
        for temporary, _ in (*blobs, *results):
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    return are_there


def _stage(store: Store, path: str, content: bytes, staged: list[_File]) -> None:
    """Write a temporary file for `path`, and add it to `staged`."""
    temporary = atomic.stage(content, store.staging, mode=BLOB_MODE, durable=False)
    staged.append((os.fspath(temporary), path))


def _finish(store: Store, entry: Entry, result: _File) -> bool:
    """Give a result its name unless its key has one; return whether it names the image of `entry`."""
    present = store.lookup(entry.key, any_size=True)
    if present is None:
        os.replace(*result)
    return present is None or (present.image, present.other_size) == (entry.image, None)


def _make_folders(paths: Iterable[str]) -> set[str]:
    """Make the folders of these paths; return the folders that got new names. Raises OSError."""
    changed: set[str] = set()
    for folder in sorted(_folders(paths)):
        try:
            os.mkdir(folder)
        except FileExistsError:
            continue
        except FileNotFoundError:  # the store is new, or was emptied
            atomic.make_folder(Path(folder))
        else:
            changed.add(os.path.dirname(folder))
    return changed


def _folders(paths: Iterable[str]) -> set[str]:
    return {os.path.dirname(path) for path in paths}
