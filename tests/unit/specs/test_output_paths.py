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


def test_clashes_are_counted_beyond_twenty(project: Workspace) -> None:
    """An output that omits an axis is one mistake, not thousands."""
    project.write({"specs/a.toml": HOUSE + 'output = "house.png"\nmatrix.seed = { start = 1, count = 500 }\n'})
    text = project.complaint()
    assert text.count("error: two cells have the same output: house.png") == 1
    project.write({"specs/a.toml": HOUSE + 'output = "{{ n % 30 }}.png"\nmatrix.n = { start = 0, count = 90 }\n'})
    text = project.complaint()
    assert text.count("error: two cells") == 20
    assert text.endswith("\n\nerror: a/house: 10 more problems like these")


@pytest.mark.parametrize("first", ["x.png", "x.png/y.png"])
def test_a_file_can_not_be_a_folder(project: Workspace, first: str) -> None:
    """The clash is found whichever of the two paths comes first."""
    second = "x.png/y.png" if first == "x.png" else "x.png"
    project.write({"specs/a.toml": f'[image.a]\nprompt = "A"\noutput = "{first}"\n'
                                   f'[image.b]\nprompt = "B"\noutput = "{second}"\n'})  # fmt: skip
    lines = project.complaint().splitlines()
    assert lines[0] == f"error: two cells have outputs of which one is a folder of the other: {second}"
    assert lines[5:7] == [f"  = a/a: {first}", f"  = a/b: {second}"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ⅷ", "VIII"), ("ﬁ", "fi"), ("é", "e\u0301"), ("straße", "STRASSE"), ("Case", "case"), ("K", "\u212a"),
        ("1\ufe0f\u20e3", "1\u20e3"), ("①", "1"),
    ],
)  # fmt: skip
def test_names_that_a_file_system_folds_are_refused(project: Workspace, one: str, other: str) -> None:
    """Both as files and as folders: on such a file system, one image would replace the other."""
    for output in ("{}.png", "deep/{}/{}.png"):
        outputs = [output.replace("{}", one), output.replace("{}", other)]
        images = [f'[image.i{number}]\nprompt = "A"\noutput = "{it}"\n' for number, it in enumerate(outputs)]
        text = project.write({"specs/a.toml": "".join(images)}).complaint()
        assert text.startswith(f"error: two cells have outputs that some file systems can't tell apart: {outputs[1]}")
        assert f"= a/i0: {outputs[0]}\n" in text


@pytest.mark.parametrize(("one", "other"), [("dir", "DIR"), ("Ⅷ", "VIII"), ("a/b/Dir/e", "a/b/dir/f"), ("x", "X/y")])
def test_a_folder_is_spelled_in_one_way(project: Workspace, one: str, other: str) -> None:
    """Where a file system folds the two, an orphan of one spelling would be another cell's file."""
    outputs = [f"{one}/1.png", f"{one}/2.png", f"{other}/3.png", f"{one}/4.png"]
    images = [f'[image.i{number}]\nprompt = "A"\noutput = "{it}"\n' for number, it in enumerate(outputs)]
    text = project.write({"specs/a.toml": "".join(images)}).complaint()
    assert text.count("error: ") == 1
    assert text.startswith(f"error: two cells have folders that some file systems can't tell apart: {other}/3.png\n")
    assert f"= a/i0: {one}/1.png\n" in text


def test_paths_that_only_look_alike_are_told_apart(project: Workspace) -> None:
    """No file system takes a Cyrillic letter for a Latin one."""
    project.write({"specs/a.toml": '[image.i]\nprompt = "A"\nmatrix.x = ["a", "а", "ı", "i", "l", "1"]\n'})
    assert len({action.output for action in project.actions()}) == 6
