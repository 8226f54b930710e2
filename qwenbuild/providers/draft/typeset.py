"""Sets text in boxes: where lines break, and the largest font size that fits.

Invariant: no line of a block is wider than the box, and all lines together are not higher than the box.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

from .fonts import WIDE, Fill, Typeface
from .shaping import clusters

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

TIGHT, LOOSE, TALL = (
    1.12,
    1.36,
    1.6,
)  # line heights in ems: for titles (descenders just clear the next line), for reading, for tall scripts

_GLYPH_TOP = 0.88  # of a Chinese character above its baseline, in ems
_WORTH_A_BREAK = 0.4  # if a text shrinks below this share of its largest size, its words are broken instead
_WORTH_FEWER_LINES = 0.6  # a text without spaces shrinks to this share of its size to fit on one or two lines
_MOST_BALANCED = 4  # lines; with more lines nobody sees whether they are balanced
_NEVER_FIRST = frozenset("，。、；：！？）」』】》〉”’…·ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ,.;:!?)]}%")
_NEVER_LAST = frozenset("（「『【《〈“‘([{#$¥￥")
_TALL_SCRIPTS = re.compile(r"[\u0600-\u06ff\u0750-\u077f\u0900-\u109f\u1780-\u17ff]")  # marks above and below
_BEFORE_SYLLABLE = frozenset("เแโใไເແໂໃໄ")  # Thai and Lao vowels that begin a syllable, so a line may break before them
_TRIMMED = " ,.;:，、。；：…"  # removed before an ellipsis

_Measure = Callable[[str], float]


@dataclass(frozen=True, slots=True)
class Block:
    """Text set in lines of one font size.

    `size_px` is the font size; `width` and `height` are those of all lines together, in pixels.
    `leading` is the line height in ems. `whole` is False if some of the text was left out.
    """

    lines: tuple[str, ...]
    face: Typeface
    size_px: int
    leading: float
    width: int
    height: int
    whole: bool


def fit(
    text: str,
    width: int,
    height: int,
    *,
    most_px: int,
    least_px: int,
    weight: int,
    most_lines: int = 99,
    leading: float = TIGHT,
) -> Block:
    """Return `text` set as large as a box of `width` x `height` pixels allows.

    The font size is between `least_px` and `most_px`. A text that does not fit at `least_px` is cut
    and ends in an ellipsis, after a whole word if it has several. If no line fits, the block has no
    lines.
    """
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    face = Typeface.of(text, weight)
    if _TALL_SCRIPTS.search(text):
        leading = max(leading, TALL)
    if width < 2 * least_px:  # no room for a letter and an ellipsis
        return _block([], face, least_px, leading, whole=not text)
    pieces = _pieces(text)
    widest = max((face.ems(piece.rstrip()) for piece in pieces), default=0.0)

    def fits(px: int, breaking: bool, most_lines: int = most_lines) -> bool:
        if widest * px > width and not breaking:
            return False
        lines = _wrap(pieces, width / px, face.ems)
        return len(lines) <= most_lines and round(len(lines) * leading * px) <= height

    px = _largest(least_px, most_px, partial(fits, breaking=False))
    breaking = px < most_px * _WORTH_A_BREAK
    if breaking:  # breaking a long word is better than tiny letters
        px = _largest(least_px, most_px, partial(fits, breaking=True))
    if " " not in text:  # one or two smaller lines read better than more breaks inside a phrase
        for few in range(1, min(3, most_lines)):
            smaller = _largest(least_px, px, partial(fits, breaking=breaking, most_lines=few))
            if smaller >= max(least_px, px * _WORTH_FEWER_LINES):
                px, most_lines = smaller, few
                break
    # Hinting makes small letters up to a tenth wider than the estimate, so the exact widths decide.
    for size_px in range(max(px, least_px), least_px - 1, -1):
        measure = _measure(face, size_px)
        if not breaking and any(measure(piece.rstrip()) > width for piece in pieces):
            continue
        lines = _balanced(pieces, width, measure)
        block = _block(lines, face, size_px, leading, whole=True)
        if len(lines) <= most_lines and block.height <= height and block.width <= width:
            return block
    return _cut(pieces, face, width, min(most_lines, int(height / (leading * least_px))), least_px, leading)


def fit_ends(text: str, width: int, *, px: int, weight: int) -> Block:
    """Return `text` on one line of at most `width` pixels. If it is too long, its middle is replaced by dots."""
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    face = Typeface.of(text, weight)
    measure = _measure(face, px)
    line = text
    for keep in range(len(text) - 1, -1, -1):
        if measure(line) <= width:
            break
        line = f"{text[: keep // 2]}...{text[len(text) - (keep - keep // 2) :]}" if keep else ""
    return _block([line] if line else [], face, px, TIGHT, whole=line == text)


def draw(canvas: ImageDraw, block: Block, x: int, y: int, width: int, *, align: float, fill: Fill) -> None:
    """Draw a block from (x, y) into a box `width` pixels wide. `align` is 0 for left, 0.5 for centred, 1 for right."""
    ascent = _GLYPH_TOP + (block.leading - TIGHT) / 2
    if block.face.rtl:
        align = 1 - align
    for number, line in enumerate(block.lines):
        left = x + round((width - block.face.width_px(line, block.size_px)) * align)
        if align == 0:  # removes the white space left of large letters, so that all lines start at the same edge
            left -= block.face.bearing_px(line, block.size_px)
        baseline = y + round((number * block.leading + ascent) * block.size_px)
        block.face.draw(canvas, line, block.size_px, left, baseline, fill)


def ellipsis(text: str) -> str:
    """Return the ellipsis to put after `text`: "…" after Chinese, else three dots."""
    return "…" if WIDE.match(text[-1:]) else "..."


def _largest(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number from `low` to `high` that fits, or `low` - 1 if none fits."""
    low -= 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _measure(face: Typeface, px: int) -> _Measure:
    return lambda text: face.width_px(text, px)


def _pieces(text: str) -> list[str]:
    """Split the text where a line may break. Each piece keeps the spaces after it."""
    pieces: list[str] = []
    for part in re.findall(r"\S+\s*", text):
        at = 0
        for index in range(1, len(part)):
            before, after = part[index - 1], part[index]
            breakable = WIDE.match(before) or WIDE.match(after) or after in _BEFORE_SYLLABLE
            if breakable and after not in _NEVER_FIRST and before not in _NEVER_LAST and not after.isspace():
                pieces.append(part[at:index])
                at = index
        pieces.append(part[at:])
    return pieces


def _wrap(pieces: list[str], room: float, measure: _Measure) -> list[str]:
    """Return lines that are at most `room` wide. A single piece that is wider is broken anywhere."""
    lines: list[str] = []
    line, used = "", 0.0
    for piece in pieces:
        if line and used + measure(piece.rstrip()) > room:
            lines.append(line.rstrip())
            line, used = "", 0.0
        if not line:
            while len(piece.rstrip()) > 1 and measure(piece.rstrip()) > room:
                end = _most_letters(piece, room, measure)
                lines.append(piece[:end])
                piece = piece[end:]
        line += piece
        used += measure(piece)
    return [*lines, line.rstrip()] if line.strip() else lines


def _most_letters(piece: str, room: float, measure: _Measure) -> int:
    """Return how many letters of a piece fit into `room`, at least one."""
    end, used = 0, 0.0
    while end < len(piece) and used + measure(piece[end]) <= room:
        used += measure(piece[end])
        end += 1
    while end > 1 and measure(piece[:end]) > room:  # some letters change their width next to others
        end -= 1
    return _whole(piece, max(1, end))


def _whole(text: str, end: int) -> int:
    """Return the last place up to `end`, but not 0, at which no letter is parted from its marks; else the next one."""
    ends = list(accumulate(len(part) for part in clusters(text)))
    return max((each for each in ends if each <= end), default=ends[0])


def _balanced(pieces: list[str], room: int, measure: _Measure) -> list[str]:
    """Return as few lines as `room` allows, of about equal length."""
    lines = _wrap(pieces, room, measure)
    if not 1 < len(lines) <= _MOST_BALANCED:
        return lines
    low, high = max(room / 2, *(measure(piece.rstrip()) for piece in pieces)), float(room)
    while high - low > room / 100:
        middle = (low + high) / 2
        tried = _wrap(pieces, middle, measure)
        if len(tried) > len(lines):
            low = middle
        else:
            high, lines = middle, tried
    return lines


def _cut(pieces: list[str], face: Typeface, width: int, most_lines: int, px: int, leading: float) -> Block:
    """Return as much text as fits at the size `px`, with an ellipsis at its end. Long words are broken."""
    measure = _measure(face, px)
    lines = _wrap(pieces, width, measure)
    if most_lines < 1 or max(map(measure, lines)) > width:
        return _block([], face, px, leading, whole=False)
    if len(lines) <= most_lines:
        return _block(lines, face, px, leading, whole=True)
    full = last = lines[most_lines - 1]
    while last and measure(last + ellipsis(last)) > width:
        last = last[: -len(clusters(last)[-1])]
    if " " in last and not (full + " ")[len(last) :].startswith(" "):
        last = last.rpartition(" ")[0]
    last = last.rstrip(_TRIMMED)
    lines = [*lines[: most_lines - 1], *([last + ellipsis(last)] if last else [])]
    return _block(lines, face, px, leading, whole=False)


def _block(lines: list[str], face: Typeface, px: int, leading: float, *, whole: bool) -> Block:
    width = max((face.width_px(line, px) for line in lines), default=0)
    return Block(tuple(lines), face, px, leading, width, round(len(lines) * leading * px), whole)
