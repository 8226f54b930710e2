"""Tests of the grid: which cells `exclude` and `only` leave, and how much work that is."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.catalogue import builtin
from qwenbuild.specs.declaration import Value
from qwenbuild.specs.grid import Grid, Rules
from tests.support.workspace import Workspace

_rules = st.lists(
    st.dictionaries(st.integers(0, 2), st.sampled_from("ab"), max_size=3).map(lambda rule: [*rule.items()]), max_size=6
)


@given(_rules)
def test_a_cell_is_left_out_if_a_rule_names_its_labels(rules: list[list[tuple[int, str]]]) -> None:
    """A rule without axes names every cell."""
    exclusions = Rules(rules)
    for labels in itertools.product("ab", repeat=3):
        values = [Value.of(label, label) for label in labels]
        assert exclusions.match(values) == any(all(labels[at] == label for at, label in rule) for rule in rules)


def test_a_cell_is_compared_once_for_each_set_of_axes() -> None:
    """The number of rules does not matter."""
    assert len(Rules([(0, str(number))] for number in range(1000))) == 1
    assert len(Rules([[(0, "a")], [(0, "b"), (1, "a")], [(1, "a")]])) == 3


def test_a_grid_holds_the_cells_of_its_product() -> None:
    """A value that no column has is of no cell, and neither is an excluded one."""
    columns = [[Value.of(name, name) for name in "ab"], [Value.of(name, name) for name in "xy"]]
    grid = Grid(builtin().model("qwen-image"), columns, Rules([[(0, "a"), (1, "x")]]), None)
    held = {
        labels for labels in itertools.product("abc", "xyz") if grid.holds([Value.of(name, name) for name in labels])
    }
    assert held == {("a", "y"), ("b", "x"), ("b", "y")}
    assert [list(labels) for labels in grid.labels] == [["a", "b"], ["x", "y"]]


@given(_rules, _rules.filter(bool))
def test_only_leaves_the_cells_that_a_filter_leaves(
    excluded: list[list[tuple[int, str]]], only: list[list[tuple[int, str]]]
) -> None:
    """They are made from the entries, and come in the order of the product."""
    columns = [[Value.of(name, name) for name in "ab"] for _ in range(3)]
    grid = Grid(builtin().model("qwen-image"), columns, Rules(excluded), Rules(only))
    expected = [
        values for values in itertools.product(*columns)
        if not Rules(excluded).match(values) and Rules(only).match(values)
    ]  # fmt: skip
    assert [*grid] == expected
    assert [*filter(grid.stays, itertools.product(*columns))] == expected


def test_a_few_cells_of_a_vast_matrix_are_made_at_once() -> None:
    """Of 10**18 cells, two are made."""
    columns = [[Value.of(str(number), number) for number in range(1000)] for _ in range(6)]
    only = Rules([[(at, label) for at in range(6)] for label in ("7", "3")])
    grid = Grid(builtin().model("qwen-image"), columns, Rules([]), only)
    assert [[value.value for value in cell] for cell in grid] == [[3] * 6, [7] * 6]


def test_ten_thousand_entries_are_quick(project: Workspace) -> None:
    """Entries of `exclude`, `include` and `only` are looked up. Comparing each with each cell would take minutes."""
    size = 5000
    text = f'[image.x]\nprompt = "A"\nmatrix.n = {{ count = {size} }}\nmatrix.m = ["a", "b"]\n'
    text += "".join(f"[[image.x.exclude]]\nn = {number}\nm = 'b'\n" for number in range(size))
    text += "".join(f"[[image.x.include]]\nn = {number}\nm = 'c'\n" for number in range(size))
    assert len(project.write({"specs/a.toml": text}).actions()) == 2 * size
    text += "".join(f"[[image.x.only]]\nn = {number}\nm = 'a'\n[[image.x.only]]\nn = {number}\nm = 'c'\n"
                    for number in range(0, size, 2))  # fmt: skip
    assert len(project.write({"specs/a.toml": text}).actions()) == size


def test_ten_thousand_mistakes_are_quick(project: Workspace) -> None:
    """Only the problems that are shown name the nearest values."""
    size = 2000
    ids = ", ".join(f'{{ id = "name-{number}" }}' for number in range(size))
    text = f'[image.x]\nprompt = "A"\nmatrix.row = [{ids}]\n'
    text += "".join(f"[[image.x.exclude]]\nrow = 'nome-{number}'\n" for number in range(size))
    text += "".join(f"[[image.x.include]]\nrow = 'nume-{number}'\n" for number in range(size))
    told = project.write({"specs/a.toml": text}).complaint()
    assert told.count("error: axis row has no value") == 20
    assert f"error: a/x: {2 * size - 20:,} more problems like these\n  = specs/a.toml: lines 45, 47, " in told


@pytest.mark.parametrize("where", ["list", "include"])
def test_a_value_has_a_length(project: Workspace, where: str) -> None:
    """It stands in the name of each of its cells."""
    long = "x" * 10_001
    text = '[image.x]\nprompt = "A"\nmatrix.m = ["a"]\n[[image.x.include]]\nm = "b"\n'
    text = text.replace('"a"' if where == "list" else '"b"', f'"{long}"')
    told = project.write({"specs/a.toml": text}).complaint()
    assert told.startswith("error: axis m: a value of 10,001 characters\n")
    assert "put long texts into [vars], or into a column of a row" in told
    assert len(told) < 1000
