"""Tests of expansion: the actions that specs give, and the text of each problem."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwenbuild.errors import ProjectError, QwenbuildError
from qwenbuild.files.paths import clash_key
from qwenbuild.request import Size, derived_seed
from qwenbuild.specs import expand
from qwenbuild.specs.cell_names import parse_cell_name
from qwenbuild.specs.declaration import Declaration
from qwenbuild.specs.template import Templates
from tests.support.workspace import Workspace

HERE = Path(__file__).parents[2]
PROJECTS = sorted(path.parent for path in (HERE / "projects").glob("*/expected.txt"))
HOUSE = '[image.house]\nprompt = "A house"\n'


# --- what is wrong ---


@pytest.mark.parametrize("folder", PROJECTS, ids=lambda folder: str(folder.name))
def test_a_defect_gives_exactly_its_text(folder: Path) -> None:
    """One run shows claim, place, code frame, facts and hint of every problem of a project."""
    assert Workspace(folder).complaint() + "\n" == (folder / "expected.txt").read_text("utf-8")


def test_a_defect_gives_its_text_wherever_the_project_lies(project: Workspace) -> None:
    """No message contains a path of this machine."""
    for folder in PROJECTS:
        assert str(HERE) not in (folder / "expected.txt").read_text("utf-8")


def test_links_that_leave_the_project(project: Workspace) -> None:
    """Templates and data files behind a link out of the project are not read."""
    (project.root.parent / "secret.csv").write_text("id\nsecret\n")
    project.write({"specs/a.toml": '[image.a]\ntemplate = "link.j2"\n[image.b]\nprompt = "{{ c.id }}"\n'
                                   'matrix.c = { file = "link.csv" }\n'})  # fmt: skip
    (project.root / "templates").mkdir()
    (project.root / "templates/link.j2").symlink_to("../../secret.csv")
    (project.root / "specs/link.csv").symlink_to("../../secret.csv")
    assert project.complaint() == (
        'error: template "link.j2" lies outside templates/\n'
        " --> specs/a.toml:2:12\n"
        "  |\n"
        '2 | template = "link.j2"\n'
        "  |            ^^^^^^^^^\n"
        "\n"
        "error: link.csv lies outside the project\n"
        " --> specs/a.toml:5:21\n"
        "  |\n"
        '5 | matrix.c = { file = "link.csv" }\n'
        "  |                     ^^^^^^^^^^\n"
        "  = hint: data files are part of the project: copy it into the repository"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [("x" * 300 + ".csv", "File name too long"), ("circle.csv", "its links form a circle")],
    ids=["long", "circle"],
)
def test_names_that_no_data_file_can_have(project: Workspace, name: str, reason: str) -> None:
    """A name that is too long, and a circle of links are reported at the place that names the file."""
    project.write({"specs/a.toml": f'[image.a]\nprompt = "{{{{ c }}}}"\nmatrix.c = {{ file = "{name}" }}\n'})
    (project.root / "specs/circle.csv").symlink_to("circle.csv")
    claim, place = project.complaint().splitlines()[:2]
    assert claim.endswith(f".csv can't be read: {reason}")
    assert place == " --> specs/a.toml:3:21"


def test_specs_that_can_not_be_read(project: Workspace) -> None:
    """A folder, a circle of links and another encoding are reported, beside a correct spec."""
    project.write({"specs/a.toml": HOUSE, "specs/b.toml/c": "", "specs/d.toml": b'[image.a]\nprompt = "\xff"\n'})
    (project.root / "specs/e.toml").symlink_to("e.toml")
    assert project.complaint() == (
        "error: specs/b.toml is a folder; a file was expected\n"
        "\n"
        "error: specs/e.toml can't be read: Too many levels of symbolic links\n"
        "\n"
        "error: specs/d.toml is not UTF-8: byte 0xff\n"
        " --> specs/d.toml:2:11\n"
        "  |\n"
        '2 | prompt = "\N{REPLACEMENT CHARACTER}"\n'
        "  |           ^\n"
        "  = hint: save the file as UTF-8"
    )


def test_a_spec_whose_name_is_not_utf8(project: Workspace) -> None:
    """Cell names must be text, but file names are bytes."""
    project.write({"specs/a.toml": HOUSE})
    (project.root / "specs/a.toml").rename(project.root / "specs/\udcff.toml")
    assert project.complaint() == (
        "error: the file name of specs/\\udcff.toml has brackets, control characters or bytes that are not UTF-8\n"
        " --> specs/\\udcff.toml"
    )


def test_an_unpaired_surrogate_in_a_prompt(project: Workspace) -> None:
    """Jinja's escapes can spell characters that UTF-8 can't encode."""
    project.write({"specs/a.toml": '[image.a]\nprompt = """{{ "\\\\ud83d" }}"""\n'})
    assert project.complaint().splitlines()[0] == "error: the prompt of a/a holds an unpaired surrogate"


# --- what is made ---


def test_the_worked_examples_expand() -> None:
    """The repository's own specs have no problems, and no two of their outputs are the same file."""
    actions = Workspace(HERE.parent).actions()
    outputs = [action.output for action in actions]
    assert 30 <= len(outputs) <= 80
    assert len({clash_key(output) for output in outputs}) == len(outputs)
    assert [output for output in outputs if output.startswith("icons/")][:2] == ["icons/folder.png", "icons/camera.png"]
    assert "puppies/zh/16x9-2.png" in outputs


def test_a_request_takes_its_fields_from_axis_image_file_and_default(project: Workspace) -> None:
    """A field comes from the axis, else from the image, else from the top of the file, else from the default."""
    project.write({"specs/a.toml": """
        model = "qwen-image"
        size = "1:1"
        seed = 5
        negative_prompt = "of {{ spec }}"
        [vars]
        mood = "calm"
        tone = "warm"
        [image.file]
        prompt = "{{ mood }} {{ tone }}"
        [image.own]
        prompt = "{{ mood }} {{ tone }}"
        model = "qwen-image-2.0"
        size = "1000x1000"
        seed = 6
        negative_prompt = ""
        prompt_extend = true
        watermark = true
        vars = { mood = "loud" }
        [image.axis]
        prompt = "{{ mood }} {{ tone }}"
        watermark = true
        matrix = { model = "qwen-image-max", size = "9:16", seed = 7, negative_prompt = " {{ x }} ",
                   watermark = false, prompt_extend = true, tone = "cold" }
        """.replace("                   watermark", "watermark").replace('",\n', '", ')})  # fmt: skip
    fields = {action.declaration.image_name: tuple(action.request)[1:8] for action in project.actions()}
    assert fields == {
        "file": ("qwen-image", "calm warm", "of a", Size(1328, 1328), 5, False, False),
        "own": ("qwen-image-2.0", "loud warm", "", Size(1000, 1000), 6, True, True),
        "axis": ("qwen-image-max", "calm cold", "{{ x }}", Size(928, 1664), 7, True, False),
    }


def test_an_image_without_a_seed_keeps_one_of_its_own(project: Workspace) -> None:
    """The seed is derived from the image's name, so it stays the same while the prompt is edited."""
    project.write({"specs/a.toml": HOUSE})
    [before] = project.actions()
    project.write({"specs/a.toml": HOUSE.replace("A house", "A castle")})
    [after] = project.actions()
    assert before.request.seed == after.request.seed == derived_seed("a/house")
    assert before.key != after.key


def test_templates_see_what_they_are_promised(project: Workspace) -> None:
    """Templates see variables, axis values, and the names that qwenbuild sets."""
    project.write({
        "specs/posters/summer.toml": '[image.a]\nprompt = "{{ spec }} {{ image }} {{ model }} {{ size }} {{ width }} '
        '{{ height }} {{ ratio }} {{ seed }} {{ mood }} {{ copy }} {{ copy.title }}"\n'
        'matrix = { mood = "calm", copy = [{ id = "en", title = "Hi" }], seed = 3, size = "16:9" }\n',
        "qwenbuild.toml": 'specs = "specs/**/*.toml"',
    })  # fmt: skip
    assert project.prompts() == ["posters/summer a qwen-image-plus 1664x928 1664 928 16:9 3 calm en Hi"]


def test_only_a_provider_that_draws_labels_has_them_in_its_keys(project: Workspace) -> None:
    """The requests of a service do not contain the cell's name."""
    project.write({"specs/a.toml": HOUSE + "matrix.seed = [1]\n"})
    [plain], [labelled] = project.actions(), project.actions(labelled=True)
    assert (plain.request.label, labelled.request.label) == ("", "a/house[seed=1]")
    assert plain.key != labelled.key


@pytest.mark.parametrize("change", ["crlf", "bom", "both"])
def test_encodings_of_a_checkout_change_no_key(project: Workspace, change: str) -> None:
    """Line ends and byte-order marks of specs, templates and data files do not matter."""
    files = {
        "qwenbuild.toml": 'out = "out"\n',
        "specs/a.toml": 'vars.mood = """\ncalm\nand quiet"""\n'
        '[image.a]\nprompt = """\nA {{ c.t }}\n  house {{ mood }}"""\n'
        'matrix.c = { file = "data/c.csv" }\n[image.b]\ntemplate = "b.j2"\nmatrix.c = { file = "data/c.tsv" }\n'
        '[image.c]\nprompt = "{{ c.t }}"\nmatrix.c = { file = "data/c.jsonl" }\n',
        "specs/data/c.csv": 'id,t\n1,"two\nlines"\n2,x\n',
        "specs/data/c.tsv": "id\tt\n1\ttwo lines\n",
        "specs/data/c.jsonl": '{"id": "x", "t": "two\\nlines"}\n',
        "templates/b.j2": "A\n{{ c.t }}\n{% if true %}\nhouse\n{% endif %}\n",
    }
    keys = [action.key for action in project.write(files).actions()]
    assert len(keys) == 4
    bom = b"\xef\xbb\xbf" if change != "crlf" else b""
    end = b"\r\n" if change != "bom" else b"\n"
    project.write({name: bom + text.encode().replace(b"\n", end) for name, text in files.items()})
    assert [action.key for action in project.actions()] == keys


def test_expansion_is_the_same_each_time(project: Workspace) -> None:
    """The same files give the same actions in the same order."""
    project.write({"specs/b.toml": HOUSE, "specs/a.toml": HOUSE + 'matrix = { n = [2, 1], m = ["y", "x"] }\n'})
    first = [(action.name, action.key, action.output) for action in project.actions()]
    assert [(action.name, action.key, action.output) for action in project.actions()] == first
    assert [name for name, _, _ in first] == [
        "a/house[m=y,n=2]", "a/house[m=x,n=2]", "a/house[m=y,n=1]", "a/house[m=x,n=1]", "b/house"
    ]  # fmt: skip


def test_expansion_is_the_same_in_every_process() -> None:
    """Neither keys nor the texts of errors depend on Python's hash seed."""
    script = (
        "import sys, pathlib; from tests.support.workspace import Workspace\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "for action in Workspace(root).actions(): print(action.key, action.name, action.output)\n"
        "for folder in sorted(root.glob('tests/projects/*/')): print(Workspace(folder).complaint())\n"
    )
    ran = [
        subprocess.run(
            [sys.executable, "-c", script, HERE.parent],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(HERE.parent), "PYTHONIOENCODING": "utf-8"},
            stdout=subprocess.PIPE, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert ran[0] == ran[1]
    assert len(ran[0].splitlines()) > 1000


def test_a_sweep_over_all_parti_prompts(project: Workspace) -> None:
    """1,632 prompts in 5 sizes with 2 seeds have the expected names and paths, and the file's prompts."""
    source = (HERE / "data/PartiPrompts.tsv").read_text("utf-8")
    project.write({
        "specs/parti.toml": '[image.all]\nprompt = "{{ row.Prompt }}"\n[image.all.matrix]\n'
        'row = { file = "data/PartiPrompts.tsv" }\nsize = ["16:9", "4:3", "1:1", "3:4", "9:16"]\nseed = [1, 2]\n',
        "specs/data/PartiPrompts.tsv": source,
    })  # fmt: skip
    prompts = [line.split("\t")[0].strip() for line in source.split("\n")[1:] if line]
    sizes = ["1664x928", "1472x1104", "1328x1328", "1104x1472", "928x1664"]
    actions = project.actions()
    expected = [
        (f"parti/all[row={row},seed={seed},size={size}]", f"parti/all-{row}-{size}-{seed}.png", prompt)
        for row, prompt in enumerate(prompts, start=1)
        for size in sizes
        for seed in (1, 2)
    ]
    assert [(action.name, action.output, action.request.prompt) for action in actions] == expected
    assert len(actions) == 16_320
    assert sum(prompt.startswith('"') for prompt in prompts) > 0
    assert len({action.key for action in actions}) == len(set(prompts)) * 10
    assert parse_cell_name(actions[7].name) == ("parti/all", actions[7].cell)


# --- trying to break it ---

_EXAMPLES = [path for folder in ("specs", "templates") for path in (HERE.parent / folder).rglob("*") if path.is_file()]
_SPECS = {path.relative_to(HERE.parent).as_posix(): path.read_text("utf-8") for path in _EXAMPLES}
_TOKENS = [
    "\n", "\r", "\0", "\ufeff", "\u2028", "\u202e", "x" * 900, 'matrix = { file = "data/icons.csv" }', "include = [{}]",
    "{{", "}}", "{%", "%}", "{#", '"', '"""', "'", "[", "]", "[[", "]]", "{", "}", "=", ",", ".", "\\", "\\u0000", "猫",
    "é", "#", "-1", "0", "1e999", "nan", "inf", "1" * 30, "true", "2026-02-10", "07:32:00", "image", "matrix",
    "include", "exclude", "model", "size", "seed", "vars", "file", "id", "start", "count", "step", "prompt", "template",
    "output", "/", "super()", "loop", "self", "range(3)", "|slug", "|listed", "copy", "product", "[]", "{}", '""',
    "1 / 0", "../",
]  # fmt: skip


@st.composite
def _edited(draw: st.DrawFn) -> dict[str, str]:
    """Return the worked examples with a few tokens of a file deleted, doubled or replaced."""
    files = dict(_SPECS)
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(sorted(files)))
        pieces = re.findall(r"\w+|\s+|[^\w\s]", files[name])
        at, width = draw(st.integers(0, len(pieces))), draw(st.integers(0, 4))
        new = draw(
            st.sampled_from(_TOKENS)
            | st.text(max_size=4).filter(lambda text: text.isprintable())
            | st.just("".join(pieces[at : at + width] * 2))
            | st.just("")
        )
        files[name] = "".join([*pieces[:at], new, *pieces[at + width :]])
    return files


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(_edited())
def test_any_edit_expands_or_is_reported(files: dict[str, str]) -> None:
    """Any edit of the worked examples gives actions without clashing paths, or a ProjectError with places."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder)).write({"qwenbuild.toml": "", **files})
        cells = sum(one.cells for one in _declared(workspace))
        if cells > 2_000:
            return
        try:
            actions = workspace.actions()
        except ProjectError as error:
            assert str(error)
            assert all(problem.place or "like these" in problem.claim for problem in error.problems)
            return
    assert len({clash_key(action.output) for action in actions}) == len(actions)
    assert all(action.key == action.request.key for action in actions)


def _declared(workspace: Workspace) -> list[Declaration]:
    try:
        return workspace.declarations()
    except QwenbuildError:
        return []


def test_a_text_is_shared_only_by_cells_that_its_template_cannot_tell_apart(project: Workspace) -> None:
    """Each cell has the prompt that it would render alone, however its template reads variables."""
    project.write({
        "specs/a.toml": """
[image.poster]
template = "poster.j2"
output = "{{ copy.id }}-{{ hue }}-{{ size }}-{{ model }}-{{ seed }}.png"
[image.poster.matrix]
seed = { start = 5, count = 20 }
hue = ["red", "blue"]
size = ["1:1", "16:9"]
model = ["qwen-image-plus", "qwen-image-max"]
copy = [{ id = "en", title = "ball" }, { id = "de", title = "Ball" }]
[[image.poster.include]]
seed = 3
hue = "red"
size = "1:1"
model = "qwen-image-plus"
copy = { id = "en", title = "another" }
""",
        "templates/poster.j2": '{% extends "base.j2" %}{% block body %}{% include "part.j2" %}{% endblock %}',
        "templates/base.j2": "{% block body %}{% endblock %}{{ brand | default('-') }} {{ width }}",
        "templates/part.j2": '{% from "macros.j2" import m with context %}{{ copy.title }} {{ m() }}',
        "templates/macros.j2": "{% macro m() %}{{ model }}{% endmacro %}",
    })  # fmt: skip
    templates = Templates(project.root / "templates", "templates")
    [declaration] = project.declarations()
    cells = {action.labels: action.request.prompt for action in project.actions()}
    assert len(cells) == 321
    assert {labels: prompt for labels, prompt, _ in expand.prompts(templates, templates, declaration, cells)} == cells


@pytest.mark.parametrize(
    ("part", "prompt", "text"),
    [
        ('{% set c = cycler("red", "green") %}', '{% import "m.j2" as m %}{{ m.c.next() }} ball', "red ball"),
        ('{% set _c = cycler("red", "green", "blue") %}{% macro hue() %}{{ _c.next() }}{% endmacro %}',
         '{% from "m.j2" import hue %}{{ hue() }}, {{ hue() }}', "red, green"),
        ('{% set s = joiner("+") %}{% macro add(x) %}{{ s() }}{{ x }}{% endmacro %}',
         '{% import "m.j2" as m %}{{ m.add("a") }}{{ m.add("b") }}', "a+b"),
        ("{% set ns = namespace(i=0) %}", '{% from "m.j2" import ns %}{% set ns.i = ns.i + 1 %}{{ ns.i }}', "1"),
        ('{% import "n.j2" as n %}{% macro hue() %}{{ n.c.next() }}{% endmacro %}',
         '{% from "m.j2" import hue %}{{ hue() }}', "red"),
    ],
)  # fmt: skip
def test_a_prompt_depends_on_no_other(project: Workspace, part: str, prompt: str, text: str) -> None:
    """A counter in an imported file starts anew for each prompt, so the prompt is the same when made again."""
    project.write({
        "specs/a.toml": f"[image.x]\nprompt = '{prompt}'\nmatrix = {{ n = [1, 2, 3] }}\n",
        "templates/m.j2": part,
        "templates/n.j2": '{% set c = cycler("red", "green") %}',
    })  # fmt: skip
    for action in project.actions():
        assert [action.request.prompt, action.request.prompt] == [text, text]
        assert action.request.key == action.key


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(("here", "there"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_names_in_another_form_of_unicode_are_found(project: Workspace, here: str, there: str) -> None:
    """Those of templates, data files, columns, variables and axes: macOS has another form than keyboards."""
    project.write({
        f"templates/{there}/{there}.j2": f"{{% include '{here}.j2' %}} {{{{ {here} }}}} {{{{ r.{there} }}}}",
        f"templates/{there}.j2": f"{{{{ v_{here} }}}}", f"specs/{there}/{there}.csv": f"{here},id\n1,x\n2,y\n",
        "specs/a.toml": f'''
            [image.a]
            template = "{here}/{here}.j2"
            vars = {{ "v_{there}" = "v" }}
            [image.a.matrix]
            "{there}" = ["b", "c"]
            r = {{ file = "{here}/{here}.csv", id = "{there}" }}
            [[image.a.exclude]]
            "{here}" = "b"
            r = "1"
            ''',
    })  # fmt: skip
    assert project.prompts() == ["v b 2", "v c 1", "v c 2"]


def test_a_file_with_the_very_name_is_preferred(project: Workspace) -> None:
    """Some file systems keep both forms."""
    project.write({f"templates/{name}.j2": name.upper() for name in (COMPOSED, DECOMPOSED)})
    for name in (COMPOSED, DECOMPOSED):
        assert project.write({"specs/a.toml": f'[image.a]\ntemplate = "{name}.j2"\n'}).prompts() == [name.upper()]
