"""Ownership: whose file is at an output's path, if the state has no record that fits.

A file is qwenbuild's own if its bytes are a result that the lock or the state knows for this path, or that the store
holds for this request. So a clone, a branch switch and a pull leave nothing "edited". A file with the image of another
cell is not its own: somebody chose it by hand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from qwenbuild.digest import canonical_json
from qwenbuild.emulation import FACT, emulated_key, is_unmarked
from qwenbuild.errors import BadImage
from qwenbuild.files.provenance import read_provenance_file
from qwenbuild.request import Request
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.outputs import digest, status
from qwenbuild.storage.records import Output
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store, second_key

from .emulation import shows_unmarked


class Ownership:
    """Tells whose the files of one project are, which the state's `records` do not explain."""

    def __init__(self, records: Mapping[str, Output], lock: Lock, state: State, store: Store) -> None:
        self._records, self._state, self._store = records, state, store
        self._pins = [lock.pins, *([lock.theirs] if lock.theirs else [])]

    def outdated(self, output: str, key: str, path: str, image: str) -> tuple[str, str] | None:
        """Return (key, request as JSON) of an own file that is not what the action with `key` wants; None if it is not.

        `image` is the digest of the file at `path`, empty for what is no file. The request is empty if only the state
        may know it.
        """
        if not image:
            return None
        for pins in self._pins:
            if (pin := pins.get(output)) and pin.image == image:
                return pin.key, _request(path, pin.key)
        for past in self._state.history(output):
            if past.image == image:
                return past.key, ""
        return (key, "") if self._store.lookup(second_key(key, image), any_size=True) else None

    def copy_of(self, output: str, key: str, image: str, out: str) -> tuple[str, str] | None:
        """Return (path, digest) of an output with an image that the lock pins for `key`; None if there is none.

        `output` itself is not looked at. With `image`, only this image will do. So a clone that has the images needs no
        store to rename one.
        """
        for pin in self._by_key.get(key, ()):
            path = f"{out}/{pin.path}"
            seen = status(path) if pin.path != output and image in ("", pin.image) else None
            if seen and digest(path, seen) == pin.image and not shows_unmarked(path):
                return pin.path, pin.image
        return None

    def kept(self, key: str, pinned: str) -> tuple[str, str] | None:
        """Return (path, digest) of the blob with the image of `key` that an output had before; None if there is none.

        A build keeps what it replaces, also what a colleague rendered: no action result names that. If the lock pins a
        digest, only that image will do.
        """
        for image in [pinned] if pinned else self._past.get(key, ()):
            path = str(self._store.blob_path(image))
            if status(path) is not None and _request(path, key):
                return path, image
        return None

    @cached_property
    def _past(self) -> Mapping[str, list[str]]:
        """The images that any output has had, by key, the newest first."""
        found: dict[str, list[str]] = {}
        for key, image in self._state.images_written():
            found.setdefault(key, []).append(image)
        return found

    @cached_property
    def _by_key(self) -> Mapping[str, list[Pin]]:
        found: dict[str, list[Pin]] = {}
        for pin in (pin for pins in self._pins for pin in pins.values()):
            found.setdefault(pin.key, []).append(pin)
        return found

    def cell_of(self, image: str) -> str:
        """Return the name of the cell that has an image with this digest; empty if no cell is known to have it."""
        return self._cells.get(image, "")

    @cached_property
    def _cells(self) -> Mapping[str, str]:
        """The names of cells by the digest of their image."""
        found = {record.image: record.name for record in self._records.values()}
        return found | {pin.image: pin.name for pins in self._pins for pin in pins.values()}


def _request(path: str, key: str) -> str:
    """Return the request in an image's provenance as JSON.

    It is empty if the request does not have this key, or if an emulator made the image for an older version.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, BadImage):
        provenance = read_provenance_file(path) or {}
        request, address = Request.from_dict(dict(provenance["request"])), provenance.get(FACT)
        keys = [request.key, *request.older_keys]
        if not is_unmarked(provenance) and key in (*keys, *(emulated_key(it, str(address)) for it in keys if address)):
            return canonical_json(request.as_dict()).decode()
    return ""


def pinned_outputs(pins: Sequence[Pin], out: Path) -> Iterator[tuple[Output, bool]]:
    """Yield, for each pin whose file exists, the output as a record, and whether its bytes are those of the pin."""
    for pin in pins:
        path = out / pin.path
        if (seen := status(path)) is not None:
            found = Output(pin.path, pin.key, pin.image, seen.st_size, seen.st_mtime_ns, seen.st_ino, pin.name)
            yield found, digest(path, seen) == pin.image
