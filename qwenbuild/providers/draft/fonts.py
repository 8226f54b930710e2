"""The fonts of drafts: which font has a glyph, how wide a line is, and how a line is drawn.

The fonts are Noto Sans SC, KR and JP (SIL Open Font License), variable in weight, from the package
justmytype-intl-cjk. Characters without a glyph (emoji, and scripts that need shaping, such as
Arabic and Devanagari) are drawn as neutral bars, never as the font's "missing" box.

Invariants: a line is measured with the same advances with which it is drawn; every result depends
only on the arguments.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

REGULAR, BOLD, BLACK = 400, 700, 900  # weights
MISSING = -1  # in place of a font's number: no font has the glyph

WIDE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
"""Chinese and Japanese characters and punctuation, but not Hangul, because Korean has spaces between words."""

_SC, _KR, _JP = 0, 1, 2
_FILES = ("notosanssc/NotoSansSC[wght].ttf", "notosanskr/NotoSansKR[wght].ttf", "notosansjp/NotoSansJP[wght].ttf")
_FONTS_KEPT = 64  # font sizes that a thread keeps open; each takes about 100 kB
_ESTIMATE_PX = 200  # at this size hinting hardly changes widths
_COVERAGE_PX = 24
_MOST_BEARING = 0.15  # ems; more white than this belongs to the character itself, as in 「
_NONCHARACTER = "\U0010fffe"  # no font has a glyph for it
_KANA, _HANGUL = re.compile(r"[\u3041-\u30ff]"), re.compile(r"[\u1100-\u11ff\uac00-\ud7a3]")
_OPENING, _CLOSING = frozenset("‘“"), frozenset("’”—–·…")  # full width in the Chinese font, narrow in Latin text
_UNDRAWN = frozenset({"Cc", "Cf", "Cs", "Mn", "Me"})  # Unicode categories: controls, joiners, combining marks
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_JOINER = "\u200d"  # joins the parts of one emoji

Fill = tuple[int, int, int] | int  # for a canvas of mode RGB, or of mode L

_local = threading.local()  # each thread has its own fonts: FreeType faces must not be shared


class Typeface(NamedTuple):
    """Fonts in the order in which they are searched for a glyph, and the weight (100 to 900)."""

    fonts: tuple[int, ...]
    weight: int

    @classmethod
    def of(cls, text: str, weight: int) -> Typeface:
        """Return the typeface for a text. Chinese and Japanese need different fonts for the same characters."""
        if _KANA.search(text):
            return cls((_JP, _SC, _KR), weight)
        if _HANGUL.search(text) or not WIDE.search(text):  # the Korean font's punctuation fits Latin text
            return cls((_KR, _SC, _JP), weight)
        return cls((_SC, _JP, _KR), weight)

    def width_px(self, text: str, px: int) -> int:
        """Return the exact width of a line of text at a font size of `px`."""
        return _width_px(text, self, px)

    def ems(self, text: str) -> float:
        """Return the width of a line of text in ems. At small sizes the real width differs by some percent."""
        return _width_px(text, self, _ESTIMATE_PX) / _ESTIMATE_PX

    def bearing_px(self, line: str, px: int) -> int:
        """Return the white space left of a line's first letter, in pixels; 0 if it is part of the letter (「)."""
        for char, font in _drawn(line[:1], self.fonts)[:1]:
            if font != MISSING:
                bearing = _bearing(char, font, self.weight, px)
                return bearing if bearing < px * _MOST_BEARING else 0
        return 0

    def draw(self, canvas: ImageDraw, line: str, px: int, left: int, baseline: int, fill: Fill) -> None:
        """Draw a line of text that starts at `left` and stands on `baseline`, both in pixels."""
        for run, font in runs(line, self.fonts):
            if font == MISSING:
                _draw_bars(canvas, run, px, left, baseline, fill)
            else:
                canvas.text((left, baseline), run, font=_font(font, self.weight, px), fill=fill, anchor="ls")
            left += sum(_advance(char, font, self.weight, px) for char in run)


def runs(line: str, fonts: tuple[int, ...]) -> list[tuple[str, int]]:
    """Split a line by font; return (text, the font's number or `MISSING`) for each part.

    Characters that draw nothing by themselves (controls, joiners, variation selectors) are left out.
    """
    glyphs = groupby(_glyphs(line, fonts), key=lambda glyph: glyph[1])
    return [("".join(char for char, _ in run), font) for font, run in glyphs]


@lru_cache(maxsize=65536)
def covering(char: str, fonts: tuple[int, ...]) -> int | None:
    """Return the first font with a glyph for `char`, `MISSING` if no font has one, None if `char` draws nothing."""
    if char == " ":
        return fonts[0]
    if unicodedata.category(char) in _UNDRAWN or ord(char) in _SKIN_TONES:
        return None
    for font in fonts:
        if bytes(_font(font, REGULAR, _COVERAGE_PX).getmask(char)) != _notdef(font):
            return font
    return MISSING


@lru_cache(maxsize=len(_FILES))
def _notdef(font: int) -> bytes:
    return bytes(_font(font, REGULAR, _COVERAGE_PX).getmask(_NONCHARACTER))


def _glyphs(line: str, fonts: tuple[int, ...]) -> Iterator[tuple[str, int]]:
    before = ""
    for at, char in enumerate(line):
        order = fonts
        if fonts[0] != _KR and (char in _OPENING or char in _CLOSING):
            beside = line[at + 1 : at + 2] if char in _OPENING else before
            order = fonts if WIDE.match(beside) else (_KR, *fonts)
        if before != _JOINER:
            yield from _drawn(char, order)
        before = char


@lru_cache(maxsize=65536)
def _drawn(char: str, fonts: tuple[int, ...]) -> tuple[tuple[str, int], ...]:
    """Return the glyphs for a character: its own, or those of its plain letters if only they have glyphs (ά, 𝐁)."""
    font = covering(char, fonts)
    if font == MISSING:
        plain = [(part, covering(part, fonts)) for part in unicodedata.normalize("NFKD", char)]
        letters = tuple((part, font) for part, font in plain if font is not None)
        if letters and all(font != MISSING for _, font in letters):
            return letters
    return () if font is None else ((char, font),)


@lru_cache(maxsize=32768)
def _width_px(text: str, face: Typeface, px: int) -> int:
    return sum(_advance(char, font, face.weight, px) for char, font in _glyphs(text, face.fonts))


@lru_cache(maxsize=65536)
def _advance(char: str, font: int, weight: int, px: int) -> int:
    """Return a character's advance in pixels. Advances add up: the BASIC layout of these fonts has no kerning."""
    if font == MISSING:
        return round(px * (1.1 if _is_pictogram(char) else 0.55))
    return round(_font(font, weight, px).getlength(char))


@lru_cache(maxsize=4096)
def _bearing(char: str, font: int, weight: int, px: int) -> int:
    # Pillow's `getbbox` includes the white space, so the bitmap is measured.
    bounds = _font(font, weight, px).getmask(char).getbbox()
    return bounds[0] if bounds else 0


def broken_fonts() -> list[str]:
    """Return a message for each font that can't be loaded."""
    problems = []
    for font, name in enumerate(_FILES):
        try:
            _font(font, REGULAR, _COVERAGE_PX)
        except (OSError, ImportError) as error:
            problems.append(f"{name}: {error}")
    return problems


def _is_pictogram(char: str) -> bool:
    return unicodedata.east_asian_width(char) == "W" or unicodedata.category(char) == "So"


def _draw_bars(canvas: ImageDraw, run: str, px: int, left: int, baseline: int, fill: Fill) -> None:
    """Draw characters without glyphs: one bar for each group of letters, one square for each pictogram."""
    gap = max(1, round(px * 0.07))
    for pictograms, group in groupby(run, key=_is_pictogram):
        chars = "".join(group)
        for part in chars if pictograms else (chars,):
            advance = sum(_advance(char, MISSING, REGULAR, px) for char in part)
            top = baseline - round(px * (0.82 if pictograms else 0.56))
            bottom = baseline + round(px * (0.1 if pictograms else 0))
            if advance > 2 * gap + 1:
                box = (left + gap, top, left + advance - gap - 1, bottom)
                canvas.rounded_rectangle(box, radius=max(1, round(px * 0.2)), fill=fill)
            left += advance


def _font(font: int, weight: int, px: int) -> FreeTypeFont:
    from PIL import ImageFont

    fonts: dict[tuple[int, int, int], FreeTypeFont] = _local.__dict__.setdefault("fonts", {})
    key = (font, weight, px)
    font_at_size = fonts.pop(key, None)
    if font_at_size is None:
        path = resources.files("justmytype_intl_cjk") / "fonts" / "ofl" / _FILES[font]
        # Every Pillow has BASIC. RAQM may be missing, and it sets some texts differently.
        font_at_size = ImageFont.truetype(str(path), px, layout_engine=ImageFont.Layout.BASIC)
        font_at_size.set_variation_by_axes([weight])
    fonts[key] = font_at_size  # moved to the end: the first is the least recently used
    if len(fonts) > _FONTS_KEPT:
        del fonts[next(iter(fonts))]
    return font_at_size
