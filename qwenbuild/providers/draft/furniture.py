"""The furniture of the picture: its caption, the text in its middle, a badge and a speech bubble."""

from __future__ import annotations

from collections.abc import Sequence

from .fonts import REGULAR
from .placed import LEAST_PX, Box, On, Placed
from .positions import Horizontal, Vertical
from .prompt_texts import Text
from .stacks import Row, Typesetter, height_of
from .typeset import LOOSE, Block, fit


class Furniture:
    """Places what stands on the picture. Call `caption` first, then `panel`, `badge` and `bubble`."""

    def __init__(self, typesetter: Typesetter, picture: Box) -> None:
        self._setter, self._picture = typesetter, picture
        self._caption: Box | None = None
        self._panel: Box | None = None
        self._badge: Box | None = None

    def caption(self, text: str, note: str) -> Box | None:
        """Place the picture's description along its lower edge, and below it a note. Return their box, if any fits."""
        picture = self._picture
        pad = self._setter.px(0.018)
        most = max(LEAST_PX, self._setter.px(0.0235))
        width, height = picture.width - 4 * pad, round(picture.height * 0.3) - 2 * pad

        def small(text: str, height: int) -> Block:
            return fit(text, width, height, most_px=most, least_px=most, weight=REGULAR, most_lines=2, leading=LOOSE)

        noted = small(note, height)
        told = small(text, height - noted.height)
        if not told.lines and not noted.lines:
            return None
        height = told.height + noted.height + 2 * pad
        self._caption = box = Box(picture.x, picture.bottom - height, picture.width, height)
        y = box.y + pad
        for what, block in (("scene", told), ("note", noted)):
            if block.lines:
                place = Box(box.x + 2 * pad, y, width, block.height)
                self._setter.placed.append(Placed(what, block, place, 0, On.CAPTION))
                y += block.height
        return box

    def panel(self, texts: Sequence[Text], *, is_in_badge: bool) -> Box | None:
        """Place the texts in the middle of the picture. Return the box of their ground, None if there are none.

        With `is_in_badge` the picture is a round badge, and the texts stand inside it.
        """
        pad = self._setter.px(0.03)
        room = self._room()
        if is_in_badge:
            side = min(room.width, room.height)
            width, height = round(side * 0.52) - 2 * pad, round(side * 0.4) - 2 * pad
        else:
            width, height = round(room.width * 0.8) - 2 * pad, round(room.height * 0.6) - 2 * pad
        stack = self._setter.stack(texts, width, height, larger=1.5) if texts else []
        if not stack:
            return None
        wide, high = max(cell.block.width for row in stack for cell in row.cells), height_of(stack)
        x, y = room.x + (room.width - wide) // 2, room.y + (room.height - high) // 2
        centred = [Row(tuple(cell._replace(x=0, width=wide) for cell in row.cells), row.gap) for row in stack]
        self._setter.lay(centred, x, y, align=0.5, on=On.PANEL)
        self._panel = Box(x - pad, y - pad, wide + 2 * pad, high + 2 * pad)
        return self._panel

    def badge(self, texts: Sequence[Text]) -> Box | None:
        """Place a badge in a corner of the picture, usually the lower right. Return its box, a square, or None."""
        for text in texts:
            pad = self._setter.px(0.03)
            is_top = text.spot.vertical is Vertical.TOP
            room = self._room(is_top=is_top)
            share = 0.42 if self._panel is None else 0.9
            side = round(min(room.width * 0.34, room.height * share, self._setter.px(0.24), room.height - 2 * pad))
            width = round(side * 0.76)
            block = self._setter.fitted(text, width, round(side * 0.58), 1.0)
            if block.lines:
                x = room.x + pad if text.spot.horizontal is Horizontal.LEFT else room.right - side - pad
                y = room.y + pad if is_top else room.bottom - side - pad
                place = Box(x + (side - width) // 2, y + (side - block.height) // 2, width, block.height)
                self._setter.place(text, block, place, 0.5, On.BADGE)
                self._badge = Box(x, y, side, side)
        return self._badge

    def bubble(self, texts: Sequence[Text]) -> Box | None:
        """Place a speech bubble in the picture, usually at the upper left. Return its box without the tail, or None."""
        for text in texts:
            outside, inside = self._setter.px(0.035), self._setter.px(0.026)
            room = self._room(is_top=True)
            if self._badge and self._badge.y > room.y + self._picture.height // 4:
                room = room._replace(height=min(room.bottom, self._badge.y) - room.y)
            elif self._badge and self._badge.x < room.x + room.width // 2:
                room = Box(self._badge.right, room.y, room.right - self._badge.right, room.height)
            elif self._badge:
                room = room._replace(width=self._badge.x - room.x)
            width = min(room.width - 2 * outside, max(round(room.width * 0.6), self._setter.px(0.42)))
            height = round(room.height * (0.6 if self._panel is None else 0.8)) - outside
            block = self._setter.fitted(text, width - 2 * inside, height - 2 * inside, 1.0)
            if block.lines:
                wide = block.width + 2 * inside
                is_right = text.spot.horizontal is Horizontal.RIGHT
                x = room.right - outside - wide if is_right else room.x + outside
                place = Box(x + inside, room.y + outside + inside, block.width, block.height)
                self._setter.place(text, block, place, 0.5, On.BUBBLE)
                return Box(x, room.y + outside, wide, block.height + 2 * inside)
        return None

    def _room(self, *, is_top: bool = False) -> Box:
        """Return the picture without its caption; of that, what is above the panel (`is_top`) or below it."""
        top, bottom = self._picture.y, self._caption.y if self._caption else self._picture.bottom
        if self._panel and is_top:
            bottom = self._panel.y
        elif self._panel:
            top = self._panel.bottom
        return Box(self._picture.x, top, self._picture.width, bottom - top)
