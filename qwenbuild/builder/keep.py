"""Keeping: puts rendered images into the store, and the images of files that are about to be replaced."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from qwenbuild.digest import canonical_json, sha256
from qwenbuild.emulation import FACT
from qwenbuild.errors import WrongSize
from qwenbuild.files import atomic, png, regular
from qwenbuild.files.provenance import with_provenance
from qwenbuild.provider import Rendered, emulator_address
from qwenbuild.request import Request, Size
from qwenbuild.specs.action import Action
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.batches import NewImage
from qwenbuild.storage.outputs import Status
from qwenbuild.storage.records import Output
from qwenbuild.storage.store import BLOB_MODE, Store

from .run import Run

_MOST_BYTES = 64 * 2**20  # of a file that is kept before it is replaced; an image has less


def keep_replaced(store: Store, path: Path | str, seen: Status | None) -> None:
    """Store the bytes of a file that a build replaces or removes: they may have been paid for on another machine.

    `seen` is the file's status in the plan, None if there was no file. A file that can't be read, or is larger than any
    image, is left to whoever replaces it. No action result names the bytes: a clone must not fill the store of other
    projects. Raises StoreError.
    """
    if seen is None or (isinstance(seen, Output) and store.blob_path(seen.image).exists()):
        return
    if (image := _read(path)) is not None:
        _keep_bytes(store, image)


def copied(store: Store, path: Path, digest: str) -> bytes | None:
    """Store and return the bytes of another output; None if nobody has bytes with this digest. Raises StoreError.

    If the build has replaced that output already, the store has its bytes.
    """
    for place in (path, store.blob_path(digest)):
        image = _read(place)
        if image is not None and sha256(image) == digest:
            _keep_bytes(store, image)
            return image
    return None


def _read(path: Path | str) -> bytes | None:
    try:
        return regular.read(path, _MOST_BYTES)
    except OSError:
        return None


def _keep_bytes(store: Store, image: bytes) -> None:
    """Store bytes that no action result names. When this returns, they survive a power cut. Raises StoreError."""
    digest = sha256(image)
    if store.blob(digest, len(image)) is not None:
        return
    blob = store.blob_path(digest)
    try:
        atomic.make_folder(store.staging)
        atomic.make_folder(blob.parent)
        with store.exclusive():
            os.replace(atomic.stage(image, store.staging, mode=BLOB_MODE), blob)
        atomic.sync_folder(blob.parent)
    except OSError as error:
        raise store.failure(error, "written") from error


def stored(action: Action, run: Run, *, any_size: bool) -> tuple[Action, Entry | None]:
    """Return the store's entry for an action, and the action under the key of the entry; None if there is none.

    Until a request is answered, nobody knows whether an emulator makes its image. Raises StoreError.
    """
    for it in (action, action.made_by(""), action.made_by(emulator_address(run.provider))):
        if entry := run.store.lookup(it.key, any_size=any_size):
            return it, entry
    return action, None


@dataclass(frozen=True, slots=True)
class Verified:
    """A verified image of `request` with its provenance, ready for the store.

    `other_size` is the image's size, if it is not the one that was asked for.
    """

    request: Request
    new: NewImage
    other_size: Size | None


def verified(provider: str, key: str, request: Request, rendered: Rendered) -> Verified:
    """Verify the image of a request, and add its provenance. Bytes behind the image's end are cut off.

    Raises BadImage if the bytes are not an image.
    """
    if not rendered.verified:
        png.verify(rendered.png)
    size = png.size_of(rendered.png)
    other_size = None if size == request.size else size
    facts = {
        "generator": "qwenbuild", "action_key": key, "provider": provider, "request": request.as_dict(),
        **({"actual_size": str(size)} if other_size else {}), **rendered.facts,
        **({FACT: rendered.emulated_by} if rendered.emulated_by else {}),
    }  # fmt: skip
    image, provenance = with_provenance(rendered.png, facts), canonical_json(facts)
    return Verified(request, NewImage.of(key, image, provenance), other_size)


def keep(
    store: Store, provider: str, key: str, request: Request, rendered: Rendered, *, pinned: str = "",
    forced: bool = False, accept_size: bool = False, alias: str = "",
) -> tuple[Entry, bytes]:  # fmt: skip
    """Verify an image and store it: see `verified` and `keep_verified`.

    `alias` is the key of the request without its drawn seed, empty if none was drawn. The store has the image also
    under this key. An earlier image of the key makes room; it stays under the key of its own request.
    """
    found = verified(provider, key, request, rendered)
    try:
        return keep_verified(store, found, pinned=pinned, forced=forced, accept_size=accept_size)
    finally:
        if alias and store.lookup(key, any_size=True):
            store.put(alias, found.new.image, found.new.provenance, replace=True, other_size=found.other_size)


def keep_verified(
    store: Store, found: Verified, *, pinned: str = "", forced: bool = False, accept_size: bool = False,
    is_free: bool = False,
) -> tuple[Entry, bytes]:  # fmt: skip
    """Store an image; return the store's entry and its bytes.

    `pinned` is the digest that the lock demands, empty for none. With `forced` the image replaces the
    stored one; otherwise the image that was stored first stays. Raises StoreError; once an image of another size is
    stored, WrongSize unless `accept_size`. With `is_free` its hint is about no money.
    """
    key, image, provenance = found.new.entry.key, found.new.image, found.new.provenance
    digest = found.new.entry.image
    if found.other_size:
        entry = store.put_beside(key, image, provenance, other_size=found.other_size)
        if accept_size:
            return entry, image
        raise WrongSize.kept(found.request.size, found.other_size, is_free=is_free)
    if digest == pinned and not forced:  # the lock counts more than the image that was stored first
        return store.put_beside(key, image, provenance), image
    entry = store.put(key, image, provenance, replace=forced)
    if entry.image != digest:  # an equal request was stored first: that image stays
        stored = store.image(entry, key, found.request.size)
        if stored is None:  # it is not the request's image, and in quarantine now
            return store.put(key, image, provenance), image
        image = stored
    return entry, image
