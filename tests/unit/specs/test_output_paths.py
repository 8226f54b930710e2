"""Tests of output paths: default paths, and paths that clash."""

from __future__ import annotations

import pytest

from tests.support.workspace import Workspace

HOUSE = '[image.house]\nprompt = "A house"\n'


def test_default_outputs_name_every_axis(project: Workspace) -> None:
    """Each axis gives a short slug, with a digest if the text was cut or has no letters."""
    project.write(
        {
            "specs/a.toml": """
        [image.plain]
        prompt = "A house"
        [image.axes]
        prompt = "A house"
        [image.axes.matrix]
        mood = ["Calm & Warm!", "★", "一起来玩球吧！",
                "A text that goes on and on, beyond what the part of a path may hold"]
        size = "16:9"
        seed = [7]
        flag = true
        ratio_ = 1.5
        """
        }
    )
    assert [action.output for action in project.actions()] == [
        "a/plain.png",
        "a/axes-calm-warm-1664x928-7-true-1.5.png",
        "a/axes-26c57b08-1664x928-7-true-1.5.png",
        "a/axes-一起来玩球吧-1664x928-7-true-1.5.png",
        "a/axes-a-text-that-goes-on-and-on-beyond-what-the-part-cd2b9061-1664x928-7-true-1.5.png",
    ]


def test_clashes_are_counted_beyond_ten(project: Workspace) -> None:
    """An output that omits an axis is one mistake, not thousands."""
    project.write({"specs/a.toml": HOUSE + 'output = "house.png"\nmatrix.seed = { start = 1, count = 500 }\n'})
    text = project.complaint()
    assert text.count("error: two cells have the same output: house.png") == 1
    project.write({"specs/a.toml": HOUSE + 'output = "{{ n % 20 }}.png"\nmatrix.n = { start = 0, count = 60 }\n'})
    text = project.complaint()
    assert text.count("error: two cells") == 10
    assert text.endswith("\n\nerror: a/house: 10 more problems like these")


@pytest.mark.parametrize("first", ["x.png", "x.png/y.png"])
def test_a_file_can_not_be_a_folder(project: Workspace, first: str) -> None:
    """The clash is found whichever of the two paths comes first."""
    second = "x.png/y.png" if first == "x.png" else "x.png"
    project.write({"specs/a.toml": f'[image.a]\nprompt = "A"\noutput = "{first}"\n'
                                   f'[image.b]\nprompt = "B"\noutput = "{second}"\n'})  # fmt: skip
    lines = project.complaint().splitlines()
    assert lines[0] == f"error: two cells have outputs of which one is a folder of the other: {second}"
    assert lines[5:7] == ["  = a/a", "  = a/b"]
