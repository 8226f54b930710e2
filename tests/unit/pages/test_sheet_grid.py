"""The grid of a contact sheet: default axes, sections, the order of values, and labels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qwenbuild.engine.engine import load
from qwenbuild.engine.planning import make_plan
from qwenbuild.errors import UsageError
from qwenbuild.pages.gallery import Gallery, GalleryMaker
from qwenbuild.pages.sheet_grid import Grid, Tile, grid
from tests.support.workspace import Workspace


def arranged(project: Workspace, rows: str | None = None, columns: str | None = None, *select: str) -> Grid:
    """Return the grid of a project's cells."""
    engine = load(project.root, select=list(select))
    with engine.state() as state:
        plan = make_plan(engine, state)
        gallery = GalleryMaker(engine.project, engine.store).gallery(plan, state, engine.routes)
        return grid(plan, gallery, rows, columns)


def lines(made: Grid) -> list[str]:
    """Return a grid as text: headings, heads of columns, and rows with the axes' values of each tile."""
    return [
        line
        for section in made.sections
        for line in [
            f"# {section.heading}",
            " | ".join(["", *section.columns]),
            *(" | ".join([row.label, *map(_cell, row.tiles)]) for row in section.rows),
        ]
    ]


def _cell(tile: Tile | None) -> str:
    return tile.caption or tile.name.partition("[")[2].rstrip("]") or tile.name if tile else "-"


@pytest.fixture
def posters(project: Workspace) -> Workspace:
    return project.write({"qwenbuild.toml": 'provider = "null"', "specs/s.toml": '[image.a]\nprompt = "a"\n'})


def with_matrix(project: Workspace, matrix: str, more: str = "") -> Workspace:
    return project.write({"specs/s.toml": f'[image.a]\nprompt = "a"\nmatrix = {matrix}\n{more}'})


def test_the_longer_axis_makes_columns(posters: Workspace) -> None:
    """Of two axes, that with more values makes columns, as long as they fit on paper."""
    with_matrix(posters, '{ seed = [1, 2, 3], mood = ["calm", "wild"] }')
    assert lines(arranged(posters)) == [
        "# ",
        " | seed=1 | seed=2 | seed=3",
        "mood=calm | mood=calm,seed=1 | mood=calm,seed=2 | mood=calm,seed=3",
        "mood=wild | mood=wild,seed=1 | mood=wild,seed=2 | mood=wild,seed=3",
    ]


def test_a_long_axis_makes_rows(posters: Workspace) -> None:
    """Nine seeds would be too many columns."""
    with_matrix(posters, '{ seed = { start = 1, count = 9 }, mood = ["calm", "wild"] }')
    [section] = arranged(posters).sections
    assert (section.columns, len(section.rows)) == (["mood=calm", "mood=wild"], 9)


def test_the_user_names_the_axes(posters: Workspace) -> None:
    """`--rows` and `--columns` take any axis; the other one is chosen."""
    with_matrix(posters, '{ seed = [1, 2, 3], mood = ["calm", "wild"] }')
    [section] = arranged(posters, rows="seed").sections
    assert ([row.label for row in section.rows], section.columns) == (
        ["seed=1", "seed=2", "seed=3"],
        ["mood=calm", "mood=wild"],
    )
    [section] = arranged(posters, columns="mood").sections
    assert section.columns == ["mood=calm", "mood=wild"]
    assert [it.heading for it in arranged(posters, "spec", "seed").sections] == ["mood=calm", "mood=wild"]


def test_one_axis_flows(posters: Workspace) -> None:
    """Without a second axis, tiles have captions and no heads."""
    with_matrix(posters, "{ seed = [1, 2, 3] }")
    assert lines(arranged(posters)) == ["# ", "", " | seed=1 | seed=2 | seed=3"]
    assert arranged(posters).sections[0].is_flow is True


def test_a_single_image_is_named(posters: Workspace) -> None:
    """An image without axes has its name below it."""
    assert lines(arranged(posters)) == ["# ", "", " | s/a"]
    assert lines(arranged(posters, rows="image")) == ["# ", " | s", "s/a | s/a"]


def test_further_axes_make_sections(posters: Workspace) -> None:
    """Each combination of their values has a heading, in the order of the spec."""
    with_matrix(posters, '{ size = ["16:9", "1:1"], seed = [1, 2, 3], mood = ["wild", "calm"] }')
    made = arranged(posters, "mood", "seed").sections
    assert [section.heading for section in made] == ["size=1664x928", "size=1328x1328"]
    assert {tuple(row.label for row in section.rows) for section in made} == {("mood=wild", "mood=calm")}


def test_images_with_other_axes_stand_apart(posters: Workspace) -> None:
    """Images with equal axes share a table; the headings of the others name them."""
    posters.write(
        {
            "specs/t.toml": '[image.b]\nprompt = "b"\nmatrix.seed = [1, 2]\n'
            '[image.c]\nprompt = "c"\nmatrix.seed = [2]\n'
            '[image.d]\nprompt = "d"\n[image.d.matrix]\nmood = ["x", "y"]\n',
        }
    )
    assert lines(arranged(posters)) == [
        "# ",
        "",
        " | s/a",
        "# ",
        " | seed=1 | seed=2",
        "t/b | seed=1 | seed=2",
        "t/c | - | seed=2",
        "# t/d",
        "",
        " | mood=x | mood=y",
    ]


def test_a_cell_without_the_axis_is_last(posters: Workspace) -> None:
    """If the user asks for an axis that an image lacks, its cells stand at the end, and the label says so."""
    posters.write({"specs/t.toml": '[image.b]\nprompt = "b"\nmatrix.mood = ["x", "y"]\n'})
    assert lines(arranged(posters, "image", "mood")) == [
        "# ",
        " | mood=x | mood=y | no mood",
        "s/a | - | - | s/a",
        "t/b | mood=x | mood=y | -",
    ]


def test_values_stand_in_the_order_of_the_spec(posters: Workspace) -> None:
    """Also if the first cells are excluded, and included values come last."""
    more = '[[image.a.exclude]]\nmood = "wild"\nseed = 3\n[[image.a.include]]\nmood = "odd"\nseed = 2\n'
    with_matrix(posters, '{ mood = ["wild", "calm"], seed = [3, 1, 2] }', more)
    [section] = arranged(posters, "mood", "seed").sections
    assert section.columns == ["seed=3", "seed=1", "seed=2"]
    assert [row.label for row in section.rows] == ["mood=wild", "mood=calm", "mood=odd"]
    assert section.rows[0].tiles[0] is None


def test_rows_of_data_and_sizes_are_ordered_by_their_labels(posters: Workspace) -> None:
    """A row of data stands under its id; a size in any spelling under its pixels."""
    posters.write({"specs/copy.csv": "id,text\nzh,小狗\nen,dog\n"})
    with_matrix(posters, '{ size = ["16:9", "1328*1328"], copy = { file = "copy.csv" } }')
    [section] = arranged(posters, "size", "copy").sections
    assert [section.columns, [row.label for row in section.rows]] == [
        ["copy=zh", "copy=en"],
        ["size=1664x928", "size=1328x1328"],
    ]


def test_control_characters_are_visible(posters: Workspace) -> None:
    """A label can't hide what it says."""
    with_matrix(posters, '{ mood = ["a\\u202eb", "<b>"] }')
    assert lines(arranged(posters)) == ["# ", "", r" | mood=a\u202eb | mood=<b>"]


def test_notes_say_what_is_special(posters: Workspace) -> None:
    """A missing image is a blank with its reason; an edited one and an old one are named; the title counts."""
    with_matrix(posters, "{ seed = [1, 2, 3] }")
    load(posters.root, where=["seed=1,2"]).build()
    (posters.root / "out/s/a-1.png").write_bytes(b"mine")
    made = arranged(posters)
    assert [(tile.note, bool(tile.image)) for tile in made.tiles] == [
        ("edited", True),
        ("", True),
        ("not rendered", False),
    ]
    assert made.title == f"{posters.root.name}: 2 images, 1 missing"
    posters.write({"specs/s.toml": '[image.a]\nprompt = "b"\nmatrix = { seed = [2] }\n'})
    assert [tile.note for tile in arranged(posters).tiles] == ["old image"]


def test_drafts_are_said_once(posters: Workspace) -> None:
    """If all pictures are drafts, the title says so, and not each tile."""
    posters.write({"qwenbuild.toml": 'provider = "draft"'})
    load(posters.root).build()
    made = arranged(posters)
    assert (made.title, [tile.note for tile in made.tiles]) == (f"{posters.root.name}: 1 draft", [""])


def test_all_texts_of_the_sheet_are_known(posters: Workspace) -> None:
    """The lettering needs each of them."""
    with_matrix(posters, '{ seed = [1, 2], mood = ["x", "y"], size = ["1:1", "16:9"] }')
    title = f"{posters.root.name}: 0 images, 8 missing"
    assert arranged(posters, "seed", "mood").texts == {
        title, "seed=1", "seed=2", "mood=x", "mood=y", "size=1328x1328", "size=1664x928", "not rendered", "",
    }  # fmt: skip


def test_an_unknown_axis_is_refused(posters: Workspace) -> None:
    """The message names the nearest axis."""
    with_matrix(posters, '{ palette = ["x", "y"] }')
    with pytest.raises(UsageError) as caught:
        arranged(posters, rows="pallete")
    assert str(caught.value) == (
        'error: --rows: no axis "pallete"\n'
        "  = the axes are: palette, image, spec, model, size, seed\n"
        '  = hint: did you mean "palette"?'
    )


def test_one_axis_can_not_make_both(posters: Workspace) -> None:
    """Rows and columns need two axes."""
    with pytest.raises(UsageError) as caught:
        arranged(posters, "seed", "seed")
    assert str(caught.value) == 'error: --rows and --columns are both "seed"\n  = hint: leave one of them out'


def test_a_plan_without_cells_has_no_sheet(posters: Workspace) -> None:
    """There is nothing to show."""
    engine = load(posters.root)
    with engine.state() as state, pytest.raises(UsageError) as caught:
        plan = replace(make_plan(engine, state), steps=[])
        grid(plan, Gallery({}, {}), None, None)
    assert str(caught.value) == "error: there is no cell to show\n  = hint: `qwenbuild plan --all` lists the cells"
