"""Tests of the abstract scenes: each can be drawn at any size, in the palette's colours, varied by chance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from qwenbuild.providers.draft.palette import palette
from qwenbuild.providers.draft.scenes import SCENES, Scene

COLOURS = palette("a fox", 1)

scenes = pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)


def drawn(scene: Scene, width: int, height: int, chance: bytes) -> Image.Image:
    picture = Image.new("RGB", (width, height), COLOURS.ground)
    scene(ImageDraw.Draw(picture), width, height, COLOURS, chance)
    return picture


@scenes
@given(st.integers(1, 300), st.integers(1, 300), st.binary(min_size=32, max_size=32))
def test_a_scene_is_flat_at_any_size(scene: Scene, width: int, height: int, chance: bytes) -> None:
    """Whatever the size and the chance, a scene uses only the palette's colours."""
    known = {
        COLOURS.ground, COLOURS.light, COLOURS.main, COLOURS.deep, COLOURS.second, COLOURS.third, COLOURS.pop,
    }  # fmt: skip
    used = drawn(scene, width, height, chance).getcolors(width * height) or []
    assert {colour for _, colour in used} <= known


@scenes
def test_a_scene_has_several_colours(scene: Scene) -> None:
    """No scene is a blank picture."""
    assert len(drawn(scene, 300, 200, bytes(range(32))).getcolors() or []) >= 4


@scenes
def test_chance_varies_a_scene(scene: Scene) -> None:
    """Equal chances give equal pictures, different chances different ones."""
    pictures = [drawn(scene, 300, 200, bytes(range(at, at + 32))).tobytes() for at in (0, 0, 100)]
    assert (pictures[0] == pictures[1], pictures[0] == pictures[2]) == (True, False)


def test_there_are_six_scenes() -> None:
    """The order decides which request gets which scene, so it never changes within a family."""
    assert [scene.__name__ for scene in SCENES] == ["_hills", "_tiles", "_arches", "_rays", "_orbits", "_peaks"]
