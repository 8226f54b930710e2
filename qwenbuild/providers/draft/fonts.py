"""The typefaces of drafts: which font has a glyph, how wide a line is, and how a line is drawn.

Pillow draws letters that stand alone: Latin, Greek, Cyrillic, Chinese, Japanese and Korean. Lines of other scripts are
shaped (`shaping`). Characters that no font has are drawn as neutral bars, never as the font's "missing" box, and
`missing` names them.

Invariants: a line is measured with the same advances with which it is drawn; every result depends
only on the arguments.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from . import font_files, shaping
from .font_files import EMOJI, JP, KR, MISSING, NOTO, SC, SYMBOLS

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

REGULAR, BOLD, BLACK = 400, 700, 900  # weights

WIDE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
"""Chinese and Japanese characters and punctuation, but not Hangul, because Korean has spaces between words."""

_OTHERS = (NOTO, SYMBOLS, EMOJI)
_FONTS_KEPT = 64  # font sizes that a thread keeps open; each takes about 100 kB
_ESTIMATE_PX = 200  # at this size hinting hardly changes widths
_COVERAGE_PX = 24
_MOST_BEARING = 0.15  # ems; more white than this belongs to the character itself, as in 「
_NONCHARACTER = "\U0010fffe"  # no font has a glyph for it
_KANA, _HANGUL = re.compile(r"[\u3041-\u30ff]"), re.compile(r"[\u1100-\u11ff\uac00-\ud7a3]")
_KOREAN_FONT_LACKS = re.compile(r"[\u0100-\u024f\u0250-\u036f\u0370-\u058f\u1e00-\u1fff]")
_OPENING, _CLOSING = frozenset("‘“"), frozenset("’”—–·…")  # full width in the Chinese font, narrow in Latin text
_UNDRAWN = frozenset({"Cc", "Cf", "Cs", "Mn", "Me"})  # Unicode categories: controls, invisible marks, stray accents

Fill = tuple[int, int, int] | int  # for a canvas of mode RGB, or of mode L

_local = threading.local()  # each thread has its own fonts: FreeType faces must not be shared


class Typeface(NamedTuple):
    """Fonts in the order in which they are searched for a glyph, and the weight (100 to 900).

    `rtl` says that the text begins at the right.
    """

    fonts: tuple[int, ...]
    weight: int
    rtl: bool = False

    @classmethod
    def of(cls, text: str, weight: int) -> Typeface:
        """Return the typeface for a text. Chinese and Japanese need different fonts for the same characters."""
        rtl = _is_rtl(text)
        if _KANA.search(text):
            return cls((JP, SC, KR, *_OTHERS), weight, rtl)
        if not _HANGUL.search(text) and WIDE.search(text):
            return cls((SC, JP, KR, *_OTHERS), weight, rtl)
        # The Korean font's punctuation fits Latin text. But words of two fonts look bad: all letters come from one.
        letters = {char for char in text if _KOREAN_FONT_LACKS.match(char)}
        if any(covering(char, (KR, NOTO)) != KR for char in letters) or shaping.RIGHT_TO_LEFT.search(text):
            return cls((NOTO, KR, SC, JP, SYMBOLS, EMOJI), weight, rtl)
        return cls((KR, SC, JP, *_OTHERS), weight, rtl)

    def width_px(self, text: str, px: int) -> int:
        """Return the exact width of a line of text at a font size of `px`."""
        return _width_px(text, self, px)

    def ems(self, text: str) -> float:
        """Return the width of a line of text in ems. At small sizes the real width differs by some percent."""
        return _width_px(text, self, _ESTIMATE_PX) / _ESTIMATE_PX

    def bearing_px(self, line: str, px: int) -> int:
        """Return the white space left of a line's first letter, in pixels; 0 if it is part of the letter (「)."""
        bearing = 0
        if self.rtl or shaping.NEEDED.search(line):
            bearing = shaping.ink_left(self._shaped(line, px), self.weight, px)
        else:
            for char, font in _drawn(line[:1], self.fonts)[:1]:
                bearing = _bearing(char, font, self.weight, px) if font != MISSING else 0
        return bearing if bearing < px * _MOST_BEARING else 0

    def draw(self, canvas: ImageDraw, line: str, px: int, left: int, baseline: int, fill: Fill) -> None:
        """Draw a line of text that starts at `left` and stands on `baseline`, both in pixels."""
        if self.rtl or shaping.NEEDED.search(line):
            self._draw_shaped(canvas, self._shaped(line, px), px, left, baseline, fill)
            return
        for run, font in runs(line, self.fonts):
            if font == MISSING:
                for bar in shaping.bars(run, px):
                    _draw_bar(canvas, bar, px, left + bar.x, baseline, fill)
                    left += bar.advance
                continue
            canvas.text((left, baseline), run, font=_font(font, self.weight, px), fill=fill, anchor="ls")
            left += sum(_advance(char, font, self.weight, px) for char in run)

    def _shaped(self, line: str, px: int) -> shaping.Shaped:
        return shaping.shaped(line, self.fonts, self.weight, px, self.rtl)

    def _draw_shaped(
        self, canvas: ImageDraw, line: shaping.Shaped, px: int, left: int, baseline: int, fill: Fill
    ) -> None:
        if ink := shaping.mask(line, self.weight, px):
            mask, x, y = ink
            canvas.bitmap((left + x, baseline + y), mask, fill)
        for glyph in line.glyphs:
            if glyph.font == MISSING:
                _draw_bar(canvas, glyph, px, left + glyph.x // shaping.PARTS, baseline, fill)


def missing(text: str) -> list[str]:
    """Return the scripts of the characters of a text that no font has, each once."""
    face = Typeface.of(text, REGULAR)
    if shaping.NEEDED.search(text):
        return shaping.missing(text, face.fonts)
    drawn = (glyph for char in dict.fromkeys(text) for glyph in _drawn(char, face.fonts))
    return list(dict.fromkeys(font_files.script(char) for char, font in drawn if font == MISSING))


def _is_rtl(text: str) -> bool:
    """Return whether the first letter of a text is of a script that runs from right to left."""
    if not shaping.RIGHT_TO_LEFT.search(text):
        return False
    strong = (unicodedata.bidirectional(char) for char in text)
    return next((kind for kind in strong if kind in {"L", "R", "AL"}), "L") != "L"


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
    if unicodedata.category(char) in _UNDRAWN:
        return None
    own = font_files.script_font(char)
    for font in fonts if own is None else (own, *fonts):
        if bytes(_font(font, REGULAR, _COVERAGE_PX).getmask(char)) != _notdef(font):
            return font
    return MISSING


@lru_cache(maxsize=font_files.COUNT)
def _notdef(font: int) -> bytes:
    return bytes(_font(font, REGULAR, _COVERAGE_PX).getmask(_NONCHARACTER))


def _glyphs(line: str, fonts: tuple[int, ...]) -> Iterator[tuple[str, int]]:
    before = ""
    for at, char in enumerate(line):
        order = fonts
        if fonts[0] != KR and (char in _OPENING or char in _CLOSING):
            beside = line[at + 1 : at + 2] if char in _OPENING else before
            order = fonts if WIDE.match(beside) else (KR, *fonts)
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
    if face.rtl or shaping.NEEDED.search(text):
        return shaping.shaped(text, face.fonts, face.weight, px, face.rtl).width_px
    return sum(_advance(char, font, face.weight, px) for char, font in _glyphs(text, face.fonts))


@lru_cache(maxsize=65536)
def _advance(char: str, font: int, weight: int, px: int) -> int:
    """Return a character's advance in pixels. Advances add up: the BASIC layout of these fonts has no kerning."""
    if font == MISSING:
        return shaping.bars(char, px)[0].advance
    return round(_font(font, weight, px).getlength(char))


@lru_cache(maxsize=4096)
def _bearing(char: str, font: int, weight: int, px: int) -> int:
    # Pillow's `getbbox` includes the white space, so the bitmap is measured.
    bounds = _font(font, weight, px).getmask(char).getbbox()
    return bounds[0] if bounds else 0


def broken_fonts() -> list[tuple[str, str]]:
    """Return a message for each font that can't be loaded, with the name of the package that installs it."""
    problems = []
    for font in range(font_files.COUNT):
        try:
            _font(font, REGULAR, _COVERAGE_PX)
        except (OSError, ImportError) as error:
            problems.append((f"{font_files.name(font)}: {error}", font_files.package(font)))
    return problems


def _draw_bar(canvas: ImageDraw, bar: shaping.Glyph, px: int, left: int, baseline: int, fill: Fill) -> None:
    """Draw the bar of a group of letters without glyphs, or the square of a pictogram."""
    gap = max(1, round(px * 0.07))
    top = baseline - round(px * (0.82 if bar.is_pictogram else 0.56))
    bottom = baseline + round(px * (0.1 if bar.is_pictogram else 0))
    if bar.advance > 2 * gap + 1:
        box = (left + gap, top, left + bar.advance - gap - 1, bottom)
        canvas.rounded_rectangle(box, radius=max(1, round(px * 0.2)), fill=fill)


def _font(font: int, weight: int, px: int) -> FreeTypeFont:
    from PIL import ImageFont

    fonts: dict[tuple[int, int, int], FreeTypeFont] = _local.__dict__.setdefault("fonts", {})
    key = (font, weight, px)
    font_at_size = fonts.pop(key, None)
    if font_at_size is None:
        # Every Pillow has BASIC. RAQM may be missing, and it sets some texts differently.
        path = str(font_files.path(font))
        font_at_size = ImageFont.truetype(path, px, layout_engine=ImageFont.Layout.BASIC)
        font_at_size.set_variation_by_axes([font_files.weight_of(font, weight)])
    fonts[key] = font_at_size  # moved to the end: the first is the least recently used
    if len(fonts) > _FONTS_KEPT:
        del fonts[next(iter(fonts))]
    return font_at_size
