"""Tests of the texts of prompts: quoted texts, their parts and colours, and the picture's description."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.providers.draft.colour_words import colours
from qwenbuild.providers.draft.positions import Horizontal, Spot, Vertical
from qwenbuild.providers.draft.prompt_texts import Part, Text, picture_description, texts
from qwenbuild.providers.draft.wishes import has_title, is_textless
from tests.support.drafts import CHINESE, ENGLISH, PROMPTS

TOP, BOTTOM = Spot(Vertical.TOP), Spot(Vertical.BOTTOM)


def parts(prompt: str) -> list[tuple[str, str]]:
    return [(text.part.value, text.text) for text in texts(prompt)]


def test_the_references_poster_is_read() -> None:
    """Title, subtitle, bubble and footer are recognised, with the colours of their fonts."""
    blue, green = colours("blue")[0], colours("green")[0]
    assert texts(ENGLISH) == [
        Text("Come Play Ball!", Part.HEADLINE, blue, spot=TOP),
        Text("Come [Show Off Your Skills]!", Part.SUBTITLE, green),
        Text("Hehe, watch me amaze my little friends next!", Part.BUBBLE),
        Text("We get to play ball with our friends again!", Part.FOOTER, spot=BOTTOM),
    ]


def test_the_references_poster_is_read_in_chinese() -> None:
    """The Chinese poster gives the same parts and colours."""
    blue, green = colours("blue")[0], colours("green")[0]
    assert texts(CHINESE) == [
        Text("一起来玩球吧！", Part.HEADLINE, blue, spot=TOP),
        Text("快来【秀出你的本领】！", Part.SUBTITLE, green),
        Text("嘿嘿，接下来看我惊艳小伙伴们！", Part.BUBBLE),
        Text("我们又可以和好朋友一起玩球啦！", Part.FOOTER, spot=BOTTOM),
    ]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a sign: “Tea”", ["Tea"]),
        ('a sign: "Tea"', ["Tea"]),
        ("a sign: ‘Tea’", ["Tea"]),
        ("a sign: 'Tea'", ["Tea"]),
        ("ein Schild: „Tee“", ["Tee"]),
        ("znak: „Herbata”", ["Herbata"]),
        ("un panneau : « Thé »", ["Thé"]),
        ("招牌写着“茶”", ["茶"]),
        ("招牌写着‘茶’字", ["茶"]),
        ("招牌写着「茶」", ["茶"]),
        ("招牌写着『茶』", ["茶"]),
        ("书名《茶经》", ["茶经"]),
        ('招牌写着"茶"', ["茶"]),
        ("a sign: “Don’t stop”", ["Don’t stop"]),
        ("a sign: ‘Don’t stop’", ["Don’t stop"]),
        ("a sign: 'Don't stop'", ["Don't stop"]),
        ("a sign: “the ‘best’ tea”", ["the ‘best’ tea"]),
        ("“One” and “Two” and “Three”", ["One", "Two", "Three"]),
        ("a sign: “\n  Green\n  Tea  ”", ["Green Tea"]),
    ],
)
def test_quotes_are_found(prompt: str, expected: list[str]) -> None:
    """Texts in every kind of quotation marks are found, in order."""
    assert [text.text for text in texts(prompt) if text.quoted] == expected


@pytest.mark.parametrize(
    "prompt",
    [
        "the puppies' ball and the dogs' bones",
        "it's a dog's life",
        "the puppies’ ball and the dogs’ bones",
        "it’s a dog’s life",
        'a 5" pipe beside a 6" pipe',
        'an unbalanced " mark',
        "empty “” and ‘ ’ marks",
        "rock'n'roll",
    ],
)
def test_other_marks_quote_nothing(prompt: str) -> None:
    """Apostrophes, inches, empty and single marks are not quotations."""
    assert [text for text in texts(prompt) if text.quoted] == []


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ('"G I G G L E" painted on a wall', [("headline", "G I G G L E")]),
        ('A green sign that says "Very Deep Learning"', [("headline", "Very Deep Learning")]),
        ("The subtitle “b” under the title “a”", [("subtitle", "b"), ("headline", "a")]),
        ("“a” as the headline. “b” as tagline", [("headline", "a"), ("subtitle", "b")]),
        ("Title “a”. Title “b”", [("headline", "a"), ("subtitle", "b")]),
        ("Headline “a”, “b”, at the bottom “c”", [("headline", "a"), ("body", "b"), ("footer", "c")]),
        ("Title “a”. A round badge reads “b”. A button “c”", [("headline", "a"), ("badge", "b"), ("badge", "c")]),
        ("标题“甲”，按钮上写着“乙”，底部小字“丙”", [("headline", "甲"), ("badge", "乙"), ("footer", "丙")]),
        ("見出し「甲」、副題「乙」", [("headline", "甲"), ("subtitle", "乙")]),
        ("제목 “가”, 하단 “나”", [("headline", "가"), ("footer", "나")]),
    ],
)
def test_cues_give_the_parts(prompt: str, expected: list[tuple[str, str]]) -> None:
    """The cue before a text decides its part, else the cue after it in its clause. One text is the headline."""
    assert parts(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("bond", ["Bond"]),
        ("iPhone on a desk", ["iPhone on a desk"]),
        ("flat drawing of a fox, orange", ["Flat drawing of a fox", "Orange"]),
        ("flat drawing of a fox, no text", []),
        ("flat icon of a fox, orange", []),
        ("一只坐着的橘黄色的猫，表情愉悦。", ["一只坐着的橘黄色的猫", "表情愉悦。"]),
        ("", []),
        (" \n", []),
    ],
)
def test_a_prompt_without_quotes_is_its_own_text(prompt: str, expected: list[str]) -> None:
    """Its opening words are the headline, the rest is the body."""
    assert [text.text for text in texts(prompt)] == expected


def test_a_long_opening_ends_between_words() -> None:
    """A prompt without punctuation is split after a word, and nothing is lost."""
    head, body = texts("word " * 40)
    assert (head.text, body.text) == (" ".join(["Word", *["word"] * 17]), " ".join(["Word", *["word"] * 21]))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("A cup of tea. On a table. The headline “Tea” is large.", "A cup of tea. On a table."),
        ('A sign that says "Tea" by a road. Sunny.', 'A sign that says "Tea" by a road.'),
        ("一杯茶。标题“茶”。", "一杯茶。"),
        ("“Tea”", "“Tea”"),
    ],
)
def test_the_picture_is_described_before_the_texts(prompt: str, expected: str) -> None:
    """The description is the sentences before the quoted texts, else the first sentence."""
    assert picture_description(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a poster, no title, a badge “New”", [("badge", "New")]),
        ("a poster without a headline, badge “New”, “Sale”", [("badge", "New"), ("body", "Sale")]),
        ("a poster, no title, the title “New”", [("headline", "New")]),
        ("a poster, badge “New”", [("headline", "New")]),
        ("a poster, no other text, “New”", [("headline", "New")]),
    ],
)
def test_a_prompt_without_a_title_has_none(prompt: str, expected: list[tuple[str, str]]) -> None:
    """Else the likeliest text is the headline."""
    assert parts(prompt) == expected


def test_the_negative_prompt_can_rule_text_out() -> None:
    """It must name text as such: "distorted text" rules out only bad text. Quoted texts are wanted all the same."""
    assert texts("a fox", "blurry, text, watermark") == []
    assert [text.text for text in texts("a fox", "blurry, distorted text")] == ["A fox"]
    assert [text.text for text in texts("a sign “Fox”", "text")] == ["Fox"]


def test_each_text_has_its_place() -> None:
    """What places one text does not place the next one, and an item's text stands with its title."""
    prompt = "Upper left: “Tea” + leaf icon + text “green”. “Cake” at the bottom, “Soup”"
    left, bottom = Spot(Vertical.TOP, Horizontal.LEFT), BOTTOM
    assert [(text.text, text.spot) for text in texts(prompt)] == [
        ("Tea", left), ("green", left), ("Cake", bottom), ("Soup", Spot()),
    ]  # fmt: skip


@given(st.text() | st.sampled_from(PROMPTS))
def test_any_prompt_has_at_most_one_headline(prompt: str) -> None:
    """A prompt has one headline, unless it is blank or wants no title or no text; and no text is blank."""
    found = texts(prompt)
    wanted = bool(prompt.split()) and not is_textless(prompt) and has_title(prompt)
    assert [text.part for text in found].count(Part.HEADLINE) == (1 if wanted else 0)
    assert all(text.text.strip() for text in found)
