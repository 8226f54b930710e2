"""Tests of motifs: each kind of image has one, flat at any size, in the palette's colours, varied by chance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from qwenbuild.providers.draft.motifs import MOTIFS
from qwenbuild.providers.draft.palette import Palette, palette
from qwenbuild.providers.draft.wishes import Kind

COLOURS = palette("a fox", 1)
kinds = pytest.mark.parametrize("kind", [Kind.ICON, Kind.LOGO, Kind.BADGE, Kind.PATTERN])


def drawn(kind: Kind, width: int, height: int, chance: bytes, colours: Palette = COLOURS) -> Image.Image:
    picture = Image.new("RGB", (width, height), colours.ground)
    MOTIFS[kind](ImageDraw.Draw(picture), width, height, colours, chance)
    return picture


def test_every_kind_but_a_scene_has_a_motif() -> None:
    """Scenes are drawn by the scenes."""
    assert set(MOTIFS) == set(Kind) - {Kind.SCENE}


@kinds
@given(st.integers(1, 300), st.integers(1, 300), st.binary(min_size=32, max_size=32))
def test_a_motif_is_flat_at_any_size(kind: Kind, width: int, height: int, chance: bytes) -> None:
    """Whatever the size and the chance, a motif uses only the palette's colours."""
    known = {
        COLOURS.ground, COLOURS.light, COLOURS.main, COLOURS.deep, COLOURS.second, COLOURS.third, COLOURS.pop,
        COLOURS.paper, COLOURS.ink,
    }  # fmt: skip
    used = drawn(kind, width, height, chance).getcolors(width * height) or []
    assert {colour for _, colour in used} <= known


@kinds
def test_a_motif_is_seen_on_every_ground(kind: Kind) -> None:
    """On black, white and mid grounds at least an eighth of the picture differs from the ground, or of a pattern."""
    for prompt in ("black background", "white background", "red background", "a fox", "navy and black background"):
        colours = palette(prompt, 1)
        picture = drawn(kind, 300, 300, bytes(range(32)), colours)
        ground = sum(count for count, colour in picture.getcolors() or [] if colour == colours.ground)
        assert ground / 90_000 < 0.92


@kinds
def test_chance_varies_a_motif(kind: Kind) -> None:
    """Equal chances give equal pictures, different chances different ones."""
    pictures = [drawn(kind, 300, 200, bytes(range(at, at + 32))).tobytes() for at in (0, 0, 101)]
    assert (pictures[0] == pictures[1], pictures[0] == pictures[2]) == (True, False)


@pytest.mark.parametrize("kind", [Kind.ICON, Kind.LOGO, Kind.BADGE])
def test_a_motif_stands_in_the_middle(kind: Kind) -> None:
    """Icons, logos and badges leave the edges of the picture free."""
    picture = drawn(kind, 400, 300, bytes(32))
    edge = [picture.getpixel(at) for at in ((0, 150), (399, 150), (200, 0), (200, 299))]
    assert edge == [COLOURS.ground] * 4
