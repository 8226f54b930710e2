"""Thumbnails: small copies of images, made once and kept in a folder by the image's digest.

Invariants: a thumbnail file is complete or missing. If a thumbnail is deleted, it is made again when needed.
Images are decoded in separate threads, as many at once as the machine has processors.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TypeVar

from qwenbuild.digest import sha256
from qwenbuild.files import atomic, regular

_T = TypeVar("_T")
_R = TypeVar("_R")

SIDE_PX = 512
"""The longer side of a thumbnail, sharp in the grid's largest tile on an ordinary screen."""

SUFFIX = ".webp"
_QUALITY = 80
_MOST_BYTES = 1 << 28  # of an image
_MOST_PIXELS = 64_000_000  # far more than any model offers, but few enough for the memory


class Thumbnails:
    """The thumbnails in one folder. Call `close` at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, "qwenbuild-thumbnail")
        self._locks: dict[str, Lock] = {}

    async def get(self, digest: str, places: Sequence[Path]) -> bytes | None:
        """Return the thumbnail of the image with this digest, without blocking the event loop.

        The image is read from the first of `places` that has its bytes. Returns None if no place has
        them, or if the file is not an image.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.make, digest, places)

    def make(self, digest: str, places: Sequence[Path]) -> bytes | None:
        """Do what `get` does, in this thread."""
        path = self._folder / digest[:2] / f"{digest}{SUFFIX}"
        with self._locks.setdefault(digest, Lock()):  # two pages may ask for the same image at once
            try:
                regular.check(path, follow=False)  # a stranger's link would show what it leads to
                return regular.read(path, _MOST_BYTES)
            except OSError:
                small = self._shrunk(digest, places)
            if small is not None:
                try:
                    atomic.write(path, small, self._folder / "tmp")
                except OSError:  # a full disk: the thumbnail is made again next time
                    return small
            return small

    def side_by_side(self, act: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
        """Yield what `act` returns for each item, in order. `act` runs in the threads, and may call `make`."""
        return self._pool.map(act, items)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _shrunk(self, digest: str, places: Sequence[Path]) -> bytes | None:
        content = read(digest, places)
        return None if content is None else shrink(content)


def read(digest: str, places: Sequence[Path]) -> bytes | None:
    """Return the bytes with this digest from the first place that has them, None if no place has them."""
    for place in places:
        try:
            content = regular.read(place, _MOST_BYTES)
        except OSError:
            continue
        if sha256(content) == digest:
            return content
    return None


def shrink(content: bytes) -> bytes | None:
    """Return an image as WebP with sides of at most `SIDE_PX` and the same aspect ratio; None if it is not an image."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as image:
            if image.width * image.height > _MOST_PIXELS:
                return None
            shown = image.convert("RGBA" if image.has_transparency_data else "RGB")  # a palette can't be interpolated
            shown.thumbnail((SIDE_PX, SIDE_PX), reducing_gap=1.0)
            out = io.BytesIO()
            shown.save(out, "WEBP", quality=_QUALITY, method=1)
            return out.getvalue()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # a hand-edited file may be anything
        return None
