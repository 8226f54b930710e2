"""Candidates: what a list of tasks proves, and what it does not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.candidates import Candidate, Likeness, Search, likeness


def candidate(name: str, kind: Likeness = Likeness.SAME, rivals: int = 0) -> Candidate:
    return Candidate(f"task:{name}", name, "SUCCEEDED", 1.0, "a cat", kind, rivals)


@pytest.mark.parametrize(
    ("reported", "prompt", "expected"),
    [
        ("a cat", "a cat", "same"),
        (" a cat\n", "a cat", "same"),
        ("", "a cat", "hidden"),
        (" \n", "a cat", "hidden"),
        ("a dog", "a cat", "different"),
        ("A  Cat", "a cat", "unclear"),
        ('a "cat"', "a “cat”", "unclear"),
        ("a cat on a", "a cat on a mat", "unclear"),
        ("a cat", "a cat, seed 2", "unclear"),
        ("a cat, seed 2", "a cat", "different"),
        ("ｃａｔ", "cat", "unclear"),
        ("一只猫", "一只狗", "different"),
        ("一只猫", "一只猫", "same"),
        ("🐱", "🐶", "unclear"),
    ],
)
def test_likeness(reported: str, prompt: str, expected: str) -> None:
    """Only letters and digits can make prompts different; a cut prompt may be the same."""
    assert likeness(reported, prompt) == expected


@given(st.text(), st.data())
def test_a_prompt_that_a_service_has_cut_is_never_different(prompt: str, data: st.DataObject) -> None:
    """Neither if white space around it is removed."""
    cut = prompt[: data.draw(st.integers(0, len(prompt)))].strip()
    assert likeness(cut, prompt) is not Likeness.DIFFERENT


def test_only_one_whole_list_without_an_unexplained_task_proves_that_nothing_was_billed() -> None:
    """It must also be read late enough."""
    other = candidate("b", Likeness.DIFFERENT)
    assert Search(700.0, 660.0, True, (other,)).is_not_billed
    assert not Search(659.0, 660.0, True).is_not_billed
    assert not Search(700.0, 660.0, False).is_not_billed
    for kind in (Likeness.SAME, Likeness.UNCLEAR, Likeness.HIDDEN):
        assert not Search(700.0, 660.0, True, (other, candidate("a", kind))).is_not_billed


def test_one_finished_task_with_the_same_prompt_is_certain() -> None:
    """Unless another one may be the task, another submission may have made it, or the list is not whole."""
    mine, other = candidate("a"), candidate("b", Likeness.DIFFERENT)
    assert Search(1.0, 660.0, True, (other, mine)).certain == mine
    assert Search(1.0, 660.0, False, (mine,)).certain is None
    assert Search(1.0, 660.0, True, (candidate("a", rivals=1),)).certain is None
    for kind in (Likeness.SAME, Likeness.UNCLEAR, Likeness.HIDDEN):
        assert Search(1.0, 660.0, True, (mine, candidate("c", kind))).certain is None
    assert Search(1.0, 660.0, True, (candidate("a", Likeness.UNCLEAR),)).certain is None
    assert Search(1.0, 660.0, True, (other,)).certain is None


def test_a_search_survives_json() -> None:
    """The ledger keeps it as text."""
    search = Search(1.5, 661.5, True, (candidate("a"), candidate("b", Likeness.HIDDEN, 2)))
    assert Search.from_dict(json.loads(json.dumps(search.as_dict()))) == search
