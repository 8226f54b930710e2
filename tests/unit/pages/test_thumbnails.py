"""Thumbnails: their size, which files get no thumbnail, and that each thumbnail is made once."""

from __future__ import annotations

import asyncio
import io
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from qwenbuild.digest import sha256
from qwenbuild.files.user_folders import cache_folder
from qwenbuild.pages.thumbnails import SIDE_PX, Thumbnails, read, shrink
from qwenbuild.providers.null import plain
from qwenbuild.request import Size


@pytest.mark.parametrize(
    ("size", "wanted"), [((1664, 928), (512, 286)), ((928, 1664), (286, 512)), ((64, 32), (64, 32))]
)
def test_the_aspect_ratio_is_kept(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    """A thumbnail has its image's aspect ratio, and no side over `SIDE_PX`; small images stay as they are."""
    small = shrink(plain(Size(*size), b"\x20\x40\x60"))
    assert small is not None
    with Image.open(io.BytesIO(small)) as image:
        assert abs(image.width - wanted[0]) <= 1
        assert abs(image.height - wanted[1]) <= 1
        assert max(image.size) <= SIDE_PX


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", plain(Size(99, 99), b"abc")[:60]])
def test_other_bytes_have_no_thumbnail(content: bytes) -> None:
    """Bytes that are not a complete image give no thumbnail."""
    assert shrink(content) is None


def test_a_huge_image_has_no_thumbnail() -> None:
    """An image with too many pixels is not decoded."""
    assert shrink(plain(Size(20_000, 9_000), b"abc")) is None


def test_a_thumbnail_is_made_once(tmp_path: Path) -> None:
    """The second call returns the stored thumbnail, even if the image is gone."""
    content = plain(Size(640, 480), b"abc")
    place, digest = tmp_path / "image.png", sha256(content)
    place.write_bytes(content)
    thumbnails = Thumbnails(tmp_path / "small")
    first = asyncio.run(thumbnails.get(digest, [tmp_path / "missing", place]))
    place.unlink()
    assert first is not None
    assert thumbnails.of(digest, partial(read, digest, [place])) == first
    thumbnails.close()


@pytest.mark.parametrize("length", [0, 40, -1])
def test_a_thumbnail_that_lost_its_end_is_made_again(tmp_path: Path, length: int) -> None:
    """After a power cut, a file may be shorter than it was."""
    content = plain(Size(64, 48), b"abc")
    place, digest = tmp_path / "image.png", sha256(content)
    place.write_bytes(content)
    thumbnails = Thumbnails(tmp_path / "small")
    whole = thumbnails.of(digest, partial(read, digest, [place]))
    assert whole is not None
    kept = tmp_path / "small" / digest[:2] / f"{digest}.webp"
    kept.write_bytes(whole[:length])
    assert thumbnails.of(digest, partial(read, digest, [place])) == whole
    assert kept.read_bytes() == whole
    thumbnails.close()


def test_projects_share_the_users_thumbnails(tmp_path: Path) -> None:
    """Without a folder, thumbnails are kept in the user's cache folder."""
    content = plain(Size(64, 48), b"abc")
    digest = sha256(content)
    (tmp_path / "image.png").write_bytes(content)
    thumbnails, cache = Thumbnails(), cache_folder()
    made = thumbnails.of(digest, partial(read, digest, [tmp_path / "image.png"]))
    assert cache
    [kept] = (cache / "thumbnails").rglob("*.webp")
    assert kept.read_bytes() == made
    thumbnails.close()


def test_bytes_with_another_digest_are_not_read(tmp_path: Path) -> None:
    """A file whose bytes have another digest counts as missing."""
    place = tmp_path / "image.png"
    place.write_bytes(b"other")
    assert read(sha256(b"image"), [place]) is None


def test_colours_of_a_palette_are_mixed() -> None:
    """Fine lines of a palette image, such as a draft, are blended, not dropped."""
    image = Image.new("P", (2048, 1024))
    image.putpalette([0, 0, 0, 255, 255, 255])
    for x in range(0, 2048, 2):
        image.paste(1, (x, 0, x + 1, 1024))
    out = io.BytesIO()
    image.save(out, "PNG")
    small = shrink(out.getvalue())
    assert small is not None
    with Image.open(io.BytesIO(small)) as shown:
        assert all(100 < value < 156 for value in shown.convert("L").tobytes())
