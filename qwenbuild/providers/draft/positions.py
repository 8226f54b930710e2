"""Positions: where a prompt wants a quoted text, such as at the top, in the lower right corner, 居中."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple, TypeVar


class Vertical(StrEnum):
    """A height in the image."""

    TOP = "top"
    MIDDLE = "middle"
    BOTTOM = "bottom"


class Horizontal(StrEnum):
    """A side of the image."""

    LEFT = "left"
    CENTRE = "centre"
    RIGHT = "right"


class Spot(NamedTuple):
    """Where a text is wanted. None says that the prompt leaves it open."""

    vertical: Vertical | None = None
    horizontal: Horizontal | None = None


ANYWHERE = Spot()

_Kind = TypeVar("_Kind", Vertical, Horizontal)

_AT = r"(?:at|on|in|to|along|across|near|towards?|from|over|by) (?:the )?(?:very |far |extreme )?"
# "On top of the hill" is no place in the image; "at the top of the poster" is.
_OF = (
    r"(?!\s+of (?:the |an? |its |his |her |their )?(?!(?:the )?(?:image|poster|page|picture|frame|card|cover|banner|"
    r"screen|canvas|design|sign|flyer|composition|layout|artwork|label|ad|advert)\b))"
)
_ROW = r"(?:(?:top|upper|bottom|lower|middle|cent(?:er|re))[- ])?"
_EDGE = (
    r"(?:[- ](?:left|right|cent(?:er|re)|middle|corner|edge|hand|side|third|half|part|portion|section|aligned|border))"
)
# As in a list: "Bottom left: “Tea”".
_LABEL = r"(?: ?- ?| )?(?:left|right|cent(?:er|re))?(?: (?:title|text|logo|corner))?\s*[:：]"
_HEIGHT = r"(?:top|upper|bottom|lower|upward|downward)"
_VERTICALS = {
    Vertical.TOP: re.compile(
        rf"{_AT}top\b{_OF}|\btop{_EDGE}|\bupper{_EDGE}|\bheader\b"
        rf"|\b(?:left|right)[- ]+upper\b|\bupward\b|\b(?:top|upper){_LABEL}|横批"
        r"|顶部|顶端|上部|上端|左上|右上|最上方|画面上方|(?<!其)上方",
        re.IGNORECASE,
    ),
    Vertical.BOTTOM: re.compile(
        rf"{_AT}(?:bottom|foot)\b{_OF}|\bbottom{_EDGE}|\blower{_EDGE}"
        rf"|\b(?:left|right)[- ]+lower\b|\bdownward\b|\b(?:bottom|lower){_LABEL}"
        r"|底部|底端|下部|下端|左下|右下|最下方|画面下方|(?<!其)下方",
        re.IGNORECASE,
    ),
}
_HORIZONTALS = {
    Horizontal.LEFT: re.compile(
        rf"{_AT}{_ROW}left\b|\bleft{_EDGE}|\bleft{_LABEL}|\bleft[- ]+(?:upper|lower)\b|\b{_HEIGHT}(?: ?- ?| )left\b"
        r"|左侧|左边|左上|左下|左方|靠左|左对齐|左书|左联",
        re.IGNORECASE,
    ),
    Horizontal.RIGHT: re.compile(
        rf"{_AT}{_ROW}right\b(?! now)|\bright{_EDGE}|\bright{_LABEL}|\bright[- ]+(?:upper|lower)\b"
        rf"|\b{_HEIGHT}(?: ?- ?| )right\b|右侧|右边|右上|右下|右方|靠右|右对齐|右书|右联",
        re.IGNORECASE,
    ),
}
# The middle counts only if no edge is named: "centred at the bottom".
_MIDDLE = re.compile(
    rf"{_AT}(?:cent(?:er|re)|middle)\b{_OF}|\bcent(?:ered|red)\b|\bdead cent(?:er|re)\b"
    r"|\bcent(?:er|re)(?: (?:title|text|logo))?\s*[:：]|正中|中央|中间|中心",
    re.IGNORECASE,
)
_CENTRED = re.compile(
    rf"{_AT}{_ROW}(?:cent(?:er|re)|middle)\b{_OF}|\b(?:centered|centred|dead cent(?:er|re))\b"
    r"|正中|中央|中间|中心|居中"
    r"|\b(?:top|upper|bottom|lower)[- ](?:cent(?:er|re)|middle)\b",
    re.IGNORECASE,
)
_CORNER = re.compile(rf"{_AT}(?:an? |one |each )?corner\b|角落", re.IGNORECASE)
# What follows a text is about it up to the next text, clause or "and".
_STOP = '.。!?！？;；,，、“「『《«„"()'
_AFTER = re.compile(rf"[^{_STOP}]*?(?=\b(?:and|with|while|then|next to)\b|和|以及|[{_STOP}]|$)")
_CLAUSE = re.compile(r"[,，、]")
_ONLY_PLACE = re.compile(
    r"\s*(?:and |then )?(?:at|on|in|to|along|across|near|top|bottom|upper|lower|cent(?:er|re)|left|right)\b"
    r"(?:\s+\S+){0,7}\s*$"
    r"|[^是有]{0,8}$",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[.。!?！？;；]\s*")


def spot(before: str, after: str) -> tuple[Spot, int]:
    """Return where a quoted text is wanted, and how many characters of `after` say so.

    `before` is the prompt between the text before and this one, `after` is what follows. The clause that leads to the
    text counts most, then the clause after it, then a clause before that only names a place: "At the top, the title".
    """
    parts = [part for part in _CLAUSE.split(_SENTENCE.split(before)[-1][-100:]) if part.strip()]
    told = _spot(parts[-1]) if parts else ANYWHERE
    if told != ANYWHERE:
        return told, 0
    clause = _AFTER.match(after[:100])
    words = clause[0] if clause else ""
    told = _spot(words)
    if told != ANYWHERE:
        return told, len(words)
    if len(parts) > 1 and _ONLY_PLACE.match(parts[-2]):
        told = _spot(parts[-2])
    return told, 0


def _spot(words: str) -> Spot:
    vertical = _last(_VERTICALS, words) or (Vertical.MIDDLE if _MIDDLE.search(words) else None)
    horizontal = _last(_HORIZONTALS, words) or (Horizontal.CENTRE if _CENTRED.search(words) else None)
    if _CORNER.search(words) and horizontal is None:
        return Spot(vertical or Vertical.BOTTOM, Horizontal.RIGHT)
    return Spot(vertical, horizontal)


def _last(kinds: Mapping[_Kind, re.Pattern[str]], words: str) -> _Kind | None:
    """Return the kind that is named last, None if none is."""
    found = [(match.end(), kind) for kind, pattern in kinds.items() for match in pattern.finditer(words)]
    return max(found)[1] if found else None
