"""Painting a contact sheet: its layout as a PNG, or as a PDF whose texts can be searched and copied.

Equal sheets have equal bytes: neither format says when it was made.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .sheet_layout import DPI, Layout, Picture, Text
from .sheet_text import Lettering

if TYPE_CHECKING:
    from PIL.Image import Image

UNREADABLE = "no whole image"
"""What stands in place of a file that is not an image."""

_PAPER, _INK, _QUIET, _BLANK, _EDGE = "#ffffff", "#1a1a1a", "#5c5c5c", "#f4f4f4", "#c8c8c8"
_NO_DATE = datetime(1980, 1, 1, tzinfo=UTC)  # fpdf2 demands one: it is that of reproducible archives
_PT = 72 / DPI  # points in a pixel
_ASCENT = 0.88  # of the text size: how far the letters of a line rise above its baseline
_CELL = 0.8  # the same in fpdf2, for a cell as high as the text


def png(layout: Layout, lettering: Lettering, pictures: Iterable[tuple[Picture, Image | None]]) -> bytes:
    """Return a sheet of one page as a PNG. `pictures` are those of the layout, scaled; None: it is unreadable."""
    from PIL import Image, ImageDraw

    [page] = layout.pages
    canvas = Image.new("RGB", (page.width, page.height), _PAPER)
    draw = ImageDraw.Draw(canvas)

    def write(text: Text) -> None:
        for left, baseline, font, run in _runs(text, layout, lettering):
            if found := lettering.ink(font, run, layout.font_px):
                ink, right, down = found
                canvas.paste(_ink(text), (round(left) + right, round(baseline) + down), ink)

    for picture, image in pictures:
        left, top, width, height = picture.box
        if image:
            canvas.paste(image, (left + (width - image.width) // 2, top + (height - image.height) // 2))
        else:
            draw.rectangle((left, top, left + width - 1, top + height - 1), _BLANK, _EDGE, 2)
            write(_inside(picture, layout, lettering))
    for text in page.texts:
        write(text)
    out = io.BytesIO()
    canvas.save(out, "PNG", dpi=(DPI, DPI))
    return out.getvalue()


def pdf(layout: Layout, lettering: Lettering, title: str, pictures: Iterable[tuple[Picture, bytes | None]]) -> bytes:
    """Return a sheet as a PDF. `pictures` are those of all pages in order, as JPEG; None: it is unreadable."""
    from fpdf import FPDF

    document = FPDF(unit=_PT)
    document.set_creation_date(_NO_DATE)
    document.set_title(title)
    document.set_creator("qwenbuild")
    document.set_auto_page_break(False)
    document.c_margin = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, font in enumerate(lettering.fonts):
            path = Path(folder, f"{number}.ttf")
            path.write_bytes(font)
            document.add_font(str(number), fname=path)

        def write(text: Text) -> None:
            document.set_text_color(_ink(text))
            for left, baseline, number, run in _runs(text, layout, lettering):
                document.set_font(str(number), size=layout.font_px * _PT)
                document.set_text_shaping(not lettering.is_plain(number, run))
                document.set_xy(left, baseline - layout.font_px * _CELL)
                document.cell(h=layout.font_px, text=run)

        images = iter(pictures)
        for page in layout.pages:
            document.add_page(format=(page.width, page.height))
            document.set_draw_color(_EDGE)
            document.set_fill_color(_BLANK)
            for text in page.texts:
                write(text)
            for _ in page.pictures:
                picture, content = next(images)
                left, top, width, height = picture.box
                if content:
                    name = picture.tile.name
                    document.image(content, left, top, width, height, keep_aspect_ratio=True, alt_text=name)
                else:
                    document.rect(left, top, width, height, style="DF")
                    write(_inside(picture, layout, lettering))
        return bytes(document.output())


def _ink(text: Text) -> str:
    return _QUIET if text.is_quiet else _INK


def _runs(text: Text, layout: Layout, lettering: Lettering) -> Iterator[tuple[float, float, int, str]]:
    """Yield where each part of a line begins, the height of its baseline, its font and its text."""
    left = text.left
    for font, run, ems in lettering.runs(text.text):
        yield left, text.top + layout.font_px * _ASCENT, font, run
        left += ems * layout.font_px


def _inside(picture: Picture, layout: Layout, lettering: Lettering) -> Text:
    """Return the text in the middle of a blank place: why it is blank."""
    left, top, width, height = picture.box
    note = picture.tile.note if not picture.tile.image else UNREADABLE
    [line] = lettering.lines(note, width / layout.font_px, 1) or [""]
    free = width - lettering.ems(line) * layout.font_px
    return Text(left + free / 2, top + (height - layout.font_px) / 2, line, is_quiet=True)
