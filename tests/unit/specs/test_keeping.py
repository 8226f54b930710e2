"""Keeping: the entries match exactly the chosen cells, and a spec keeps every byte beside its `only`."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.files import toml_positions
from qwenbuild.specs.keeping import Choice, Entry, Unsafe, in_one_line, with_only
from qwenbuild.specs.template import Templates
from tests.support.workspace import Workspace

ONLY: list[Entry] = [{"seed": 1, "palette": "sunset"}]
TABLE = '[[image.x.only]]\nseed = 1\npalette = "sunset"\n'


def entries(project: Workspace, spec: str, *chosen: str) -> Sequence[Entry]:
    """Return the entries that keep the cells whose brackets hold these texts, of the only image of a spec."""
    project.write({"specs/s.toml": spec})
    [declaration] = project.declarations()
    found = project.project
    choice = Choice(declaration, Templates(found.templates, found.config.templates))
    return choice.entries({f"s/x[{cell}]" for cell in chosen})


def image(**axes: Any) -> str:
    """Return a spec with one image that has these axes."""
    return "\n".join(
        ['[image.x]\nprompt = "x"\n[image.x.matrix]', *(f"{axis} = {values}" for axis, values in axes.items())]
    )


# --- which entries ---


def test_an_axis_with_one_value_is_not_named(project: Workspace) -> None:
    """Its further values come in by themselves."""
    assert entries(project, image(seed=[1, 2], word='["a"]'), "seed=1,word=a") == [{"seed": 1}]


def test_an_axis_that_is_kept_whole_is_not_named(project: Workspace) -> None:
    """But one that chooses is: a new palette of seed 1 stays in, a new seed does not."""
    both = entries(project, image(seed=[1, 2, 3], palette='["a", "b"]'), "palette=a,seed=1", "palette=b,seed=1")
    assert both == [{"seed": 1}]
    mixed = entries(
        project, image(seed=[1, 2], palette='["a", "b"]'), "palette=a,seed=1", "palette=b,seed=1", "palette=a,seed=2"
    )
    assert mixed == [{"palette": "a"}, {"seed": 1}]


def test_cells_that_exclude_leaves_out_do_not_count(project: Workspace) -> None:
    """An axis is whole if all cells that are there are chosen."""
    spec = image(seed=[1, 2], word='["a", "b"]') + '\n[[image.x.exclude]]\nseed = 1\nword = "b"\n'
    assert entries(project, spec, "seed=1,word=a") == [{"seed": 1}]


def test_an_earlier_only_is_forgotten(project: Workspace) -> None:
    """The entries choose from the cells before it, because they replace it."""
    spec = image(seed=[1, 2], word='["a", "b"]') + "\n[[image.x.only]]\nseed = 1\n"
    assert entries(project, spec, "seed=1,word=a") == [{"seed": 1, "word": "a"}]


def test_values_are_written_as_the_spec_writes_them(project: Workspace) -> None:
    """Sizes keep their notation, numbers and truths their type, and rows are named by their id."""
    project.write({"specs/rows.csv": "id,text\nen,Hello\n7,Sieben\n"})
    spec = image(
        size='["16:9", "1328*1328"]', seed="{ count = 2 }", watermark="[true, false]", zoom="[0.5, 1.0]",
        row='{ file = "rows.csv" }',
    )  # fmt: skip
    chosen = "row=7,seed=1,size=1664x928,watermark=true,zoom=0.5"
    assert entries(project, spec, chosen) == [{"size": "16:9", "seed": 1, "watermark": True, "zoom": 0.5, "row": "7"}]
    assert in_one_line(entries(project, spec, chosen)) == (
        'only = [{ size = "16:9", seed = 1, watermark = true, zoom = 0.5, row = "7" }]'
    )


def test_a_ratio_means_another_size_for_another_model(project: Workspace) -> None:
    """The ratio is kept whole only if it is, for both models."""
    spec = image(model='["qwen-image-plus", "qwen-image-2.0"]', size='["16:9", "1:1"]')
    project.write({"specs/s.toml": spec})
    cells = {action.cell["model"]: action for action in project.actions() if action.size.width > action.size.height}
    names = [action.name.partition("[")[2].removesuffix("]") for action in cells.values()]
    assert len({action.size for action in cells.values()}) == 2
    assert entries(project, spec, *names) == [{"size": "16:9"}]
    assert entries(project, spec, names[0]) == [{"model": "qwen-image-plus", "size": "16:9"}]


def test_included_cells_are_chosen_as_others_are(project: Workspace) -> None:
    """Their values need not be values of the axes."""
    spec = image(seed=[1, 2], size='["1:1"]') + '\n[[image.x.include]]\nseed = 9\nsize = "1472*1104"\n'
    assert entries(project, spec, "seed=9,size=1472x1104") == [{"size": "1472*1104"}]


def test_a_vast_matrix_is_not_expanded(project: Workspace) -> None:
    """If an `only` keeps some cells of ten million, the new one names every axis."""
    spec = image(seed="{ start = 1, count = 100_000 }", at="{ count = 100 }", word='["a"]')
    spec += "\n[[image.x.only]]\nseed = 5\nat = 1\n[[image.x.only]]\nseed = 6\nat = 1\n"
    assert entries(project, spec, "at=1,seed=6,word=a") == [{"seed": 6, "at": 1, "word": "a"}]


@given(data=st.data())
def test_entries_match_exactly_the_chosen_cells(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """For any choice of any matrix with exclusions. Each entry leaves out what may be left out."""
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    axes = {f"a{number}": [*range(size)] for number, size in enumerate(sizes)}
    every = [*itertools.product(*axes.values())]
    excluded = data.draw(st.sets(st.sampled_from(every), max_size=len(every) - 1))
    left = [cell for cell in every if cell not in excluded]
    chosen = data.draw(st.sets(st.sampled_from(left), min_size=1))
    lines = [f"{{ {', '.join(f'a{at} = {value}' for at, value in enumerate(cell))} }}" for cell in sorted(excluded)]
    spec = '[image.x]\nprompt = "x"\n' + (f"exclude = [{', '.join(lines)}]\n" if lines else "")
    spec += "[image.x.matrix]\n" + "".join(f"{axis} = {values}\n" for axis, values in axes.items())
    project = Workspace(tmp_path_factory.mktemp("place")).write({"qwenbuild.toml": ""})
    names = [",".join(f"a{at}={value}" for at, value in enumerate(cell)) for cell in chosen]
    found = entries(project, spec, *names)

    def matches(entry: Entry, cell: tuple[int, ...]) -> bool:
        return all(cell[int(axis[1:])] == value for axis, value in entry.items())

    assert {cell for cell in left if any(matches(entry, cell) for entry in found)} == chosen
    if chosen == {*left}:
        return
    for entry in found:
        for axis in entry:
            fewer = {name: value for name, value in entry.items() if name != axis}
            assert fewer == {} or {cell for cell in left if matches(fewer, cell)} - chosen != set()


# --- the text ---


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('[image.x]\nprompt = "a"\n', f'[image.x]\nprompt = "a"\n\n{TABLE}'),
        ('[image.x]\nprompt = "a"', f'[image.x]\nprompt = "a"\n\n{TABLE}'),
        ('[image.x]\nprompt = "a"\n\n\n', f'[image.x]\nprompt = "a"\n\n{TABLE}\n\n'),
        (
            '[image.x]\nprompt = "a"\n# of x\n\n# of y\n[image.y]\nprompt = "b"\n',
            f'[image.x]\nprompt = "a"\n# of x\n\n{TABLE}\n# of y\n[image.y]\nprompt = "b"\n',
        ),
        (
            '[image.x]\nprompt = "a"\n# of y\n[image.y]\nprompt = "b"\n',
            f'[image.x]\nprompt = "a"\n\n{TABLE}\n# of y\n[image.y]\nprompt = "b"\n',
        ),
        (
            '[image.x]\nprompt = "a"\n[image.y]\nprompt = "b"\n[image.x.matrix]\nseed = [1]\n[vars]\na = 1\n',
            f'[image.x]\nprompt = "a"\n[image.y]\nprompt = "b"\n[image.x.matrix]\nseed = [1]\n\n{TABLE}\n[vars]\n'
            "a = 1\n",
        ),
        (
            '[image]\nx.prompt = "a"\ny.prompt = "b"\n',
            f'[image]\nx.prompt = "a"\ny.prompt = "b"\n\n{TABLE}',
        ),
        (
            'image.x.prompt = "a"\nimage.y.prompt = "b"\n\n[vars]\na = 1\n',
            f'image.x.prompt = "a"\nimage.y.prompt = "b"\n\n{TABLE}\n[vars]\na = 1\n',
        ),
        (
            '[image.x]\nprompt = """\n# no comment\n[image.z]\n"""\n',
            f'[image.x]\nprompt = """\n# no comment\n[image.z]\n"""\n\n{TABLE}',
        ),
        (
            '[image]\n\t[image.x]\n\tprompt = "a"\n\t\t[image.x.matrix]\n\t\tseed = [1]\n',
            '[image]\n\t[image.x]\n\tprompt = "a"\n\t\t[image.x.matrix]\n\t\tseed = [1]\n\n'
            '\t\t[[image.x.only]]\n\t\tseed = 1\n\t\tpalette = "sunset"\n',
        ),
        (
            '[image.x]\r\nprompt = "a"\r\n',
            '[image.x]\r\nprompt = "a"\r\n\r\n[[image.x.only]]\r\nseed = 1\r\npalette = "sunset"\r\n',
        ),
        (
            '[image.x]\nprompt = "a"\n\n# winners of May\n[[image.x.only]]  # one\nseed = 3\n# two\n\n'
            '[[image.x.only]]\nseed = 4 # good\n\n# the end\n',
            f'[image.x]\nprompt = "a"\n\n# winners of May\n# one\n# two\n# good\n{TABLE}\n# the end\n',
        ),
        (
            '[image.x]\nprompt = "a"\nonly = [{ seed = 3 }] # May\n',
            '[image.x]\nprompt = "a"\nonly = [{ seed = 1, palette = "sunset" }] # May\n',
        ),
        (
            'image = { x = { prompt = "a", only = [{ seed = 3 }] } }\n',
            'image = { x = { prompt = "a", only = [{ seed = 1, palette = "sunset" }] } }\n',
        ),
    ],
)  # fmt: skip
def test_the_tables_stand_behind_the_image(before: str, after: str) -> None:
    """Comments, blank lines, indentation, line ends and earlier tables: whatever stood there stands there still."""
    assert with_only(before, "x", ONLY) == after
    assert with_only(after, "x", ONLY) == after


def test_a_long_array_gets_a_line_for_each_entry() -> None:
    """It is indented as its key is."""
    long = 30 * "a"
    many: list[Entry] = [{"seed": number, "palette": long} for number in (1, 2, 3)]
    found = with_only('[image.x]\n  prompt = "a"\n  only = [{ seed = 3 }]\n', "x", many)
    lines = [f'      {{ seed = {number}, palette = "{long}" }},\n' for number in (1, 2, 3)]
    assert found == f'[image.x]\n  prompt = "a"\n  only = [\n{"".join(lines)}  ]\n'
    assert tomllib.loads(found)["image"]["x"]["only"] == many


def test_names_and_values_are_quoted() -> None:
    """They are data, whatever they hold."""
    found = with_only('[image."Poster B"]\nprompt = "a"\n', "Poster B", [{"größe 1": 'a"\n\x1b\\'}])
    assert found == (
        '[image."Poster B"]\nprompt = "a"\n\n[[image."Poster B".only]]\n"größe 1" = "a\\"\\n\\u001b\\\\"\n'
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('image = { x = { prompt = "a" } }\n', "no [[image.x.only]] table can follow what declares x"),
        ('[image]\nx = { prompt = "a" }\n', "no [[image.x.only]] table can follow what declares x"),
        ('image.x = { prompt = "a" }\n', "no [[image.x.only]] table can follow what declares x"),
        (
            '[image.x]\nprompt = "a"\nonly = [ # May\n  { seed = 3 } ]\n',
            "its array `only` of x holds comments",
        ),
    ],
)
def test_what_cant_be_changed(text: str, why: str) -> None:
    """The reason is told, and nothing is lost."""
    with pytest.raises(Unsafe) as refused:
        with_only(text, "x", ONLY)
    assert str(refused.value) == why


def test_headers_and_comments() -> None:
    """Both are found where the parser sees them, not where a text looks like one."""
    text = 'a = """\n[b]\n# c"""\n[d."e f"] # g\nh = [ # i\n  1,\n]\n[[j]]\n'
    assert toml_positions.headers(text) == [(3, ("d", "e f")), (7, ("j",))]
    assert toml_positions.comments(text) == {3: "# g", 4: "# i"}
