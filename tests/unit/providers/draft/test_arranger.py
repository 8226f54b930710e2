"""Tests of the arranger: which texts stand around the picture, and which are left for the picture itself."""

from __future__ import annotations

from qwenbuild.providers.draft.arranger import Arranger
from qwenbuild.providers.draft.placed import Box
from qwenbuild.providers.draft.prompt_texts import texts
from qwenbuild.providers.draft.stacks import Typesetter
from qwenbuild.providers.draft.wishes import Kind

CONTENT = Box(50, 50, 900, 900)


def arranged(prompt: str, kind: Kind = Kind.SCENE) -> tuple[Arranger, Typesetter, Box]:
    setter = Typesetter(1000, quoted=True)
    arranger = Arranger(setter, texts(prompt), kind)
    return arranger, setter, arranger.around(CONTENT)


def order(setter: Typesetter) -> list[str]:
    return [" ".join(item.block.lines) for item in sorted(setter.placed, key=lambda item: item.box.y)]


def test_texts_without_a_place_have_the_usual_one() -> None:
    """Title and subtitle stand above the picture, all others below."""
    _, setter, picture = arranged("“c”, title “a”, subtitle “b”, footer “d”")
    assert order(setter) == ["a", "b", "c", "d"]
    assert [item.box.bottom <= picture.y for item in setter.placed].count(True) == 2


def test_a_subtitle_follows_its_title() -> None:
    """A title at the bottom takes the subtitle along."""
    _, setter, picture = arranged("At the bottom the title “a”, subtitle “b”. At the top “c”")
    assert order(setter) == ["c", "a", "b"]
    assert [item.box.y > picture.bottom for item in setter.placed].count(True) == 2


def test_texts_on_both_sides_leave_the_picture_between_them() -> None:
    """No text overlaps the picture."""
    _, setter, picture = arranged("“a” on the left, “b” on the right")
    (left, right) = setter.placed
    assert left.box.right < picture.x < picture.right < right.box.x
    assert (picture.y, picture.height) == (CONTENT.y, CONTENT.height)


def test_what_stands_on_the_picture_is_left_for_it() -> None:
    """One bubble, one badge, and the texts in the middle; further bubbles stand below."""
    arranger, setter, _ = arranged("Title “a”, “b” in the middle. Bubble “c”. Bubble “d”. Badge “e”.")
    assert [[text.text for text in group] for group in (arranger.middle, arranger.bubble, arranger.badge)] == [
        ["b"], ["c"], ["e"],
    ]  # fmt: skip
    assert order(setter) == ["a", "d"]


def test_the_name_of_a_logo_stands_below_it() -> None:
    """The text of a badge stands in its middle instead."""
    _, setter, picture = arranged("a logo “Beans”", Kind.LOGO)
    assert setter.placed[0].box.y > picture.bottom
    arranger, _, whole = arranged("a badge “New”", Kind.BADGE)
    assert ([text.text for text in arranger.middle], whole) == (["New"], CONTENT)


def test_a_wide_draft_has_a_column_unless_texts_are_moved() -> None:
    """A column keeps the order, and top and bottom."""
    setter = Typesetter(500, quoted=True)
    arranger = Arranger(setter, texts("At the top “a”, at the bottom “b”"), Kind.SCENE)
    picture = arranger.beside(Box(0, 0, 1600, 500))
    assert (arranger.is_free, order(setter), setter.placed[0].box.y) == (True, ["a", "b"], 0)
    assert max(item.box.right for item in setter.placed) < picture.x
    assert Arranger(setter, texts("“a” on the right"), Kind.SCENE).is_free is False
