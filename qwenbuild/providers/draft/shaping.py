"""Shapes lines of scripts whose letters join, stack or run from right to left, and lines with emoji sequences.

HarfBuzz shapes each run and draws its outlines. The order of runs is that of the Unicode Bidirectional Algorithm.
The glyphs depend only on the fonts and on uharfbuzz, never on libraries of the machine.

Invariant: a line is drawn at the positions with which it was measured.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from . import font_files
from .font_files import EMOJI, MISSING, NOTO

if TYPE_CHECKING:
    from PIL.Image import Image
    from uharfbuzz import Face, Font

NEEDED = re.compile(
    r"[\u0300-\u036f\u0483-\u0489\u0590-\u109f\u1200-\u1cff\u1ab0-\u1aff\u1dc0-\u1dff\u200d\u20d0-\u20ff\ufe00-\ufe0f"
    r"\ufb1d-\ufdff\ufe70-\ufefe\U00010800-\U00011fff\U0001e800-\U0001efff\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff]"
)
"""Matches a character that can't be drawn alone: its line must be shaped."""

RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\U00010800-\U00010fff\U0001e800-\U0001efff]")

PARTS = 64  # of a pixel, in which HarfBuzz counts
_PICTOGRAM_EMS, _LETTER_EMS = 1.1, 0.55  # widths of the bars for what no font has
_EMOJI_WISH = re.compile("[\ufe0f\u20e3]")
_REGIONAL = range(0x1F1E6, 0x1F200)
_TONES = range(0x1F3FB, 0x1F400)
_JOINER, _NON_JOINER = "\u200d", "\u200c"  # the second one parts the letters of Persian words
_UNKNOWN_TO_BIDI = frozenset({"Cc", "Cf", "Cs", "Cn"})  # Unicode categories: the library refuses some of them


class Glyph(NamedTuple):
    """A glyph of a font at its place on the line, in parts (1/64) of a pixel; `font` may be `MISSING`.

    `advance` is the width of a bar that stands for a missing glyph, in pixels.
    """

    font: int
    number: int
    x: int
    y: int
    advance: int = 0
    is_pictogram: bool = False


class Shaped(NamedTuple):
    """A line of text as glyphs from left to right, and its width in pixels."""

    glyphs: tuple[Glyph, ...]
    width_px: int


class _Cluster(NamedTuple):
    text: str
    font: int
    level: int


@lru_cache(maxsize=4096)
def shaped(line: str, fonts: tuple[int, ...], weight: int, px: int, rtl: bool) -> Shaped:
    """Return a line of text, shaped. `fonts` are searched in their order; with `rtl` its text begins at the right."""
    glyphs: list[Glyph] = []
    x = 0
    for font, text, level in _runs(line, fonts, rtl):
        if font == MISSING:
            for bar in bars(text, px):
                glyphs.append(bar._replace(x=x))
                x += bar.advance * PARTS
            continue
        x = _shape(font, text, level, weight, px, x, glyphs)
    return Shaped(tuple(glyphs), -(-x // PARTS))


def _shape(font: int, text: str, level: int, weight: int, px: int, x: int, glyphs: list[Glyph]) -> int:
    import uharfbuzz as hb

    buffer = hb.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    buffer.direction = "rtl" if level % 2 else "ltr"
    hb.shape(_font(font, font_files.weight_of(font, weight), px), buffer, {})
    for info, place in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
        glyphs.append(Glyph(font, info.codepoint, x + place.x_offset, place.y_offset))
        x += place.x_advance
    return x


def bars(text: str, px: int) -> list[Glyph]:
    """Return the bars for characters without glyphs: one for each group of letters, one for each pictogram."""
    found = []
    for pictograms, group in groupby(text, key=is_pictogram):
        chars = "".join(group)
        for part in chars if pictograms else (chars,):
            ems = _PICTOGRAM_EMS if pictograms else _LETTER_EMS
            found.append(Glyph(MISSING, 0, 0, 0, len(part) * round(px * ems), pictograms))
    return found


def is_pictogram(char: str) -> bool:
    """Return whether a character is as wide as it is high."""
    return unicodedata.east_asian_width(char) == "W" or unicodedata.category(char) == "So"


def mask(line: Shaped, weight: int, px: int) -> tuple[Image, int, int] | None:
    """Return a line's ink as a mask, with its left edge and its top from the line's start and baseline; None if blank.

    The bars of missing glyphs are not in it.
    """
    import uharfbuzz as hb
    from PIL import Image

    pen = hb.RasterDraw()
    pen.scale_factor = (PARTS, PARTS)
    for glyph in line.glyphs:
        if glyph.font != MISSING:
            pen.transform = (1, 0, 0, 1, glyph.x, glyph.y)
            pen.draw_glyph(_font(glyph.font, font_files.weight_of(glyph.font, weight), px), glyph.number)
    drawn = pen.render()
    if drawn is None or not drawn.extents or not drawn.extents.width:
        return None
    box = drawn.extents
    size = (box.width, box.height)
    ink = Image.frombytes("L", size, drawn.buffer, "raw", "L", box.stride, -1)  # its rows go upwards
    return ink, box.x_origin, -(box.y_origin + box.height)


def clusters(line: str) -> list[str]:
    """Split a line into parts that are drawn as one: a letter with its marks, an emoji with what is joined to it."""
    found: list[str] = []
    for char in line:
        before = found[-1] if found else ""
        flag = ord(char) in _REGIONAL and len(before) == 1 and ord(before) in _REGIONAL
        if before and (flag or joins(char) or before.endswith(_JOINER)):
            found[-1] += char
        else:
            found.append(char)
    return found


def joins(char: str) -> bool:
    """Return whether a character belongs to the one before it: a mark, a joiner, a variation selector, a skin tone."""
    return unicodedata.category(char) in {"Mn", "Mc", "Me"} or char in (_JOINER, _NON_JOINER) or ord(char) in _TONES


def missing(text: str, fonts: tuple[int, ...]) -> list[str]:
    """Return the scripts of the characters of a text that no font has, each once."""
    return list(
        dict.fromkeys(font_files.script(part[0]) for part in clusters(text) if _covering(part, fonts) == MISSING)
    )


def _runs(line: str, fonts: tuple[int, ...], rtl: bool) -> list[tuple[int, str, int]]:
    """Split a line into runs of one font and one direction, from left to right: font, text, bidi level."""
    parts: list[_Cluster] = []
    levels = _levels(line, rtl)
    at = 0
    for text in clusters(line):
        goes_on = text == " " and parts and parts[-1].font not in (MISSING, EMOJI)  # an emoji font's space is wide
        font = parts[-1].font if goes_on else _covering(text, fonts)
        if font is not None:
            parts.append(_Cluster(text, font, levels[at]))
        at += len(text)
    grouped = groupby(parts, key=lambda part: (part.font, part.level))
    runs = [(font, "".join(part.text for part in group), level) for (font, level), group in grouped]
    for level in range(max((run[2] for run in runs), default=0), 0, -1):  # rule L2 of the algorithm
        ordered: list[tuple[int, str, int]] = []
        for is_turned, group in groupby(runs, key=lambda run: run[2] >= level):
            same = list(group)
            ordered += same[::-1] if is_turned else same
        runs = ordered
    return runs


def _levels(line: str, rtl: bool) -> list[int]:
    """Return the embedding level of each character: odd levels run from right to left."""
    if not (rtl or RIGHT_TO_LEFT.search(line)):
        return [0] * len(line)
    from bidi import algorithm

    places = [at for at, char in enumerate(line) if unicodedata.category(char) not in _UNKNOWN_TO_BIDI]
    storage: dict[str, Any] = algorithm.get_empty_storage()
    storage["base_level"], storage["base_dir"] = int(rtl), "LR"[rtl]
    algorithm.get_embedding_levels("".join(line[at] for at in places), storage)
    for step in (
        algorithm.explicit_embed_and_overrides, algorithm.resolve_weak_types, algorithm.resolve_neutral_types,
        algorithm.resolve_implicit_levels,
    ):  # fmt: skip
        step(storage, False)
    levels = [int(rtl)] * len(line)
    for at, char in zip(places, storage["chars"], strict=True):
        levels[at] = char["level"]
    return levels


@lru_cache(maxsize=16384)
def _covering(cluster: str, fonts: tuple[int, ...]) -> int | None:
    """Return the font that draws a cluster, `MISSING` if none can, None if it draws nothing."""
    visible = [ord(char) for char in cluster if unicodedata.category(char) not in {"Cc", "Cf", "Cs"}]
    visible = [char for char in visible if not 0xFE00 <= char <= 0xFE0F]
    if not visible:
        return None
    own = font_files.script_font(cluster[0])
    order = (EMOJI, *fonts) if _EMOJI_WISH.search(cluster) else fonts if own is None else (own, *fonts)
    for font in order:
        if _codes(font).issuperset(visible):
            return font
    return next((font for font in (*order, NOTO, EMOJI) if visible[0] in _codes(font)), MISSING)


@lru_cache(maxsize=font_files.COUNT)
def _codes(font: int) -> frozenset[int]:
    return frozenset(_face(font).unicodes)


@lru_cache(maxsize=font_files.COUNT)
def _face(font: int) -> Face:
    import uharfbuzz as hb

    return hb.Face(hb.Blob.from_file_path(str(font_files.path(font))))


@lru_cache(maxsize=256)
def _font(font: int, weight: int, px: int) -> Font:
    import uharfbuzz as hb

    made = hb.Font(_face(font))
    made.scale = (px * PARTS, px * PARTS)
    made.set_variations({"wght": weight})
    return made


def ink_left(line: Shaped, weight: int, px: int) -> int:
    """Return the white space left of a line's first glyph, in pixels."""
    for glyph in line.glyphs[:1]:
        if glyph.font != MISSING:
            font = _font(glyph.font, font_files.weight_of(glyph.font, weight), px)
            extents = font.get_glyph_extents(glyph.number)
            return round((glyph.x + extents.x_bearing) / PARTS) if extents else 0
    return 0
