"""Tests of wishes: what the image is, whether it has text, and what a draft can't show."""

from __future__ import annotations

import pytest

from qwenbuild.providers.draft.wishes import Kind, has_title, is_textless, kind, unshown


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Icon of a red heart", Kind.ICON),
        ("Minimalist app icon for a meditation app. Simple lotus", Kind.ICON),
        ("A set of 2x2 emoji icons with happy faces", Kind.ICON),
        ("Create a minimalist line art icon representing AI", Kind.ICON),
        ("极简风格的图标，一个文件夹", Kind.ICON),
        ("The 1970s logo for a football club", Kind.LOGO),
        ("A lettermark of a letter “E”, logo", Kind.LOGO),
        ("Logo icon for an organization", Kind.ICON),
        ("一个咖啡店的标志，写着“慢咖啡”", Kind.LOGO),
        ("A round vintage badge with the text “EST. 1998”", Kind.BADGE),
        ("Sticker of a smiling avocado", Kind.BADGE),
        ("Seamless repeating pattern of lemons", Kind.PATTERN),
        ("background pattern with alternating roses and skulls", Kind.PATTERN),
        ("无缝图案，樱花和仙鹤", Kind.PATTERN),
        ("a circular logo on a coffee mug", Kind.SCENE),
        ("a logo on a white background", Kind.LOGO),
        ("a laptop with a maze sticker on it", Kind.SCENE),
        ("Poster with a logo in the corner", Kind.SCENE),
        ("a fox that wears a badge", Kind.SCENE),
        ("a young badger on a patterned rug", Kind.SCENE),
        ("", Kind.SCENE),
    ],
)
def test_the_opening_of_a_prompt_says_what_the_image_is(prompt: str, expected: Kind) -> None:
    """Only what comes before the subject counts: a poster with a logo is no logo."""
    assert kind(prompt) is expected


@pytest.mark.parametrize(
    ("prompt", "negative_prompt", "expected"),
    [
        ("a fox, no text", "", True),
        ("Poster of Lisbon without any text", "", True),
        ("NO TEXT. a cube", "", True),
        ("a fox, text-free", "", True),
        ("一只狐狸，不要文字", "", True),
        ("一只狐狸，无字", "", True),
        ("a logo for a bakery", "", True),
        ("a fox", "text, watermark", True),
        ("a fox", "blurry，文字", True),
        ("a fox", "distorted text, textured", False),
        ("a laptop no letters on its keyboard", "", False),
        ("a fox with a text", "", False),
        ("a logo “Fox”, no text", "", False),
        ("一只狐狸", "", False),
    ],
)
def test_an_image_can_be_without_text(prompt: str, negative_prompt: str, expected: bool) -> None:
    """The prompt or the negative prompt rules text out, and no text is quoted."""
    assert is_textless(prompt, negative_prompt) is expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [("a poster", True), ("no title", False), ("without a headline", False), ("不要标题", False)],
)
def test_an_image_can_be_without_a_title(prompt: str, expected: bool) -> None:
    """Then no quoted text is made its title."""
    assert has_title(prompt) is expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("title in bold blue cartoon font", ["cartoon font"]),
        ("SUMMER in curved handwritten lettering", ["curved handwritten lettering"]),
        ("neon-style letters, Neon-style letters", ["neon-style letters"]),
        ("sans-serif font, bold font", []),
        ("a serif typeface on a gradient background", ["serif typeface", "gradient background"]),
        ("粗体卡通字体，竖排", ["卡通字体", "竖排"]),
        ("a cartoon of a script", []),
        (" ".join(f"{style} font" for style in ("pixel", "neon", "brush", "gothic", "comic")),
         ["pixel font", "neon font", "brush font", "gothic font"]),
    ],
)  # fmt: skip
def test_what_a_draft_cannot_show_is_known(prompt: str, expected: list[str]) -> None:
    """Lettering and backgrounds that a draft does not have are named once, at most four of them."""
    assert unshown(prompt) == expected
