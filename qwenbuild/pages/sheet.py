"""The contact sheet: the plan's cells by two axes, as a PNG, a PDF or a page of HTML, to print and to send.

A sheet ends with a seal: the digest of its other bytes. So a sheet that nobody changed is written anew without a
question, also in a clone, and no other file is ever replaced: no image, and no sheet with somebody's notes on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from qwenbuild.digest import sha256
from qwenbuild.errors import OutputError, UsageError
from qwenbuild.files import atomic, regular
from qwenbuild.files.png_chunks import packed
from qwenbuild.plan.plan import Plan
from qwenbuild.problems import Problem, did_you_mean, listing, visible
from qwenbuild.routes import Routes
from qwenbuild.specs.project import Project
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store

from . import sheet_html, sheet_layout, sheet_paint
from .gallery import Gallery, GalleryMaker
from .report import unshown
from .sheet_grid import Grid, grid
from .sheet_layout import PAPERS_MM, TILE_PX, Layout, Picture
from .sheet_text import Lettering
from .thumbnails import Thumbnails, encoded, read, scaled

if TYPE_CHECKING:
    from PIL.Image import Image

_T = TypeVar("_T")
_Tell = Callable[[int, int], None]

_SEALS: Mapping[str, Callable[[bytes], bytes]] = {
    ".png": lambda digest: packed(b"tEXt", b"qwenbuild sheet\0" + digest),
    ".pdf": lambda digest: b"% qwenbuild sheet " + digest + b"\n",
    ".html": lambda digest: b"<!-- qwenbuild sheet " + digest + b" -->\n",
}
"""The seal of each format, by the file's suffix."""

_IEND = 12  # bytes of the last chunk of a PNG, which stands after the seal
_MOST_BYTES = 1 << 30  # of a file that is looked at


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user chose: axes, the longer side of a picture in pixels (None: by the format), the paper of a PDF."""

    rows: str | None = None
    columns: str | None = None
    tile_px: int | None = None
    paper: str = "A4"


@dataclass(frozen=True, slots=True)
class Written:
    """A written sheet: its path, its number of cells and pages, its size in bytes, and what it warns of."""

    path: Path
    cells: int
    pages: int
    size_bytes: int
    warnings: Sequence[Problem] = ()


def check(path: Path, choices: Choices) -> None:
    """Raise UsageError if the suffix is unknown, the paper is, or the path has something other than a sheet."""
    suffix = path.suffix.lower()
    if suffix not in _SEALS:
        claim = f'{path}: a sheet can\'t be written as "{visible(suffix)}"' if suffix else f"{path} has no suffix"
        raise UsageError(
            claim,
            facts=[f"the suffix says the format: {listing(_SEALS)}"],
            hint=did_you_mean(suffix, _SEALS),
            name="unknown-format",
        )
    if choices.paper not in PAPERS_MM:
        raise UsageError(
            f'no paper "{visible(choices.paper)}"', facts=[f"known: {listing(PAPERS_MM)}"], name="wrong-command-line"
        )
    try:
        present = regular.read(path, _MOST_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path} can't be replaced: {error.strerror or error}", name="file-in-the-way") from error
    if present and not is_sealed(present, suffix):
        raise UsageError(
            f"{path} is not a sheet as qwenbuild wrote it",
            facts=["it is another file, or somebody changed it"],
            hint="let -o name another file, or remove this one",
            name="file-in-the-way",
        )


def write(
    path: Path,
    project: Project,
    plan: Plan,
    state: State,
    store: Store,
    routes: Routes,
    choices: Choices,
    tell: _Tell | None = None,
) -> Written:
    """Write the sheet of a plan; the suffix of `path` says the format.

    `tell` is called with the number of finished pictures and that of all. A file that is not an image is a warning.
    Raises UsageError if there is no such axis, if the pictures do not fit, or if `check` does; OutputError if the file
    can't be written.
    """
    check(path, choices)
    gallery = GalleryMaker(project, store).gallery(plan, state, routes)
    arranged = grid(plan, gallery, choices.rows, choices.columns)
    pictures = _Pictures(gallery, tell or (lambda done, total: None))
    suffix = path.suffix.lower()
    content, pages, missing = (
        _html(arranged, pictures, choices) if suffix == ".html" else _drawn(arranged, pictures, choices, suffix)
    )
    content = sealed(content, suffix)
    try:
        atomic.write(path, content, path.parent)
    except OSError as error:
        hint = "free some space there, or let -o name another place"
        raise OutputError(
            f"{path} can't be written: {error.strerror or error}", hint=hint, name="output-unwritable"
        ) from error
    warnings = [*unshown(project, pictures.damaged, "the sheet"), *_without_font(missing)]
    return Written(path, len(plan.steps), pages, len(content), warnings)


def sealed(content: bytes, suffix: str) -> bytes:
    """Return a sheet with its seal."""
    end = len(content) - (_IEND if suffix == ".png" else 0)
    return content[:end] + _SEALS[suffix](sha256(content).encode()) + content[end:]


def is_sealed(content: bytes, suffix: str) -> bool:
    """Return whether these bytes are a sheet with its seal, unchanged."""
    end = len(content) - (_IEND if suffix == ".png" else 0)
    start = end - len(_SEALS[suffix](b"0" * 64))
    return start > 0 and sealed(content[:start] + content[end:], suffix) == content


class _Pictures:
    """Reads and scales the pictures of a sheet on all processors. `damaged` are files that are not images."""

    def __init__(self, gallery: Gallery, tell: _Tell) -> None:
        self._files, self._tell = gallery.files, tell
        self.damaged: list[Path] = []

    def of(self, wanted: Sequence[tuple[str, tuple[int, int]]], use: Callable[[Image], _T]) -> Iterator[_T | None]:
        """Yield what `use` makes of each image, by digest and size of the box; None for a file that is not an image."""

        def scale(image: tuple[str, tuple[int, int]]) -> _T | None:
            digest, box = image
            content = read(digest, self._files[digest]) if digest else None
            return scaled(content, box, use, is_exact=True) if content else None

        pool, count, done = Thumbnails(), sum(bool(digest) for digest, _ in wanted), 0
        try:
            for (digest, _), picture in zip(wanted, pool.side_by_side(scale, wanted), strict=True):
                if digest:
                    done += 1
                    self._tell(done, count)
                    if picture is None:
                        self.damaged.append(self._files[digest][-1])
                yield picture
        finally:
            pool.close()


def _html(arranged: Grid, pictures: _Pictures, choices: Choices) -> tuple[bytes, int, Sequence[str]]:
    side = choices.tile_px or TILE_PX
    digests = list(dict.fromkeys(tile.image for tile in arranged.tiles if tile.image))
    encode = partial(encoded, kind="WEBP", quality=90, method=4)
    images = pictures.of([(digest, (side, side)) for digest in digests], encode)
    return sheet_html.page(arranged, dict(zip(digests, images, strict=True)), side), 1, ()


def _drawn(arranged: Grid, pictures: _Pictures, choices: Choices, suffix: str) -> tuple[bytes, int, Sequence[str]]:
    lettering = Lettering({*arranged.texts, sheet_paint.UNREADABLE, "0123456789 /"})
    if suffix == ".png":
        layout = sheet_layout.on_one_page(arranged, lettering, choices.tile_px)
        content = sheet_paint.png(layout, lettering, _placed(layout, pictures, _on_white))
    else:
        layout = sheet_layout.on_paper(arranged, lettering, choices.tile_px, choices.paper)
        images = _placed(layout, pictures, _as_jpeg)
        content = sheet_paint.pdf(layout, lettering, arranged.title, images)
    return content, len(layout.pages), lettering.missing


def _placed(layout: Layout, pictures: _Pictures, use: Callable[[Image], _T]) -> Iterator[tuple[Picture, _T | None]]:
    places = [picture for page in layout.pages for picture in page.pictures]
    images = pictures.of([(it.tile.image, it.box[2:]) for it in places], use)
    yield from zip(places, images, strict=True)


def _on_white(image: Image) -> Image:
    """Return an image without transparency."""
    if image.mode == "RGB":
        return image
    import PIL.Image

    white = PIL.Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")


def _as_jpeg(image: Image) -> bytes:
    return encoded(_on_white(image), "JPEG", quality=92, subsampling=0)  # letters in the image stay clean


def _without_font(missing: Sequence[str]) -> Iterator[Problem]:
    if missing:
        claim = f"no font here has {len(missing):,} characters of the labels, which are drawn as boxes"
        yield Problem(
            claim,
            facts=[listing(missing)],
            hint="a sheet in HTML shows them: browsers have more fonts",
            name="no-glyphs",
        )
