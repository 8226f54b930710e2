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

from qwenbuild.catalogue import builtin
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
    found = Cells(declaration, builtin())
    return [dict(zip(declaration.axes, (item.value for item in items), strict=True)) for items, _ in found]


# --- the reference: product less exclude plus include ---


def reference(axes: dict[str, list[Any]], exclude: list[Cell], include: list[Cell]) -> Iterator[Cell]:
    for values in itertools.product(*axes.values()):
        cell = dict(zip(axes, values, strict=True))
        if not any(all(cell[axis] == value for axis, value in rule.items()) for rule in exclude):
            yield cell
    yield from include


# Texts hold no digits, and 0 and 1 are missing: so no two values are equal in Python or share a label.
_VALUES = st.lists(
    st.sampled_from(["red", "blue", "a, b", "é猫", 'so "so"', " x "]) | st.integers(2, 30) | st.booleans(),
    min_size=1,
    max_size=4,
    unique=True,
)


@st.composite
def _matrices(draw: st.DrawFn) -> tuple[dict[str, list[Any]], list[Cell], list[Cell]]:
    """Return axes, exclusions of some of their values, and included cells with known and new values."""
    names = draw(st.lists(st.sampled_from(["mood", "n", "flag", "stil", "größe"]), min_size=1, max_size=4, unique=True))
    axes = {name: draw(_VALUES) for name in names}
    rules = st.fixed_dictionaries({}, optional={name: st.sampled_from(axes[name]) for name in names}).filter(bool)
    exclude = draw(st.lists(rules, max_size=3))
    new = st.fixed_dictionaries({name: st.sampled_from([*axes[name], "new", 99]) for name in names})
    kept, include = list(reference(axes, exclude, [])), []
    for cell in draw(st.lists(new, max_size=3)):
        if cell not in kept and cell not in include:
            include.append(cell)
    return axes, exclude, include


@given(_matrices())
def test_cells_are_the_product_less_exclude_plus_include(
    drawn: tuple[dict[str, list[Any]], list[Cell], list[Cell]],
) -> None:
    """The cells equal those of the reference, in the same order, and `count` gives their number."""
    axes, exclude, include = drawn
    expected = list(reference(axes, exclude, include))
    with tempfile.TemporaryDirectory() as folder:
        declaration = declared(Path(folder), {"matrix": axes, "exclude": exclude, "include": include})
    assert declaration.cells == math.prod(map(len, axes.values())) + len(include)
    if not expected:
        with pytest.raises(ProjectError, match="every cell is excluded"):
            cells(declaration)
        return
    assert cells(declaration) == expected
    assert matrix.count(declaration, builtin()) == len(expected)


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


# --- size is known before work is done ---


@pytest.mark.parametrize("zeros", [12, 30])
def test_a_matrix_of_any_size_is_counted_and_not_expanded(tmp_path: Path, zeros: int) -> None:
    """The axes stay ranges, and the count is exact, for 10**12 cells and for 10**30."""
    third = 10 ** (zeros // 3)
    axis = {"start": 0, "count": third}
    declaration = declared(tmp_path, {"matrix": {"a": axis, "b": axis, "seed": axis}})
    assert declaration.cells == 10**zeros
    assert matrix.count(declaration, builtin()) == 10**zeros
    assert [type(values) for values in declaration.axes.values()] == [range] * 3


def test_a_huge_matrix_with_exclusions_is_counted_before_them(tmp_path: Path) -> None:
    """Only up to a million combinations are made to count them exactly."""
    small = {"matrix": {"n": {"start": 0, "count": 1000}, "m": ["x", "y"]}, "exclude": [{"m": "x"}]}
    assert matrix.count(declared(tmp_path, small), builtin()) == 1000
    huge = {"matrix": {"n": {"start": 0, "count": 10**12}, "m": ["x", "y"]}, "exclude": [{"m": "x"}]}
    assert matrix.count(declared(tmp_path, huge), builtin()) == 2 * 10**12


def test_a_range_longer_than_a_machine_word(tmp_path: Path) -> None:
    """`len` can't count this many cells."""
    declaration = declared(tmp_path, {"matrix": {"n": {"start": 0, "count": 2**63 - 1, "step": -3}, "m": [1, 2]}})
    assert declaration.cells == 2**64 - 2


def test_counting_ignores_mistakes(tmp_path: Path) -> None:
    """Expansion reports the mistakes of a matrix."""
    declaration = declared(tmp_path, {"matrix": {"size": ["1:1", "17:9"]}, "exclude": [{"size": "1:1"}]})
    assert matrix.count(declaration, builtin()) == 2


def test_cells_are_made_one_after_another(tmp_path: Path) -> None:
    """The first cell of a billion is made without the others."""
    declaration = declared(tmp_path, {"matrix": {"a": {"count": 1000}, "b": {"count": 1000}, "c": {"count": 1000}}})
    first = next(iter(Cells(declaration, builtin())))
    assert [item.value for item in first[0]] == [0, 0, 0]
