"""Thumbnails: small copies of images, made once and kept in the user's cache folder by the image's digest.

Invariants: a thumbnail is whole, or it is made again. No thumbnail comes from a project: a stranger's project could
show another picture than its images. All projects of a user share them, and cleaners may delete them.
Images are decoded in threads, as many at once as the machine has processors: Pillow decodes without Python's lock, so
threads take the time of processes, and half of their memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from qwenbuild.digest import sha256
from qwenbuild.files import atomic, regular
from qwenbuild.files.user_folders import cache_folder

if TYPE_CHECKING:
    from PIL.Image import Image

_T = TypeVar("_T")
_R = TypeVar("_R")

SIDE_PX = 512
"""The longer side of a thumbnail, sharp in the grid's largest tile on an ordinary screen."""

SUFFIX = ".webp"
_QUALITY = 80
_MADE_AS = f"{SIDE_PX}px-{_QUALITY}"  # the name of the folder: other settings give other thumbnails
_MOST_BYTES = 1 << 28  # of an image
_MOST_PIXELS = 64_000_000  # far more than any model offers, but few enough for the memory


class Thumbnails:
    """The thumbnails in one folder, by default the user's. Call `close` at the end."""

    def __init__(self, folder: Path | None = None) -> None:
        cache = cache_folder()
        self._folder = folder or (cache / "thumbnails" / _MADE_AS if cache else None)
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, "qwenbuild-thumbnail")
        self._locks: dict[str, Lock] = {}

    async def get(self, digest: str, places: Sequence[Path]) -> bytes | None:
        """Return the thumbnail of the image with this digest, without blocking the event loop.

        The image is read from the first of `places` that has its bytes. Returns None if no place has
        them, or if the file is not an image.
        """
        content = partial(read, digest, places)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.of, digest, content)

    def of(self, digest: str, content: Callable[[], bytes | None]) -> bytes | None:
        """Return the thumbnail of the image with this digest; `content` gives its bytes, and is called if it is new."""
        with self._locks.setdefault(digest, Lock()):  # two pages may ask for the same image at once
            kept = self._kept(digest)
            if kept is not None:
                return kept
            image = content()
            small = None if image is None else shrink(image)
            if small is not None:
                self.keep(digest, small)
            return small

    def lacking(self, digests: Iterable[str]) -> list[str]:
        """Return those of the digests whose thumbnails are not kept yet; none if there is no folder to keep any."""
        return [digest for digest in digests if self._kept(digest) is None] if self._folder else []

    def keep(self, digest: str, small: bytes) -> None:
        """Keep the thumbnail of the image with this digest, as `shrink` made it somewhere else."""
        if self._folder:
            with contextlib.suppress(OSError):  # a full disk: the thumbnail is made again next time
                atomic.write(self._path(self._folder, digest), small, self._folder / "tmp", durable=False)

    def side_by_side(self, act: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
        """Yield what `act` returns for each item, in order. `act` runs in the threads, and may call `of`."""
        return self._pool.map(act, items)

    def close(self) -> None:
        """End the threads; work that has not begun is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _kept(self, digest: str) -> bytes | None:
        if self._folder is None:
            return None
        try:
            content = regular.read(self._path(self._folder, digest), _MOST_BYTES)
        except OSError:
            return None
        length = int.from_bytes(content[4:8], "little") + 8  # a power cut can leave a shorter file
        return content if content[:4] == b"RIFF" and len(content) == length else None

    @staticmethod
    def _path(folder: Path, digest: str) -> Path:
        return folder / digest[:2] / f"{digest}{SUFFIX}"


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
    return scaled(content, (SIDE_PX, SIDE_PX), partial(encoded, kind="WEBP", quality=_QUALITY, method=0))


def scaled(content: bytes, box: tuple[int, int], use: Callable[[Image], _R], *, is_exact: bool = False) -> _R | None:
    """Return what `use` makes of an image, scaled down to fit into `box` (width, height); None if it is not an image.

    `is_exact` takes more time for a sharper image.
    """
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as image:
            if image.width * image.height > _MOST_PIXELS:
                return None
            mode = "RGBA" if image.has_transparency_data else "RGB"  # a palette can't be interpolated
            shown = image if image.mode == mode else image.convert(mode)
            if is_exact:
                shown.thumbnail(box, PIL.Image.Resampling.LANCZOS)
            else:
                shown.thumbnail(box, reducing_gap=1.0)
            return use(shown)
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError):  # a hand-edited file may be anything
        return None


def encoded(image: Image, kind: str, **settings: int) -> bytes:
    """Return an image in a format such as WEBP or JPEG, with Pillow's settings of that format."""
    out = io.BytesIO()
    image.save(out, kind, **settings)
    return out.getvalue()
