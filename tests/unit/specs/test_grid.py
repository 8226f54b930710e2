"""Tests of the grid: what is excluded, and how much work that is."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.catalogue import builtin
from qwenbuild.specs.declaration import Value
from qwenbuild.specs.grid import Exclusions, Grid
from tests.support.workspace import Workspace

_rules = st.lists(
    st.dictionaries(st.integers(0, 2), st.sampled_from("ab"), max_size=3).map(lambda rule: [*rule.items()]), max_size=6
)


@given(_rules)
def test_a_cell_is_left_out_if_a_rule_names_its_labels(rules: list[list[tuple[int, str]]]) -> None:
    """A rule without axes names every cell."""
    exclusions = Exclusions(rules)
    for labels in itertools.product("ab", repeat=3):
        values = [Value.of(label, label) for label in labels]
        assert exclusions.match(values) == any(all(labels[at] == label for at, label in rule) for rule in rules)


def test_a_cell_is_compared_once_for_each_set_of_axes() -> None:
    """The number of rules does not matter."""
    assert len(Exclusions([(0, str(number))] for number in range(1000))) == 1
    assert len(Exclusions([[(0, "a")], [(0, "b"), (1, "a")], [(1, "a")]])) == 3


def test_a_grid_holds_the_cells_of_its_product() -> None:
    """A value that no column has is of no cell, and neither is an excluded one."""
    columns = [[Value.of(name, name) for name in "ab"], [Value.of(name, name) for name in "xy"]]
    grid = Grid(builtin().model("qwen-image"), columns, Exclusions([[(0, "a"), (1, "x")]]))
    held = {
        labels for labels in itertools.product("abc", "xyz") if grid.holds([Value.of(name, name) for name in labels])
    }
    assert held == {("a", "y"), ("b", "x"), ("b", "y")}
    assert [list(labels) for labels in grid.labels] == [["a", "b"], ["x", "y"]]


def test_ten_thousand_entries_are_quick(project: Workspace) -> None:
    """Entries of `exclude` and `include` are looked up. Comparing each with each cell would take minutes."""
    size = 5000
    text = f'[image.x]\nprompt = "A"\nmatrix.n = {{ count = {size} }}\nmatrix.m = ["a", "b"]\n'
    text += "".join(f"[[image.x.exclude]]\nn = {number}\nm = 'b'\n" for number in range(size))
    text += "".join(f"[[image.x.include]]\nn = {number}\nm = 'c'\n" for number in range(size))
    assert len(project.write({"specs/a.toml": text}).actions()) == 2 * size


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


def test_too_many_sets_of_axes_are_refused(project: Workspace) -> None:
    """A thousand entries that all name other axes would have to be compared with every cell."""
    axes = [f"a{number}" for number in range(12)]
    text = '[image.x]\nprompt = "A"\nmatrix.n = { count = 100_000 }\n'
    text += "".join(f'matrix.{axis} = ["v"]\n' for axis in axes)
    for chosen in itertools.islice(itertools.combinations(axes, 3), 201):
        text += "[[image.x.exclude]]\nn = 1\n" + "".join(f'{axis} = "v"\n' for axis in chosen)
    told = project.write({"specs/a.toml": text}).complaint()
    assert told.startswith("error: the exclude entries take too long\n  --> specs/a.toml:16:3\n")
    assert "  = 201 different sets of axes, and 100,000 cells" in told


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
