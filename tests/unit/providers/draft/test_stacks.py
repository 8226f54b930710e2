"""Tests of stacks: texts share the height, stand side by side if the prompt says so, and keep their order."""

from __future__ import annotations

from qwenbuild.providers.draft.placed import LEAST_PX
from qwenbuild.providers.draft.positions import Horizontal, Spot
from qwenbuild.providers.draft.prompt_texts import Part, Text
from qwenbuild.providers.draft.stacks import Typesetter, height_of

LEFT, CENTRE, RIGHT = (Spot(horizontal=side) for side in Horizontal)


def text(words: str, part: Part = Part.BODY, spot: Spot = CENTRE) -> Text:
    return Text(words, part, spot=spot)


def test_texts_shrink_together_until_they_fit() -> None:
    """A lower space gives smaller texts, all whole, and never higher than the space."""
    wanted = [text("Tea", Part.HEADLINE), text("with milk", Part.SUBTITLE), text("every day")]
    setter = Typesetter(1000, quoted=True)
    stacks = [setter.stack(wanted, 800, height) for height in (400, 200, 120)]
    sizes = [[row.cells[0].block.size_px for row in stack] for stack in stacks]
    assert [height_of(stack) <= height for stack, height in zip(stacks, (400, 200, 120), strict=True)] == [True] * 3
    assert sizes[0] > sizes[1] > sizes[2]
    assert [row.cells[0].block.whole for stack in stacks for row in stack] == [True] * 9


def test_what_does_not_fit_is_left_out() -> None:
    """The first texts stay, and none is set smaller than can be read."""
    stack = Typesetter(300, quoted=True).stack([text(f"Line {number}") for number in range(20)], 200, 60)
    assert [row.cells[0].text.text for row in stack] == [f"Line {number}" for number in range(len(stack))]
    assert 0 < len(stack) < 20
    assert {row.cells[0].block.size_px >= LEAST_PX for row in stack} == {True}


def test_texts_from_left_to_right_share_a_row() -> None:
    """A text that stands further left than the one before begins a new row, and so does one without a side."""
    wanted = [text("a", spot=LEFT), text("b", spot=RIGHT), text("c", spot=LEFT), text("d", spot=CENTRE),
              text("e", spot=RIGHT), text("f", spot=Spot())]  # fmt: skip
    stack = Typesetter(1000, quoted=True).stack(wanted, 900, 500)
    assert [[cell.text.text for cell in row.cells] for row in stack] == [["a", "b"], ["c", "d", "e"], ["f"]]
    assert [cell.x + cell.width <= 900 for row in stack for cell in row.cells] == [True] * 6


def test_laid_texts_have_their_sides() -> None:
    """Each is aligned to its own side; quoted texts without one are centred, the prompt's own words stand left."""
    aligned = {}
    for quoted in (True, False):
        setter = Typesetter(1000, quoted=quoted)
        wanted = [text("a", spot=LEFT), text("b", spot=RIGHT), text("c", spot=Spot())]
        end = setter.lay(setter.stack(wanted, 900, 500), 10, 20)
        aligned[quoted] = [item.align for item in setter.placed]
        assert end == max(item.box.bottom for item in setter.placed)
    assert aligned == {True: [0, 1, 0.5], False: [0, 1, 0]}
