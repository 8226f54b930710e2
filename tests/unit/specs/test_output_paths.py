"""Tests of output paths: default paths, and paths that clash."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.files.paths import clash_key, path_fault
from qwenbuild.specs.findings import Findings
from qwenbuild.specs.output_paths import no_records, settled
from qwenbuild.storage.lock_format import Pin
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
    assert "\n\nerror: a/house: 10 more problems like these\n" in text


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


def logos(values: Sequence[object]) -> dict[str, str]:
    """Return a spec whose cells have these values on the axis `lang`."""
    matrix = json.dumps(values, ensure_ascii=False)
    return {"specs/a.toml": f'[image.logo]\nprompt = "logo"\nmatrix.lang = {matrix}\n'}


def recorded(paths: dict[str, str]) -> dict[str, Pin]:
    """Return the lock's records of cells; `paths` are their paths by value of the axis `lang`."""
    return {path: Pin(path, f"a/logo[lang={lang}]", "0" * 64, "0" * 64, "m", 1) for lang, path in paths.items()}


@pytest.mark.parametrize(
    "values", [["C", "C++", "C#"], ["a=b", "a b"], ["①", "1"], ["日本", "日本!"], ["x.y", "X y"], [1.5, "1,5", "1.5!"]]
)
def test_of_values_with_one_slug_the_first_keeps_it(project: Workspace, values: list[object]) -> None:
    """The others get a digest: no two default paths clash on any file system."""
    outputs = [action.output for action in project.write(logos(values)).actions()]
    assert len({clash_key(path) for path in outputs}) == len(values)
    plain = [action.output for action in project.write(logos(values[:1])).actions()]
    assert outputs[:1] == plain


def test_a_recorded_default_path_stays(project: Workspace) -> None:
    """It stays if values are moved, if values with its slug are new, and if the value without a digest is gone."""

    def paths(values: list[str], lock: dict[str, str]) -> dict[str, str]:
        actions = project.write(logos(values)).actions(recorded(lock))
        return {str(action.values[0].value): action.output for action in actions}

    first = paths(["C", "C++", "C#"], {})
    assert first["C"] == "a/logo-c.png"
    assert paths(["C++", "C#", "C"], first) == first
    assert paths(["C", "C++", "C#"], {"C++": "a/logo-c.png"})["C++"] == "a/logo-c.png"
    del first["C"]
    assert paths(["C++", "C#"], first) == first
    new = paths(["C♯", "C++", "C#"], first)
    assert new == {"C♯": "a/logo-c.png", **first}


def test_default_paths_step_aside_for_other_images(project: Workspace) -> None:
    """The values of two axes, another image and an `output` of one's own can spell the same path."""
    project.write({"specs/a.toml": """
        [image.logo]
        prompt = "logo"
        [image.logo.matrix]
        one = ["a-b", "a"]
        two = ["c", "b-c"]
        [image.logo-a]
        prompt = "logo"
        matrix.two = "c"
        [image.own]
        prompt = "logo"
        output = "a/logo-a-c.png"
        """})  # fmt: skip
    outputs = [action.output for action in project.actions()]
    assert len(set(outputs)) == 6
    assert outputs[0] == "a/logo-a-b-c.png"
    assert outputs[5] == "a/logo-a-c.png"
    assert outputs[4].startswith("a/logo-a-c-")


@pytest.mark.parametrize("value", ["落霞与孤鹜齐飞秋水共长天一色" * 3, "\U00020000" * 59, "w " * 30, "ü" * 400])
def test_no_value_makes_a_default_path_too_long(project: Workspace, value: str) -> None:
    """Long values are cut, and get a digest. A seed stays readable."""
    project.write({"specs/a.toml": f"""
        [image.a-poster]
        prompt = "A house"
        [image.a-poster.matrix]
        one = "{value}"
        two = "{value}"
        three = ["{value}1", "{value}2"]
        four = "{value}"
        five = "{value}"
        seed = [7, 1234567]
        """})  # fmt: skip
    outputs = [action.output for action in project.actions()]
    assert len(set(outputs)) == 4
    assert [path_fault(path) for path in outputs] == [None] * 4
    assert [path.split("-")[-2] for path in outputs] == ["7", "1234567"] * 2


def test_a_long_name_of_an_image_is_cut(project: Workspace) -> None:
    """Its name alone may be longer than a path can be."""
    name = "图" * 200
    project.write({"specs/a.toml": f'[image."{name}"]\nprompt = "A house"\nmatrix.seed = [1, 2]\n'})
    outputs = [action.output for action in project.actions()]
    assert len(set(outputs)) == 2
    assert [path_fault(path) for path in outputs] == [None, None]


@pytest.mark.parametrize("own", ["", 'output = "a/logo-c-{{ other }}.png"\n'])
def test_only_changes_no_path(project: Workspace, own: str) -> None:
    """A cell keeps its path although the one that it stepped aside for is left out, of whichever image that is."""
    matrix = '[image.{}]\nprompt = "logo"\nmatrix = {{ lang = ["C", "C++", "a-b", "a"], other = ["c", "b-c"] }}\n'
    second = f'[image.logo-a]\nprompt = "logo"\n{own}matrix = {{ other = ["c", "b-c"] }}\n'
    images = matrix.format("logo") + second
    before = {(it.name, it.output, it.key) for it in project.write({"specs/a.toml": images}).actions()}
    assert sum("-1d980ce080" in path or path.count("-") > 3 for _, path, _ in before) > 1
    for lang, other in [(lang, other) for lang in ("C", "C++", "a-b", "a") for other in ("c", "b-c")]:
        only = f'[[image.logo.only]]\nlang = "{lang}"\nother = "{other}"\n'
        after = {(it.name, it.output, it.key) for it in project.write({"specs/a.toml": images + only}).actions()}
        assert len(after) == 3
        assert after < before


def test_only_keeps_recorded_paths(project: Workspace) -> None:
    """The lock may still know the cell that is left out, or no longer."""
    spec = logos(["C", "C++", "C#"])
    lock = {"C++": "a/logo-c.png"}
    first = {str(it.values[0].value): it.output for it in project.write(spec).actions(recorded(lock))}
    for lang, path in first.items():
        project.write({"specs/a.toml": f'{spec["specs/a.toml"]}only = [{{ lang = "{lang}" }}]\n'})
        for records in (recorded(first), recorded({lang: path}), recorded(lock)):
            assert [it.output for it in project.actions(records)] == [path]


@given(st.lists(st.text("aA-+ ①1.ﬁfi*[]é落\u0301", min_size=1, max_size=80).filter(str.strip), unique=True, max_size=8))
def test_distinct_values_have_distinct_paths(values: list[str]) -> None:
    """Whatever the values are, each cell has a path of its own that every file system takes."""
    pairs = [{"lang": value, "other": other} for value in values for other in values]
    spec = '[image.logo]\nprompt = "logo"\n'
    if pairs:
        spec += "".join(f"matrix.{axis} = {json.dumps(values)}\n" for axis in pairs[0])
    with TemporaryDirectory() as folder:
        project = Workspace(Path(folder)).write({"qwenbuild.toml": "", "specs/a.toml": spec})
        outputs = [action.output for action in project.actions()]
    assert len({clash_key(path) for path in outputs}) == max(1, len(pairs))
    assert not any(map(path_fault, outputs))


def test_nothing_is_copied_if_no_paths_clash(project: Workspace) -> None:
    """The usual case costs no work for each cell beyond the comparison."""
    actions = project.write(logos(["a", "b"])).actions()
    assert settled(actions, lambda _: [], no_records, Findings()) is actions
