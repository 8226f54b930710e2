"""The nouns of a layout: boxes, placed texts, and what they stand on."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from qwenbuild.request import Size

from .oklch import Colour
from .typeset import Block
from .wishes import Kind

LEAST_PX = 7
"""The smallest font size in pixels; smaller text can't be read."""


class On(StrEnum):
    """The ground that a text stands on."""

    PAPER = "paper"
    STRIP = "strip"
    BUBBLE = "bubble"
    BADGE = "badge"
    CAPTION = "caption"
    PANEL = "panel"


class Box(NamedTuple):
    """A rectangle in pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column to the right of the box."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row below the box."""
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Placed:
    """A block of text in its box.

    `what` is a `Part` of the prompt's texts, or one of mark, facts, label, watermark, scene, note. `align` is
    0 for left, 0.5 for centred, 1 for right. `colour` is the colour that the prompt asks for.
    """

    what: str
    block: Block
    box: Box
    align: float
    on: On = On.PAPER
    colour: Colour | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is.

    `strip_px` is the height of the strips at the top and the bottom; 0 means that there are none.
    Bubble, badge, panel and caption lie inside the picture. The tail of the bubble hangs below it. `kind` is what the
    image is. `missing` are the scripts that no font has: their letters are drawn as bars.
    """

    size: Size
    strip_px: int
    picture: Box
    placed: tuple[Placed, ...] = field(repr=False)
    bubble: Box | None = None
    badge: Box | None = None
    caption: Box | None = None
    panel: Box | None = None
    kind: Kind = Kind.SCENE
    missing: tuple[str, ...] = ()

    @property
    def unit(self) -> int:
        """The shorter side in pixels. All other measures are shares of it."""
        return min(self.size)
