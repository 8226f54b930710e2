"""Setting text in boxes: fonts, glyph coverage, line breaking, fitting.

Fonts are Noto Sans SC and KR (SIL Open Font License), variable in weight, from the package
justmytype-intl-cjk. What neither has a glyph for is set as a neutral bar, never as the font's
"missing" box. Widths are measured once at a reference size and scaled, so that fitting a text
costs no font loading; every result depends on the arguments alone.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

REGULAR, BOLD, BLACK = 400, 700, 900  # weights

_REFERENCE_PX = 64
_LINE = 1.28  # line height in ems
_WORTH_A_BREAK = 0.4  # share of the most that a text shrinks to before its words are broken
_WORTH_ONE_LINE = 0.6  # share of the size that a text without spaces gives up for standing on one line
_ASCENT = 1.0  # from the top of a line to its baseline, in ems
_FILES = ("notosanssc/NotoSansSC[wght].ttf", "notosanskr/NotoSansKR[wght].ttf")
_NEVER_FIRST = frozenset("，。、；：！？）」』】》〉”’…·ー々,.;:!?)]}%")
_NEVER_LAST = frozenset("（「『【《〈“‘([{#$")
_PROPORTIONAL = frozenset("‘’“”—–·")  # full width in the Chinese font, as Latin has them in the Korean
_WIDE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")  # not Hangul

Fill = tuple[int, int, int] | int  # of an RGB canvas, or of one of mode L

_local = threading.local()  # FreeType faces must not be shared between threads


@dataclass(frozen=True, slots=True)
class Block:
    """Text set in lines. `size_px` is the font's; `width` and `height` are what it takes, in pixels."""

    lines: tuple[str, ...]
    size_px: int
    weight: int
    width: int
    height: int


def fit(text: str, width: int, height: int, *, most_px: int, least_px: int, weight: int, most_lines: int = 99) -> Block:
    """Return `text` set as large as the box allows, between two sizes.

    What does not fit at the least size ends in an ellipsis at a place where a line may break.
    """
    text = " ".join(text.split())
    most_px = max(least_px, most_px)

    def largest(*, breaking: bool) -> int:
        low, high = least_px - 1, most_px
        while low < high:
            middle = (low + high + 1) // 2
            if _fits(text, width, height, middle, weight, most_lines, breaking):
                low = middle
            else:
                high = middle - 1
        return low

    low = largest(breaking=False)
    if low < most_px * _WORTH_A_BREAK:  # a word too long for the box is broken rather than set in tiny letters
        low = largest(breaking=True)
    if low < least_px:
        return _cut(text, width, height, least_px, weight, most_lines)
    if " " not in text and most_lines > 1:  # one line a little smaller reads better than a break inside a phrase
        whole = int(width / max(0.1, line_width(text, weight)))
        if least_px <= whole < low and whole >= low * _WORTH_ONE_LINE:
            return _block([text], whole, weight)
    return _block(_balanced(text, width / low, weight), low, weight)


def draw(canvas: ImageDraw, block: Block, x: int, y: int, width: int, *, align: float, fill: Fill) -> None:
    """Draw a block into the box from (x, y); `align` 0 is left, 0.5 centred, 1 right."""
    for number, line in enumerate(block.lines):
        left = x + (width - line_width(line, block.weight) * block.size_px) * align
        baseline = y + (number * _LINE + _ASCENT) * block.size_px
        for run, face in runs(line):
            advance = run_width(run, face, block.weight) * block.size_px
            if face < 0:
                _bar(canvas, left, baseline, advance, block.size_px, fill)
            else:
                font = _font(face, block.weight, block.size_px)
                canvas.text((round(left), round(baseline)), run, font=font, fill=fill, anchor="ls")
            left += advance


def ellipsis(text: str) -> str:
    """Return the mark for what is left out after `text`: three dots, or the Chinese one after Chinese."""
    return "…" if _WIDE.match(text[-1:]) else "..."


def line_width(line: str, weight: int) -> float:
    """Return a line's width in ems."""
    return sum(run_width(run, face, weight) for run, face in runs(line))


def runs(line: str) -> list[tuple[str, int]]:
    """Return the line's stretches of one font each: text and the font's number, -1 where no font has glyphs."""
    found: list[tuple[str, int]] = []
    for char in line:
        face = covering(char)
        if face is None:
            continue
        if found and found[-1][1] == face:
            found[-1] = (found[-1][0] + char, face)
        else:
            found.append((char, face))
    return found


@lru_cache(maxsize=65536)
def covering(char: str) -> int | None:
    """Return the number of the first font that has a glyph for the character, -1 for none, None where it needs none."""
    if char == " " or char == "\u00a0":
        return 0
    if unicodedata.category(char) in ("Cc", "Cf", "Mn", "Me", "Cs") or char in "\ufe0f\u200d":
        return None
    for face in (1, 0) if char in _PROPORTIONAL else (0, 1):
        font = _font(face, REGULAR, 24)
        if bytes(font.getmask(char)) != _missing(face):
            return face
    return -1


@lru_cache(maxsize=8192)
def run_width(run: str, face: int, weight: int) -> float:
    """Return the width of a stretch in ems."""
    if face < 0:
        return sum(1.0 if unicodedata.east_asian_width(char) in "WF" else 0.55 for char in run)
    return _font(face, weight, _REFERENCE_PX).getlength(run) / _REFERENCE_PX


@lru_cache(maxsize=len(_FILES))
def _missing(face: int) -> bytes:
    return bytes(_font(face, REGULAR, 24).getmask("\U0010fffe"))


def _font(face: int, weight: int, size_px: int) -> FreeTypeFont:
    from PIL import ImageFont

    fonts: dict[tuple[int, int, int], FreeTypeFont] = _local.__dict__.setdefault("fonts", {})
    key = (face, weight, size_px)
    if key not in fonts:
        if len(fonts) > 96:
            fonts.clear()
        path = resources.files("justmytype_intl_cjk") / "fonts" / "ofl" / _FILES[face]
        # BASIC is in every Pillow; RAQM, where it is installed, would set some texts otherwise.
        font = ImageFont.truetype(str(path), size_px, layout_engine=ImageFont.Layout.BASIC)
        font.set_variation_by_axes([weight])
        fonts[key] = font
    return fonts[key]


def _bar(canvas: ImageDraw, x: float, baseline: float, width: float, size_px: int, fill: Fill) -> None:
    box = (
        round(x + size_px * 0.06),
        round(baseline - size_px * 0.5),
        round(x + width - size_px * 0.06),
        round(baseline),
    )
    if box[2] > box[0]:
        canvas.rounded_rectangle(box, radius=max(1, size_px // 6), fill=fill)


def _block(lines: list[str], size_px: int, weight: int) -> Block:
    width = max((line_width(line, weight) for line in lines), default=0.0)
    return Block(tuple(lines), size_px, weight, -int(-width * size_px // 1), round(len(lines) * _LINE * size_px))


def _fits(text: str, width: int, height: int, size_px: int, weight: int, most_lines: int, breaking: bool) -> bool:
    lines = _wrap(text, width / size_px, weight)
    if len(lines) > most_lines or len(lines) * _LINE * size_px > height:
        return False
    return breaking or all(line_width(word, weight) * size_px <= width for word in _pieces(text))


def _cut(text: str, width: int, height: int, size_px: int, weight: int, most_lines: int) -> Block:
    room = min(most_lines, int(height / (_LINE * size_px)))
    lines = _wrap(text, width / size_px, weight)
    if room < 1:
        return Block((), size_px, weight, 0, 0)
    if len(lines) > room:
        last = full = lines[room - 1]
        while last and line_width(last + ellipsis(last), weight) * size_px > width:
            last = last[:-1]
        if " " in last and not full[len(last) :].startswith(" "):
            last = last.rpartition(" ")[0]
        lines = [*lines[: room - 1], last.rstrip(" ,;:，、；：") + ellipsis(last)]
    return _block(lines, size_px, weight)


def _pieces(text: str) -> list[str]:
    """Return the text in pieces between which a line may break, their spaces with them."""
    pieces: list[str] = []
    for part in re.findall(r"\S+\s*", text):
        at = 0
        for index in range(1, len(part)):
            before, after = part[index - 1], part[index]
            breakable = _WIDE.match(before) or _WIDE.match(after)
            if breakable and after not in _NEVER_FIRST and before not in _NEVER_LAST and not after.isspace():
                pieces.append(part[at:index])
                at = index
        pieces.append(part[at:])
    return pieces


def _wrap(text: str, width_em: float, weight: int) -> list[str]:
    """Return the text in lines of at most `width_em`; a piece that is wider by itself is broken anywhere."""
    lines: list[str] = []
    line = ""
    for piece in _pieces(text):
        if line and line_width((line + piece).rstrip(), weight) > width_em:
            lines.append(line.rstrip())
            line = ""
        line += piece
        while line_width(line.rstrip(), weight) > width_em and len(line) > 1:
            end = len(line) - 1
            while end > 1 and line_width(line[:end], weight) > width_em:
                end -= 1
            lines.append(line[:end])
            line = line[end:]
    return [*lines, line.rstrip()] if line.strip() else lines


def _balanced(text: str, width_em: float, weight: int) -> list[str]:
    """Return as few lines as the width allows, of about equal length."""
    lines = _wrap(text, width_em, weight)
    if len(lines) < 2:
        return lines
    low, high = width_em / 2, width_em
    for _ in range(7):
        middle = (low + high) / 2
        tried = _wrap(text, middle, weight)
        if len(tried) > len(lines) or any(line_width(word, weight) > middle for word in _pieces(text)):
            low = middle
        else:
            high, lines = middle, tried
    return lines
