"""The fonts of drafts: which has a glyph, how wide text is, and drawing a line of it.

Fonts are Noto Sans SC, KR and JP (SIL Open Font License), variable in weight, from the package
justmytype-intl-cjk. What none has a glyph for is drawn as a neutral bar, never as the font's
"missing" box: emoji, and scripts that need shaping (Arabic, Devanagari). Lines are measured with
the very advances that they are drawn with. Every result depends on the arguments alone.
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
MISSING = -1  # in place of a font's number: none has the glyph

WIDE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
"""Chinese and Japanese characters and punctuation; not Hangul, which has spaces between words."""

_SC, _KR, _JP = 0, 1, 2
_FILES = ("notosanssc/NotoSansSC[wght].ttf", "notosanskr/NotoSansKR[wght].ttf", "notosansjp/NotoSansJP[wght].ttf")
_FONTS_KEPT = 64  # sizes that a thread keeps open; each costs some 100 kB
_ESTIMATE_PX = 200  # large enough for hinting not to matter
_COVERAGE_PX = 24
_MOST_BEARING = 0.15  # ems; more white at the left is a mark's own (「)
_NONCHARACTER = "\U0010fffe"  # no font has it
_KANA, _HANGUL = re.compile(r"[\u3041-\u30ff]"), re.compile(r"[\u1100-\u11ff\uac00-\ud7a3]")
_OPENING, _CLOSING = frozenset("‘“"), frozenset("’”—–·…")  # as wide as a character in the Chinese font, narrow in Latin
_UNDRAWN = frozenset({"Cc", "Cf", "Cs", "Mn", "Me"})  # categories: controls, joiners, marks on the letter before
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_JOINER = "\u200d"  # between the parts of one emoji

Fill = tuple[int, int, int] | int  # of an RGB canvas, or of one of mode L

_local = threading.local()  # FreeType faces must not be shared between threads


class Typeface(NamedTuple):
    """What a text is set in: fonts in the order in which they are asked for a glyph, and the weight (100 to 900)."""

    fonts: tuple[int, ...]
    weight: int

    @classmethod
    def of(cls, text: str, weight: int) -> Typeface:
        """Return the typeface for a text: Japanese and Chinese write the same characters differently."""
        if _KANA.search(text):
            return cls((_JP, _SC, _KR), weight)
        if _HANGUL.search(text) or not WIDE.search(text):  # the Korean font's punctuation suits Latin texts
            return cls((_KR, _SC, _JP), weight)
        return cls((_SC, _JP, _KR), weight)

    def width_px(self, text: str, px: int) -> int:
        """Return the exact width of a line of text at a font size of `px`."""
        return _width_px(text, self, px)

    def ems(self, text: str) -> float:
        """Return the width of a line of text in units of the font's size, to within some percent for small sizes."""
        return _width_px(text, self, _ESTIMATE_PX) / _ESTIMATE_PX

    def bearing_px(self, line: str, px: int) -> int:
        """Return the white at the left of a line's first letter, in pixels; 0 where it is the letter's own (「)."""
        for char, font in _drawn(line[:1], self.fonts)[:1]:
            if font != MISSING:
                bearing = _bearing(char, font, self.weight, px)
                return bearing if bearing < px * _MOST_BEARING else 0
        return 0

    def draw(self, canvas: ImageDraw, line: str, px: int, left: int, baseline: int, fill: Fill) -> None:
        """Draw a line of text from `left` on its `baseline`, both in pixels."""
        for run, font in runs(line, self.fonts):
            if font == MISSING:
                _draw_bars(canvas, run, px, left, baseline, fill)
            else:
                canvas.text((left, baseline), run, font=_font(font, self.weight, px), fill=fill, anchor="ls")
            left += sum(_advance(char, font, self.weight, px) for char in run)


def runs(line: str, fonts: tuple[int, ...]) -> list[tuple[str, int]]:
    """Return the line's stretches of one font each: text, and the font's number or `MISSING`.

    Characters that are not drawn by themselves (controls, joiners, variation selectors) are left out.
    """
    glyphs = groupby(_glyphs(line, fonts), key=lambda glyph: glyph[1])
    return [("".join(char for char, _ in run), font) for font, run in glyphs]


@lru_cache(maxsize=65536)
def covering(char: str, fonts: tuple[int, ...]) -> int | None:
    """Return the first of `fonts` that has a glyph for the character, `MISSING` for none, None where it needs none."""
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
    """Return what a character is drawn as: itself, or its plain letters where only those have glyphs (ά, 𝐁)."""
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
    """Return a character's advance in pixels. The BASIC layout and these fonts kern nothing, so that they add up."""
    if font == MISSING:
        return round(px * (1.1 if _is_pictogram(char) else 0.55))
    return round(_font(font, weight, px).getlength(char))


@lru_cache(maxsize=4096)
def _bearing(char: str, font: int, weight: int, px: int) -> int:
    # Pillow's getbbox counts the white as a part of the glyph; its bitmap tells.
    bounds = _font(font, weight, px).getmask(char).getbbox()
    return bounds[0] if bounds else 0


def broken_fonts() -> list[str]:
    """Return what keeps the fonts from being used, in words; nothing where they can be."""
    found = []
    for font, name in enumerate(_FILES):
        try:
            _font(font, REGULAR, _COVERAGE_PX)
        except (OSError, ImportError) as error:
            found.append(f"{name}: {error}")
    return found


def _is_pictogram(char: str) -> bool:
    return unicodedata.east_asian_width(char) == "W" or unicodedata.category(char) == "So"


def _draw_bars(canvas: ImageDraw, run: str, px: int, left: int, baseline: int, fill: Fill) -> None:
    """Draw what no font has: a bar for letters that stand together, a square for each pictogram."""
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
    found = fonts.pop(key, None)
    if found is None:
        path = resources.files("justmytype_intl_cjk") / "fonts" / "ofl" / _FILES[font]
        # BASIC is in every Pillow; RAQM, where it is installed, would set some texts otherwise.
        found = ImageFont.truetype(str(path), px, layout_engine=ImageFont.Layout.BASIC)
        found.set_variation_by_axes([weight])
    fonts[key] = found  # last, so that the first is the one that was not used for longest
    if len(fonts) > _FONTS_KEPT:
        del fonts[next(iter(fonts))]
    return found
