"""Tests of the furniture: caption, panel, badge and bubble stand on the picture and leave each other room."""

from __future__ import annotations

from itertools import combinations

import pytest

from qwenbuild.providers.draft.furniture import Furniture
from qwenbuild.providers.draft.placed import Box
from qwenbuild.providers.draft.positions import Spot
from qwenbuild.providers.draft.prompt_texts import Part, Text, texts
from qwenbuild.providers.draft.stacks import Typesetter

PICTURE = Box(100, 200, 800, 700)


def test_a_caption_stands_along_the_lower_edge() -> None:
    """Description and note stand one below the other. Without both there is no caption."""
    setter = Typesetter(1000, quoted=True)
    box = Furniture(setter, PICTURE).caption("A cup of tea.", "Not shown: neon letters.")
    assert box is not None
    assert (box.x, box.right, box.bottom) == (PICTURE.x, PICTURE.right, PICTURE.bottom)
    told, noted = setter.placed
    assert (told.what, noted.what, told.box.bottom == noted.box.y) == ("scene", "note", True)
    assert Furniture(setter, PICTURE).caption("", "") is None


@pytest.mark.parametrize("corner", ["top left", "top right", "bottom left", "bottom right"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("middle", [True, False])
def test_nothing_on_the_picture_overlaps(corner: str, side: str, middle: bool) -> None:
    """Wherever badge and bubble are wanted, both are there, inside the picture, and apart from the panel."""
    setter = Typesetter(1000, quoted=True)
    furniture = Furniture(setter, PICTURE)
    (title, badge, bubble) = texts(f"Title “Tea”. A badge “-20%” in the {corner} corner. Bubble “Hi!” on the {side}")
    found = [
        furniture.caption("A cup of tea.", ""),
        furniture.panel([title] if middle else [], is_in_badge=False),
        furniture.badge([badge]),
        furniture.bubble([bubble]),
    ]
    boxes = [box for box in found if box]
    assert len(boxes) == 3 + middle
    for box in boxes:
        assert PICTURE.x <= box.x < box.right <= PICTURE.right
        assert PICTURE.y <= box.y < box.bottom <= PICTURE.bottom
    for one, other in combinations(boxes, 2):
        apart = one.right <= other.x or other.right <= one.x or one.bottom <= other.y or other.bottom <= one.y
        assert apart, (one, other)


def test_the_text_of_a_badge_fits_its_inside() -> None:
    """The panel of a badge is at most half as wide as the picture is high."""
    furniture = Furniture(Typesetter(1000, quoted=True), PICTURE)
    box = furniture.panel([Text("Best quality coffee", Part.HEADLINE, spot=Spot())], is_in_badge=True)
    assert box is not None
    assert box.width <= 700 * 0.52
    assert abs((box.x + box.right) / 2 - (PICTURE.x + PICTURE.right) / 2) <= 1
