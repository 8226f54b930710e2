"""Tests of the matrix: its cells against a simple reference, and counting without expanding."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.errors import ProjectError
from qwenbuild.request import Size
from qwenbuild.specs import matrix
from qwenbuild.specs.declaration import Declaration
from qwenbuild.specs.matrix import Cells
from tests.support.workspace import Workspace

Cell = dict[str, Any]


def declared(folder: Path, image: dict[str, Any]) -> Declaration:
    table = {"image": {"a": {"prompt": "A house", **image}}}
    [found] = Workspace(folder).write({"qwenbuild.toml": "", "specs/s.toml": tomli_w.dumps(table)}).declarations()
    return found


def cells(declaration: Declaration) -> list[Cell]:
    """Return each cell's values by axis."""
    found = Cells(declaration)
    return [dict(zip(declaration.axes, (item.value for item in items), strict=True)) for items, _ in found]


# --- the reference: product less exclude plus include, of which only leaves some ---


def reference(axes: dict[str, list[Any]], exclude: list[Cell], include: list[Cell], only: list[Cell]) -> Iterator[Cell]:
    for values in itertools.product(*axes.values()):
        cell = dict(zip(axes, values, strict=True))
        if not _matches(cell, exclude) and (not only or _matches(cell, only)):
            yield cell
    yield from (cell for cell in include if not only or _matches(cell, only))


def _matches(cell: Cell, rules: list[Cell]) -> bool:
    return any(all(cell[axis] == value for axis, value in rule.items()) for rule in rules)


# Texts hold no digits, and 0 and 1 are missing: so no two values are equal in Python or share a label.
_VALUES = st.lists(
    st.sampled_from(["red", "blue", "a, b", "é猫", 'so "so"', " x "]) | st.integers(2, 30) | st.booleans(),
    min_size=1,
    max_size=4,
    unique=True,
)


@st.composite
def _matrices(draw: st.DrawFn) -> tuple[dict[str, list[Any]], list[Cell], list[Cell], list[Cell]]:
    """Return axes, exclusions of some values, included cells with known and new values, and entries of `only`."""
    names = draw(st.lists(st.sampled_from(["mood", "n", "flag", "stil", "größe"]), min_size=1, max_size=4, unique=True))
    axes = {name: draw(_VALUES) for name in names}
    rules = st.fixed_dictionaries({}, optional={name: st.sampled_from(axes[name]) for name in names}).filter(bool)
    exclude = draw(st.lists(rules, max_size=3))
    new = st.fixed_dictionaries({name: st.sampled_from([*axes[name], "new", 99]) for name in names})
    kept, include = list(reference(axes, exclude, [], [])), []
    for cell in draw(st.lists(new, max_size=3)):
        if cell not in kept and cell not in include:
            include.append(cell)
    return axes, exclude, include, draw(st.lists(rules, max_size=3))


@given(_matrices())
def test_cells_are_those_of_the_reference(
    drawn: tuple[dict[str, list[Any]], list[Cell], list[Cell], list[Cell]],
) -> None:
    """The cells equal those of the reference, in the same order, and `count` gives their number."""
    axes, exclude, include, only = drawn
    expected = list(reference(axes, exclude, include, only))
    image = {"matrix": axes, "exclude": exclude, "include": include, "only": only}
    with tempfile.TemporaryDirectory() as folder:
        declaration = declared(Path(folder), image)
    most = math.prod(map(len, axes.values())) + len(include)
    assert (len(expected) <= declaration.cells <= most) if only else declaration.cells == most
    if not expected:
        with pytest.raises(ProjectError, match="`only` leaves out every cell" if only else "every cell is excluded"):
            cells(declaration)
        return
    assert cells(declaration) == expected
    assert matrix.count(declaration) == len(expected)


# --- values ---


def test_an_image_without_a_matrix_is_one_cell(tmp_path: Path) -> None:
    """Its only cell has no values."""
    declaration = declared(tmp_path, {})
    assert (cells(declaration), declaration.cells, declaration.name) == ([{}], 1, "s/a")


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ({"start": 1, "count": 4}, [1, 2, 3, 4]),
        ({"count": 3}, [0, 1, 2]),
        ({"start": 10, "count": 3, "step": -5}, [10, 5, 0]),
        ([3, 1, 2], [3, 1, 2]),
        (7, [7]),
        ("one", ["one"]),
        (True, [True]),
        (1.5, [1.5]),
    ],
)
def test_an_axis_is_a_list_a_range_or_one_value(tmp_path: Path, axis: object, values: list[object]) -> None:
    """The values keep their order."""
    assert [cell["n"] for cell in cells(declared(tmp_path, {"matrix": {"n": axis}}))] == values


def test_a_ratio_is_the_size_of_each_model(tmp_path: Path) -> None:
    """A ratio is resolved for the cell's model, also if the axis `size` comes before `model`."""
    image = {"matrix": {"size": ["16:9"], "model": ["qwen-image-plus", "qwen-image-2.0"]}}
    assert cells(declared(tmp_path, image)) == [
        {"size": Size(1664, 928), "model": "qwen-image-plus"},
        {"size": Size(2688, 1536), "model": "qwen-image-2.0"},
    ]


@pytest.mark.parametrize("spelling", ["16:9", "1664*928", "1664x928"])
def test_sizes_are_excluded_and_included_by_any_spelling(tmp_path: Path, spelling: str) -> None:
    """A rule applies to the size, not to its spelling."""
    image = {"matrix": {"size": ["1:1", "1664x928"]}, "exclude": [{"size": spelling}]}
    assert cells(declared(tmp_path, image)) == [{"size": Size(1328, 1328)}]
    assert cells(declared(tmp_path, {**image, "include": [{"size": spelling}]})) == [
        {"size": Size(1328, 1328)},
        {"size": Size(1664, 928)},
    ]


def test_an_excluded_ratio_is_the_size_of_each_model(tmp_path: Path) -> None:
    """An exclusion by ratio applies to each model's own size of this ratio."""
    image = {"matrix": {"model": ["qwen-image-plus", "qwen-image-2.0"], "size": ["1:1", "16:9"]},
             "exclude": [{"size": "16:9", "model": "qwen-image-2.0"}, {"size": "1328*1328"}]}  # fmt: skip
    assert [(cell["model"], str(cell["size"])) for cell in cells(declared(tmp_path, image))] == [
        ("qwen-image-plus", "1664x928"),
        ("qwen-image-2.0", "2048x2048"),
    ]


def test_included_rows_are_known_by_id_or_given_whole(tmp_path: Path) -> None:
    """An id stands for the row of the axis; a table is a new row."""
    image = {"matrix": {"n": [1], "copy": [{"id": "en", "t": "x"}, {"id": "zh", "t": "y"}]},
             "include": [{"n": 2, "copy": "zh"}, {"n": 2, "copy": {"id": "fr", "t": "z"}}]}  # fmt: skip
    found = cells(declared(tmp_path, image))[2:]
    assert [(cell["n"], str(cell["copy"]), cell["copy"]["t"]) for cell in found] == [(2, "zh", "y"), (2, "fr", "z")]


def test_an_axis_may_mix_rows_and_values(tmp_path: Path) -> None:
    """An included value that is a row's id stands for this row."""
    image = {"matrix": {"n": [1], "copy": ["plain", {"id": "en", "t": "x"}]},
             "include": [{"n": 2, "copy": "en"}, {"n": 2, "copy": "other"}]}  # fmt: skip
    assert [cell["copy"] for cell in cells(declared(tmp_path, image))] == ["plain", {"id": "en", "t": "x"},
                                                                           {"id": "en", "t": "x"}, "other"]  # fmt: skip


# --- only ---


@pytest.mark.parametrize("spelling", ["16:9", "1664*928", "1664x928"])
def test_only_takes_sizes_in_any_spelling(tmp_path: Path, spelling: str) -> None:
    """Of the matrix, and of what is included."""
    image = {"matrix": {"size": ["1:1", "1664x928"], "n": [1]}, "include": [{"size": "16:9", "n": 2}]}
    assert cells(declared(tmp_path, {**image, "only": [{"size": spelling}]})) == [
        {"size": Size(1664, 928), "n": 1},
        {"size": Size(1664, 928), "n": 2},
    ]


def test_a_ratio_of_only_is_the_size_of_each_model(tmp_path: Path) -> None:
    """An included model that the axis does not have has its own size, too."""
    image = {"matrix": {"model": ["qwen-image-plus", "qwen-image-2.0"], "size": ["1:1", "16:9"]},
             "include": [{"model": "qwen-image", "size": "16:9"}, {"model": "qwen-image", "size": "1:1"}],
             "only": [{"size": "16:9"}, {"model": "qwen-image-2.0", "size": "2048*2048"}]}  # fmt: skip
    assert [(cell["model"], str(cell["size"])) for cell in cells(declared(tmp_path, image))] == [
        ("qwen-image-plus", "1664x928"),
        ("qwen-image-2.0", "2048x2048"),
        ("qwen-image-2.0", "2688x1536"),
        ("qwen-image", "1664x928"),
    ]


def test_only_where_a_template_chooses_the_model(project: Workspace) -> None:
    """Each cell is compared by the size that its own model has."""
    project.write({"specs/a.toml": """
        [image.x]
        prompt = "A"
        model = "{{ 'qwen-image-2.0' if fine else 'qwen-image-plus' }}"
        matrix = { n = [1, 2], fine = [false, true], size = ["1:1", "16:9"] }
        only = [{ size = "2688x1536" }, { n = 2, size = "1:1" }, { n = 1, size = "1328*1328" }]
        """})  # fmt: skip
    assert [(it.name, it.model.name) for it in project.actions()] == [
        ("a/x[fine=false,n=1,size=1328x1328]", "qwen-image-plus"),
        ("a/x[fine=true,n=1,size=2688x1536]", "qwen-image-2.0"),
        ("a/x[fine=false,n=2,size=1328x1328]", "qwen-image-plus"),
        ("a/x[fine=true,n=2,size=2048x2048]", "qwen-image-2.0"),
        ("a/x[fine=true,n=2,size=2688x1536]", "qwen-image-2.0"),
    ]


def test_names_of_axes_are_one_in_all_forms_of_unicode(tmp_path: Path) -> None:
    """An entry may spell the axis in the other form."""
    image = {"matrix": {"gr\u00f6\u00dfe": [1, 2]}, "only": [{"gro\u0308\u00dfe": 2}]}
    assert cells(declared(tmp_path, image)) == [{"gr\u00f6\u00dfe": 2}]


# --- includes without a matrix ---


def test_an_image_without_a_matrix_may_be_its_includes(project: Workspace) -> None:
    """The includes are all its cells. Its axes are those that they name, in the order of the first one."""
    project.write({"specs/a.toml": """
        [image.x]
        prompt = "{{ copy.title or copy }} {{ mood }}"
        include = [
          { size = "16:9", seed = 7, mood = "calm", copy = { title = "one" } },
          { seed = 8, size = "4:3", mood = "loud", copy = { title = "two" } },
          { seed = 8, size = "4:3", mood = "calm", copy = { id = "en", title = "three" } },
          { seed = 9, size = "4:3", mood = "calm", copy = "en" },
        ]
        """})  # fmt: skip
    assert [(it.name, it.output, it.request.prompt) for it in project.actions()] == [
        ("a/x[copy=1,mood=calm,seed=7,size=1664x928]", "a/x-1664x928-7-calm-1.png", "one calm"),
        ("a/x[copy=2,mood=loud,seed=8,size=1472x1104]", "a/x-1472x1104-8-loud-2.png", "two loud"),
        ("a/x[copy=en,mood=calm,seed=8,size=1472x1104]", "a/x-1472x1104-8-calm-en.png", "three calm"),
        ("a/x[copy=en,mood=calm,seed=9,size=1472x1104]", "a/x-1472x1104-9-calm-en.png", "three calm"),
    ]
    [declaration] = project.declarations()
    assert (declaration.cells, matrix.count(declaration)) == (4, 4)
    assert [str(declaration.written["mood"].place(at)) for at in range(2)] == ["specs/a.toml:5:45", "specs/a.toml:6:44"]


def test_an_include_may_choose_the_model(project: Workspace) -> None:
    """By an axis, and by a template."""
    project.write({"specs/a.toml": """
        [image.x]
        prompt = "A"
        include = [{ model = "qwen-image-2.0", size = "16:9" }, { model = "qwen-image-plus", size = "16:9" }]
        [image.y]
        prompt = "A"
        model = "{{ m }}"
        include = [{ m = "qwen-image-2.0", size = "16:9" }]
        """})  # fmt: skip
    assert [str(it.size) for it in project.actions()] == ["2688x1536", "1664x928", "2688x1536"]


# --- size is known before work is done ---


@pytest.mark.parametrize("zeros", [12, 30])
def test_a_matrix_of_any_size_is_counted_and_not_expanded(tmp_path: Path, zeros: int) -> None:
    """The axes stay ranges, and the count is exact, for 10**12 cells and for 10**30."""
    third = 10 ** (zeros // 3)
    axis = {"start": 0, "count": third}
    declaration = declared(tmp_path, {"matrix": {"a": axis, "b": axis, "seed": axis}})
    assert declaration.cells == 10**zeros
    assert matrix.count(declaration) == 10**zeros
    assert [type(values) for values in declaration.axes.values()] == [range] * 3


def test_a_huge_matrix_with_exclusions_is_counted_before_them(tmp_path: Path) -> None:
    """Only up to a million combinations are made to count them exactly."""
    small = {"matrix": {"n": {"start": 0, "count": 1000}, "m": ["x", "y"]}, "exclude": [{"m": "x"}]}
    assert matrix.count(declared(tmp_path, small)) == 1000
    huge = {"matrix": {"n": {"start": 0, "count": 10**12}, "m": ["x", "y"]}, "exclude": [{"m": "x"}]}
    assert matrix.count(declared(tmp_path, huge)) == 2 * 10**12


def test_what_only_leaves_of_a_huge_matrix_is_counted(tmp_path: Path) -> None:
    """Each entry gives at most the product of the axes that it does not name. These cells are counted exactly."""
    axis = {"start": 0, "count": 10**5}
    image = {"matrix": {"a": axis, "b": axis, "c": [1, 2, 3]}, "include": [{"a": -1, "b": -1, "c": 1}]}
    few = declared(tmp_path, {**image, "only": [{"a": 7, "b": 8}, {"a": 7, "b": 9, "c": 2}, {"b": 8, "c": 1, "a": 7}]})
    assert (few.cells, matrix.count(few)) == (1 + 3 + 1 + 1, 4)
    many = declared(tmp_path, {**image, "only": [{"c": 1}]})
    assert (many.cells, matrix.count(many)) == (1 + 10**10, 1 + 10**10)


def test_a_range_longer_than_a_machine_word(tmp_path: Path) -> None:
    """`len` can't count this many cells."""
    declaration = declared(tmp_path, {"matrix": {"n": {"start": 0, "count": 2**63 - 1, "step": -3}, "m": [1, 2]}})
    assert declaration.cells == 2**64 - 2


def test_counting_ignores_mistakes(tmp_path: Path) -> None:
    """Expansion reports the mistakes of a matrix."""
    declaration = declared(tmp_path, {"matrix": {"size": ["1:1", "17:9"]}, "exclude": [{"size": "1:1"}]})
    assert matrix.count(declaration) == 2


def test_cells_are_made_one_after_another(tmp_path: Path) -> None:
    """The first cell of a billion is made without the others."""
    declaration = declared(tmp_path, {"matrix": {"a": {"count": 1000}, "b": {"count": 1000}, "c": {"count": 1000}}})
    first = next(iter(Cells(declaration)))
    assert [item.value for item in first[0]] == [0, 0, 0]
