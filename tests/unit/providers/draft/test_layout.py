"""Tests of layout: every text is inside its ground, overlaps no other, and keeps its reading order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.providers.draft.layout import layout
from qwenbuild.providers.draft.placed import LEAST_PX, Box, Layout, On, Placed
from qwenbuild.providers.draft.wishes import is_textless
from qwenbuild.request import Size
from tests.support.drafts import CHINESE, ENGLISH, LONG, PROMPTS, SIZES, parti_prompts, request


def inside(inner: Box, outer: Box) -> bool:
    return (
        outer.x <= inner.x and outer.y <= inner.y and inner.right <= outer.right and inner.bottom <= outer.bottom
    )  # fmt: skip


def overlap(one: Box, other: Box) -> bool:
    return one.x < other.right and other.x < one.right and one.y < other.bottom and other.y < one.bottom


def faults(plan: Layout) -> Iterator[str]:
    """Yield a message for each error in a layout."""
    canvas = Box(0, 0, *plan.size)
    top, below = Box(0, 0, plan.size.width, plan.strip_px), plan.size.height - plan.strip_px
    paper = Box(0, plan.strip_px, plan.size.width, plan.size.height - 2 * plan.strip_px)
    strips = (top, Box(0, below, plan.size.width, plan.strip_px))
    grounds: dict[On, tuple[Box | None, ...]] = {
        On.PAPER: (paper,), On.STRIP: strips, On.BUBBLE: (plan.bubble,), On.BADGE: (plan.badge,),
        On.CAPTION: (plan.caption,), On.PANEL: (plan.panel,),
    }  # fmt: skip
    for item in plan.placed:
        if not any(ground and inside(item.box, ground) for ground in grounds[item.on]):
            yield f"{item.what} leaves its {item.on}: {item.box}"
        if item.block.width > item.box.width or item.block.height > item.box.height:
            yield f"{item.what} is larger than its box: {item.block}"
        if item.block.size_px < LEAST_PX:
            yield f"{item.what} is too small: {item.block}"
        if item.on is On.PAPER and overlap(item.box, plan.picture):
            yield f"{item.what} lies over the picture: {item.box}, {plan.picture}"
    for one, other in itertools.combinations(plan.placed, 2):
        if overlap(one.box, other.box):
            yield f"{one.what} and {other.what} overlap: {one.box}, {other.box}"
    furniture = [box for box in (plan.bubble, plan.badge, plan.caption, plan.panel) if box]
    for box in furniture:
        if not inside(box, plan.picture):
            yield f"outside of the picture: {box}"
    for first, second in itertools.combinations(furniture, 2):
        if overlap(first, second):
            yield f"one over the other: {first}, {second}"
    if not inside(plan.picture, canvas):
        yield f"the picture leaves the canvas: {plan.picture}"


def placed(plan: Layout, what: str) -> list[Placed]:
    return [item for item in plan.placed if item.what == what]


def joined(plan: Layout, what: str) -> list[str]:
    return [" ".join(item.block.lines) for item in placed(plan, what)]


@given(
    st.sampled_from(PROMPTS) | st.text(max_size=200),
    st.builds(Size, st.integers(64, 2800), st.integers(64, 2800)),
    st.booleans(),
)
def test_everything_is_in_its_place(prompt: str, size: Size, watermark: bool) -> None:
    """For any prompt and size, texts are legible, stay inside their grounds, and overlap nothing."""
    assert list(faults(layout(request(prompt, size, watermark=watermark)))) == []


def test_every_parti_prompt_is_laid_out() -> None:
    """Each of the 1,632 prompts has a layout without errors and with one headline, unless it wants no text."""
    prompts = parti_prompts()
    assert len(prompts) == 1632
    for number, prompt in enumerate(prompts):
        plan = layout(request(prompt, SIZES[number % len(SIZES)]))
        titles = 0 if is_textless(prompt) else 1
        assert (prompt, list(faults(plan)), len(joined(plan, "headline"))) == (prompt, [], titles)
    assert len([prompt for prompt in prompts if is_textless(prompt)]) == 10


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("prompt", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_the_references_poster_is_whole_at_every_size(prompt: str, size: Size) -> None:
    """Title, subtitle, bubble, footer and label appear once, uncut, and the title is the largest."""
    plan = layout(request(prompt, size))
    ranked = [item for what in ("headline", "subtitle", "bubble", "footer") for item in placed(plan, what)]
    assert [item.what for item in ranked] == ["headline", "subtitle", "bubble", "footer"]
    assert [item.block.whole for item in ranked] == [True] * 4
    headline, subtitle, *small = (item.block.size_px for item in ranked)
    assert headline > 1.5 * subtitle > 1.5 * max(small)
    assert joined(plan, "label") == [f"puppies/poster[copy=en,palette=sunset,seed=1,size={size}]"]
    assert joined(plan, "mark") == ["D R A F T"]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_texts_keep_their_reading_order(size: Size) -> None:
    """Items of a list stand one below the other in the prompt's order, and none is lost."""
    prompt = "Title “Soup”, " + ", ".join(f"“Item {number}”" for number in range(5)) + ", at the bottom “Bread”"
    plan = layout(request(prompt, size))
    by_height = sorted((item for item in plan.placed if item.on is On.PAPER), key=lambda item: item.box.y)
    assert [" ".join(item.block.lines) for item in by_height] == ["Soup", *(f"Item {n}" for n in range(5)), "Bread"]


def boxes(prompt: str, size: Size = SIZES[2]) -> dict[str, tuple[float, float]]:
    """Return where the middle of each quoted text is, as shares of width and height."""
    found = {}
    for item in layout(request(prompt, size)).placed:
        if item.on is not On.STRIP and item.what not in ("scene", "note"):
            ink = item.box.x + (item.box.width - item.block.width) * item.align + item.block.width / 2
            centre = ink / size.width, (item.box.y + item.box.height / 2) / size.height
            found[" ".join(item.block.lines)] = centre
    return found


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("words", "across", "down"),
    [
        ("at the top", None, (0, 0.4)),
        ("at the bottom", None, (0.6, 1)),
        ("in the centre", (0.35, 0.65), (0.3, 0.65)),
        ("on the left", (0, 0.45), None),
        ("on the right", (0.55, 1), None),
        ("in the top left corner", (0, 0.45), (0, 0.4)),
        ("in the top right corner", (0.55, 1), (0, 0.4)),
        ("in the lower left corner", (0, 0.45), (0.6, 1)),
        ("in the lower right corner", (0.55, 1), (0.6, 1)),
        ("in the corner", (0.55, 1), (0.6, 1)),
        ("top center", (0.45, 0.55), (0, 0.4)),
        ("位于画面顶部", None, (0, 0.4)),
        ("位于底部", None, (0.6, 1)),
        ("在中央", (0.35, 0.65), (0.3, 0.65)),
        ("在左侧", (0, 0.45), None),
        ("在右下角", (0.55, 1), (0.6, 1)),
    ],
)
@pytest.mark.parametrize("what", ["title", "words"])
def test_a_text_stands_where_the_prompt_wants_it(
    words: str, across: tuple[float, float] | None, down: tuple[float, float] | None, size: Size, what: str
) -> None:
    """Titles and other texts keep their place at every size of the service."""
    x, y = boxes(f"A poster, the {what} “Ab” {words}", size)["Ab"]
    assert across is None or across[0] <= x <= across[1]
    assert down is None or down[0] <= y <= down[1]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("across", ["left", "right"])
@pytest.mark.parametrize("down", ["top", "bottom"])
def test_a_badge_stands_in_its_corner(down: str, across: str, size: Size) -> None:
    """It lies in this corner of the picture, beside the text in the middle if there is one."""
    for middle in ("", ", “Cd” in the middle"):
        plan = layout(request(f"A poster, title “Ab”, a badge “-20%” in the {down} {across} corner{middle}", size))
        assert plan.badge is not None
        x, y = plan.badge.x + plan.badge.width / 2, plan.badge.y + plan.badge.height / 2
        picture = plan.picture
        assert ("right" if x > picture.x + picture.width / 2 else "left") == across
        assert ("bottom" if y > picture.y + picture.height / 2 else "top") == down


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_texts_of_one_row_share_it(size: Size) -> None:
    """Texts at the lower left and the lower right stand side by side, in this order."""
    found = boxes("Title “A” at the top, “B” at the bottom left, “C” at the bottom right", size)
    assert (found["B"][0] < found["C"][0], abs(found["B"][1] - found["C"][1]) < 0.02) == (True, True)


def test_a_caption_says_what_is_not_shown() -> None:
    """Lettering that a draft can't draw, scripts without a font, and texts without room are named."""
    cursive = layout(request("“Tea” in cursive letters and curved text", SIZES[2]))
    assert joined(cursive, "note") == ["Not shown: cursive letters, curved text."]
    tibetan = layout(request("“བོད”"))
    assert (joined(tibetan, "note"), tibetan.missing) == (["No font for Tibetan: shown as bars."], ("Tibetan",))
    many = layout(request(" ".join(f"“{number} {'word ' * 40}”" for number in range(12)), Size(1664, 240)))
    assert joined(many, "note")[0].startswith("No room for")
    assert joined(layout(request(ENGLISH.replace("cartoon ", ""))), "note") == []


@pytest.mark.parametrize(
    "prompt", ["a fox, no text", "a fox without any lettering", "一只狐狸，无文字", "an icon of a fox"]
)
def test_a_picture_without_text_fills_the_draft(prompt: str) -> None:
    """Only the caption has words: those of the prompt."""
    plan = layout(request(prompt))
    assert [item.what for item in plan.placed if item.on is not On.STRIP] == ["scene"]
    assert joined(plan, "scene") == [prompt]
    assert plan.picture.height > 1328 * 0.7


def test_a_second_bubble_or_badge_becomes_body_text() -> None:
    """The picture has room for one of each, so the others are set with the body."""
    plan = layout(request("Title “a”. Bubble “b”. Bubble “c”. Badge “d”. Badge “e”."))
    found = {" ".join(item.block.lines): item.on for item in plan.placed if item.on is not On.STRIP}
    assert [found[text] for text in "abcde"] == [On.PAPER, On.BUBBLE, On.PAPER, On.BADGE, On.PAPER]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_prompt_of_800_characters_is_shown(size: Size) -> None:
    """Its opening is the headline, and the rest is body text that is cut only at its end."""
    plan = layout(request(LONG, size))
    (headline,), (body,) = joined(plan, "headline"), joined(plan, "body")
    assert headline == "A harbour at sunset"
    assert LONG.partition(", ")[2][1:].startswith(body.removesuffix("...")[1:])


def test_the_watermark_is_at_the_lower_right() -> None:
    """With `watermark`, the draft shows the service's watermark at the service's place."""
    plan = layout(request(watermark=True))
    (mark,) = placed(plan, "watermark")
    assert mark.block.lines == ("Qwen-Image",)
    assert (mark.box.x > 1328 * 0.8, mark.box.y > 1328 * 0.95) == (True, True)
    assert placed(layout(request()), "watermark") == []


@pytest.mark.parametrize("size", [Size(1, 1), Size(1, 900), Size(900, 1), Size(16, 16), Size(63, 5)], ids=str)
def test_no_size_is_too_small(size: Size) -> None:
    """A size that has no room for legible text gets a layout without text."""
    assert [item for item in layout(request(size=size)).placed if item.block.size_px < LEAST_PX] == []
