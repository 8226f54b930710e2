"""The differences of two requests, in words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.plan.diff import is_same, pieces, summary
from qwenbuild.request import Request, Size

PUPPIES = Request("draft-1", "qwen-image-plus", "Three red puppies play.", "", Size(1328, 1328), 1, False, False, "a/b")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"prompt": "Three blue puppies play."}, "prompt changed: -red +blue"),
        ({"prompt": "Three puppies play."}, "prompt changed: -red"),
        ({"prompt": "Three red puppies play!"}, "prompt changed: -. +!"),
        ({"prompt": "Three  red puppies play."}, "prompt changed: white space"),
        ({"prompt": "Three red puppies play with six small balls today."},
         "prompt changed: +with +six +small +balls +1 more"),
        ({"prompt": "一起来玩球吧！"}, "prompt changed: -Three -red -puppies -play -1 more +一起来玩球吧 +！"),
        ({"negative_prompt": "blurry text"}, "negative prompt changed: +blurry +text"),
        ({"seed": 2}, "seed 1 -> 2"),
        ({"size": Size(1664, 928)}, "size 1328*1328 -> 1664*928"),
        ({"model": "qwen-image-max"}, "model qwen-image-plus -> qwen-image-max"),
        ({"watermark": True}, "watermark false -> true"),
        ({"prompt_extend": True}, "prompt extend false -> true"),
        ({"family": "draft-2"}, "provider draft-1 -> draft-2"),
        ({"seed": 2, "prompt": "Three blue puppies play."}, "prompt changed: -red +blue; seed 1 -> 2"),
        ({"seed": 2, "label": "a/c"}, "seed 1 -> 2"),
        ({"parameters": '{"style":"oil"}'}, 'parameter style added: "oil"'),
        ({"label": "a/c"}, "renamed from a/b"),
        ({"label": ""}, "renamed from a/b"),
        ({}, "key changed"),
    ],
)  # fmt: skip
def test_a_difference_in_words(changed: dict[str, Any], words: str) -> None:
    """Prompts differ in words, other fields in values; the order is that of the fields."""
    assert summary(PUPPIES.as_dict(), PUPPIES._replace(**changed).as_dict()) == words


def test_parameters_differ_by_name() -> None:
    """Each parameter is told on its own; a long value is cut, and a damaged record has none."""
    old = {**PUPPIES.as_dict(), "parameters": {"enhance": True, "level": 1, "same": [1]}}
    new = {**PUPPIES.as_dict(), "parameters": {"enhance": False, "more": ["x" * 90], "same": [1]}}
    assert summary(old, new) == (
        f'parameter enhance changed: true -> false; parameter more added: ["{"x" * 57}…; parameter level removed, was 1'
    )
    assert summary({**old, "parameters": "?"}, {**old, "parameters": {"a": 1}}) == "parameter a added: 1"


def test_long_parameters_differ_wherever_they_do() -> None:
    """Whole values are compared; if what is shown of both is the same, only the name is told."""
    old, new, third = ({**PUPPIES.as_dict(), "parameters": {"a": f"{b}{'x' * 90}{e}"}} for b, e in ("_1", "_2", "-2"))
    assert (summary(old, new), summary(old, old)) == ("parameter a changed", "key changed")
    assert summary(new, third) == f'parameter a changed: "_{"x" * 57}… -> "-{"x" * 57}…'


def test_a_field_that_only_one_side_has() -> None:
    """A field that only an older request has is shown."""
    old = {**PUPPIES.as_dict(), "style": "oil"}
    assert summary(old, PUPPIES.as_dict()) == "style oil -> none"


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_two_prompts_have_a_difference(one: str, other: str) -> None:
    """Any two different prompts have a short, non-empty difference."""
    words = summary(PUPPIES._replace(prompt=one).as_dict(), PUPPIES._replace(prompt=other).as_dict())
    assert words == "key changed" if one == other else words.startswith("prompt changed: ")
    assert len(words.split(" ")) <= 2 + 2 * 6


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("a red dog", "a blue dog", [(" ", "a "), ("-", "red"), ("+", "blue"), (" ", " dog")]),
        ("一起玩球吧", "一起踢球吧", [(" ", "一起"), ("-", "玩"), ("+", "踢"), (" ", "球吧")]),
        ("", "a", [("+", "a")]),
        ("a", "a", [(" ", "a")]),
        ("a b " * 9000, "b", [("-", "a b " * 9000), ("+", "b")]),  # too long for any service: not compared by words
    ],
    ids=["words", "characters", "new", "same", "huge"],
)
def test_word_by_word(old: str, new: str, found: list[tuple[str, str]]) -> None:
    """Removed and added texts stand in their places, in scripts without spaces too."""
    assert pieces(old, new) == found


@given(st.text(max_size=40), st.text(max_size=40))
def test_pieces_make_up_both_texts(old: str, new: str) -> None:
    """Unchanged and removed pieces make up the old text; unchanged and added pieces the new one."""
    found = pieces(old, new)
    assert "".join(text for sign, text in found if sign != "+") == old
    assert "".join(text for sign, text in found if sign != "-") == new


def test_requests_are_the_same_whoever_answered() -> None:
    """A record says which emulator answered; this is no difference of the requests."""
    emulated = {"prompt": "a cat", "emulated_by": "http://127.0.0.1:8123"}
    assert is_same(emulated, {"prompt": "a cat"})
    assert not is_same(emulated, {"prompt": "a dog"})
    assert summary(emulated, {"prompt": "a dog"}) == "prompt changed: -cat +dog"
    by = "the emulator at http://127.0.0.1:8123"
    assert summary(emulated, {"prompt": "a cat"}) == f"made by the service, not by {by}"
    assert summary({"prompt": "a cat"}, emulated) == f"made by {by}, not by the service"
