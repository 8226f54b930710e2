"""Arranges the texts of a prompt: which part of the image each one stands in, and how large it is set.

A text stands where the prompt wants it. The others keep the usual places: the title above, small texts below, in a wide
image all of them beside the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from .placed import Box
from .positions import Horizontal, Vertical
from .prompt_texts import Part, Text
from .stacks import Typesetter, height_of
from .wishes import Kind


class _Zone(StrEnum):
    """A part of the image. The middle lies on the picture, the others lie around it."""

    TOP = "top"
    BOTTOM = "bottom"
    LEFT = "left"
    RIGHT = "right"
    MIDDLE = "middle"


class Arranger:
    """Places texts around the picture. It leaves `middle`, `bubble` and `badge` to be placed on the picture."""

    def __init__(self, typesetter: Typesetter, wanted: Sequence[Text], kind: Kind) -> None:
        self._setter, self._kind = typesetter, kind
        # A picture has room for one bubble and one badge. Further ones are set as body text.
        of_part = {part: [text for text in wanted if text.part is part] for part in (Part.BUBBLE, Part.BADGE)}
        spare = {id(text) for texts in of_part.values() for text in texts[1:]}
        self.bubble, self.badge = of_part[Part.BUBBLE][:1], of_part[Part.BADGE][:1]
        if kind is Kind.BADGE:  # the badge is the picture, and its text stands in the middle
            spare |= {id(text) for text in self.badge}
            self.badge = []
        on_paper = [replace(text, part=Part.BODY) if id(text) in spare else text for text in wanted]
        self._on_paper = [text for text in on_paper if text.part not in (Part.BUBBLE, Part.BADGE)]
        self._zones = self._zoned(self._on_paper)
        self.middle = self._zones[_Zone.MIDDLE]

    @property
    def is_free(self) -> bool:
        """Whether no text is wanted on a side, in the middle, or on a line of its own kind of image."""
        moved = any(text.spot.horizontal or text.spot.vertical is Vertical.MIDDLE for text in self._on_paper)
        return not moved and self._kind in (Kind.SCENE, Kind.PATTERN)

    def _zoned(self, texts: Sequence[Text]) -> dict[_Zone, list[Text]]:
        """Return the texts of each zone. A subtitle without a place of its own follows the title."""
        zones: dict[_Zone, list[Text]] = {zone: [] for zone in _Zone}
        title = {Kind.LOGO: _Zone.BOTTOM, Kind.ICON: _Zone.BOTTOM, Kind.BADGE: _Zone.MIDDLE}.get(self._kind, _Zone.TOP)
        for text in texts:
            if text.part is Part.HEADLINE:
                title = _zone(text) or title
        for text in texts:
            usual = title if text.part in (Part.HEADLINE, Part.SUBTITLE) else _Zone.BOTTOM
            zones[_zone(text) or usual].append(text)
        return zones

    def around(self, content: Box) -> Box:
        """Place the texts around the picture. Return the picture's box."""
        gap = self._setter.px(0.03)
        above, below = self._zones[_Zone.TOP], self._zones[_Zone.BOTTOM]
        longest = 0.42 if len(above) > 1 else 0.34
        if not above and any(text.part is Part.HEADLINE for text in below):
            longest, share = 0.0, 0.46
        else:
            share = 0.3 if len(below) < 6 else 0.38
        top = self._setter.stack(above, content.width, round(content.height * longest)) if above else []
        bottom = self._setter.stack(below, content.width, round(content.height * share))
        y = self._setter.lay(top, content.x, content.y)
        y += gap if top else 0
        end = content.bottom - height_of(bottom)
        self._setter.lay(bottom, content.x, end)
        end -= gap if bottom else 0
        return self._between(Box(content.x, y, content.width, end - y))

    def _between(self, room: Box) -> Box:
        """Place the texts left and right of the picture. Return the picture's box."""
        left, right = self._zones[_Zone.LEFT], self._zones[_Zone.RIGHT]
        share = 0.27 if left and right else 0.42
        gap = self._setter.px(0.04)
        x, end = room.x, room.right
        for texts, is_left in ((left, True), (right, False)):
            if not texts:
                continue
            column = round(room.width * share)
            stack = self._setter.stack(texts, column, room.height)
            at = x if is_left else end - column
            self._setter.lay(stack, at, room.y + round((room.height - height_of(stack)) * 0.4), align=0.0)
            x, end = (x + column + gap, end) if is_left else (x, end - column - gap)
        return Box(x, room.y, end - x, room.height)

    def beside(self, content: Box) -> Box:
        """Place the texts of a wide draft in a column left of the picture. Return the picture's box."""
        if not self._on_paper:
            return content
        column = round(content.width * 0.46)
        gap = self._setter.px(0.05)
        below = [text for text in self._on_paper if _zone(text) is _Zone.BOTTOM or text.part is Part.FOOTER]
        rest = [text for text in self._on_paper if text not in below]
        share = 0.25 if rest else 1.0
        bottom = self._setter.stack(below, column, round(content.height * share), larger=1.0 if rest else 1.2)
        room = content.height - (height_of(bottom) + gap if bottom else 0)
        top = self._setter.stack(rest, column, round(room * 0.94), larger=1.2)
        # 0.4 instead of 0.5: the optical centre is above the middle.
        at = 0.0 if any(_zone(text) is _Zone.TOP for text in rest) else 0.4
        self._setter.lay(top, content.x, content.y + round((room - height_of(top)) * at), align=0.0)
        self._setter.lay(bottom, content.x, content.bottom - height_of(bottom), align=0.0)
        x = content.x + column + gap
        return Box(x, content.y, content.right - x, content.height)


def _zone(text: Text) -> _Zone | None:
    """Return the zone in which the prompt wants a text, None if it leaves that open."""
    vertical, horizontal = text.spot
    if vertical in (Vertical.TOP, Vertical.BOTTOM):
        return _Zone(vertical.value)
    if horizontal in (Horizontal.LEFT, Horizontal.RIGHT):
        return _Zone(horizontal.value)
    return _Zone.MIDDLE if vertical is Vertical.MIDDLE else None
