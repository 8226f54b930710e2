"""Tests of field values: fields that are templates over axes and variables."""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.catalogue import DEFAULT_MODEL, builtin
from qwenbuild.request import derived_seed
from qwenbuild.specs.action import Action
from tests.support.workspace import Workspace

JOBS = """\
[image.job]
prompt = "{{ row.title }}, {{ model }} {{ ratio }} {{ seed }}"
model = "{{ row.model }}"
size = "{{ row.size or ratio_of_all }}"
seed = "{{ row.seed }}"
negative_prompt = "{{ row.avoid }}"
prompt_extend = "{{ row.extend }}"
watermark = "{% if row.id == 'b' %}true{% else %}false{% endif %}"
vars.ratio_of_all = "1:1"
matrix.row = { file = "jobs.csv" }
"""
ROWS = """\
id,title,model,size,seed,avoid,extend
a,Cat,qwen-image-plus,16:9,1,dogs,TRUE
b,Dog,qwen-image-max,,2,,false
"""


def of(action: Action) -> tuple[Any, ...]:
    request = action.request
    return (request.prompt, request.model, str(request.size), request.seed, request.negative_prompt,
            request.prompt_extend, request.watermark)  # fmt: skip


def test_a_spreadsheet_of_jobs_is_one_spec(project: Workspace) -> None:
    """Each row sets the fields of its image; the prompt sees them."""
    project.write({"specs/jobs.toml": JOBS, "specs/jobs.csv": ROWS})
    assert list(map(of, project.actions())) == [
        ("Cat, qwen-image-plus 16:9 1", "qwen-image-plus", "1664x928", 1, "dogs", True, False),
        ("Dog, qwen-image-max 1:1 2", "qwen-image-max", "1328x1328", 2, "", False, True),
    ]


def test_all_that_is_wrong_with_a_row_is_told_with_its_line(project: Workspace) -> None:
    """Every bad field of every bad row has a message, which names the cell and the row."""
    rows = ROWS + "c,Owl,qwen-image-pluss,16:9,3,,false\nd,Elk,qwen-image,5:4,x,,maybe\ne,Emu,qwen-image,1:1,,,true\n"
    project.write({"specs/jobs.toml": JOBS, "specs/jobs.csv": rows})
    text = project.complaint()
    for claim, line in (
        ('unknown model "qwen-image-pluss"', 4), ('size "5:4"', 5), ('seed "x"', 5), ('prompt_extend "maybe"', 5),
        ('seed ""', 6),
    ):  # fmt: skip
        [block] = [block for block in text.split("\n\n") if block.startswith(f"error: {claim}\n")]
        assert f"  = row: specs/jobs.csv:{line} " in block
    assert "a default for empty cells: seed = \"{{ … or 'random' }}\"" in text
    assert text.count("error: ") == 5


def test_values_as_spreadsheets_write_them(project: Workspace) -> None:
    """Numbers with zeros behind the point, spaces in sizes, capitals; `-1` is explained."""
    rows = "id,title,model,size,seed,avoid,extend\na,Cat,qwen-image-plus,1328 x 1328,42.0,,FALSE\n"
    project.write({"specs/jobs.toml": JOBS, "specs/jobs.csv": rows})
    [action] = project.actions()
    assert (str(action.size), action.seed) == ("1328x1328", 42)
    project.write({"specs/jobs.csv": rows.replace("42.0", "-1")})
    assert "hint: \"random\" draws one: seed = \"{{ 'random' if … == '-1' else … }}\"" in project.complaint()


def test_an_undefined_column_names_the_rows_without_it(project: Workspace) -> None:
    """Rows of a TOML list may have different columns."""
    project.write({"specs/a.toml": '[image.a]\nprompt = "x {{ row.id }}"\nseed = "{{ row.seed }}"\n'
                                   'matrix.row = [{ id = "a", seed = 1 }, { id = "b" }]\n'})  # fmt: skip
    text = project.complaint()
    assert text.startswith('error: "row" has no field "seed"\n --> specs/a.toml:3:16\n')
    assert text.endswith("  = cell: a/a[row=b]\n  = row: specs/a.toml:4 (row=b)")
    assert text.count("error: ") == 1


def test_a_template_of_a_field_sees_no_other_field(project: Workspace) -> None:
    """Else it would depend on the order in which fields are made."""
    project.write({"specs/a.toml": '[image.a]\nprompt = "x"\nseed = "{{ width }}"\n'})
    assert 'undefined variable "width"' in project.complaint()


def test_ratios_are_sizes_of_the_model_that_a_row_chooses(project: Workspace) -> None:
    """So are the sizes in `exclude` and `include`."""
    models = {"one": "qwen-image-plus", "two": "qwen-image-2.0"}
    table = {"image": {"a": {
        "prompt": "{{ size }}", "model": "{{ row.model }}",
        "matrix": {"size": ["1:1", "16:9"], "row": [{"id": name, "model": model} for name, model in models.items()]},
        "exclude": [{"size": "16:9", "row": "two"}],
        "include": [{"size": "4:3", "row": "two"}],
    }}}  # fmt: skip
    project.write({"specs/a.toml": tomli_w.dumps(table)})
    sizes = {name: builtin().models[model].ratios for name, model in models.items()}
    assert [(it.cell["row"], it.model.name, it.size) for it in project.actions()] == [
        (row, models[row], sizes[row][ratio])
        for row, ratio in (("one", "1:1"), ("two", "1:1"), ("one", "16:9"), ("two", "4:3"))
    ]


@pytest.mark.parametrize("field", ["model", "size", "seed", "watermark"])
def test_defaults_of_the_config_may_be_templates(project: Workspace, field: str) -> None:
    """They see the axes and variables of each image."""
    value = {"model": "qwen-image-max", "size": "4:3", "seed": "7", "watermark": "true"}[field]
    project.write(
        {
            "qwenbuild.toml": f'[defaults]\n{field} = "{{{{ mine }}}}"\n',
            "specs/a.toml": f'[image.a]\nprompt = "x"\nvars.mine = "{value}"\n',
        }
    )
    [action] = project.actions()
    assert {"model": action.model.name, "size": action.model.ratio(action.size), "seed": str(action.seed),
            "watermark": str(action.request.watermark).lower()}[field] == value  # fmt: skip


def test_parameters_that_can_not_be_sent(project: Workspace) -> None:
    """Each is named with its place, in the config, in a spec and in an image."""
    project.write({
        "specs/a.toml": 'parameters.since = 2026-02-01\n[image.a]\nprompt = "x"\n'
                        'parameters = { Seed = 1, promptExtend = true, deep = [{ a = nan }], "" = 1 }\n'
                        '[image.b]\nprompt = "x"\nparameters = "enhance"\n',
    })  # fmt: skip
    text = project.complaint()
    for claim, place in (
        ("since: 2026-02-01 can't be sent, because JSON has no dates and times; write it as a text in quotes", "1:20"),
        (
            "Seed: qwenbuild has a field for it: write seed in the image, at the top of the spec, or in [defaults]",
            "4:16",
        ),
        ("promptExtend: qwenbuild has a field for it: write prompt_extend in the image, ", "4:26"),
        ("deep: nan can't be sent, because JSON has no such number", "4:54"),
        (": a parameter needs a name", "4:69"),
        ("parameters: wrong type, a text", "7:14"),
    ):
        assert f"error: {claim}" in text
        assert f" --> specs/a.toml:{place}\n" in text
    assert text.count("error: ") == 6
    project.write({"qwenbuild.toml": "models.qwen-image-plus.parameters.n = 4\ndefaults.parameters.size = 1\n"})
    text = project.complaint()
    assert "error: n: n is always 1, because one request makes one image; several seeds" in text
    assert "error: size: qwenbuild has a field for it" in text


@pytest.mark.parametrize(
    "parameters",
    [
        {"prompt_extend_mode": "agent", "enable_thinking": True},
        {"style": "<sketch>", "ref_mode": "repaint", "ref_strength": 0.5},
        {"color_palette": [{"hex": "#C2D1E6", "ratio": "23.51%"}], "thinking_mode": True},
        {"bbox_list": [[[989, 515, 1138, 681]], []]},
        {"resolution": "2K", "aspect_ratio": "16:9", "quality": "high"},
        {"enable_interleave": True, "max_images": 1, "stream": False},
        {"result_format": "message", "output_format": "webp", "output_quality": 95},
        {"steps": 50, "guidance_scale": 7.5, "sampler": "euler"},
        {"loras": {"someone/ink-wash": 0.6, "other.one/x": 0.4}},
        {"noise_level": 999, "ref_prompt_weight": 1e-05},
        {"extra_body": {"true_cfg_scale": 4.0, "num_inference_steps": 50}, "模型": "水墨"},
        {"bucket": "s3://a b?c=d&e=f#g", "note": 'He said "hi"\n\t\\ {{ x }}'},
    ],
)
def test_parameters_of_other_peoples_requests(project: Workspace, parameters: dict[str, Any]) -> None:
    """Those of other models of the vendor, of gateways and of local servers go as they are."""
    project.write({"specs/a.toml": tomli_w.dumps({"image": {"a": {"prompt": "x", "parameters": parameters}}})})
    [action] = project.actions()
    assert action.request.as_dict()["parameters"] == parameters
    assert json.dumps(action.request.as_dict()["parameters"], sort_keys=True) == json.dumps(parameters, sort_keys=True)


def test_the_parameters_of_all_places_have_one_limit(project: Workspace) -> None:
    """Each place alone is within it."""
    half = f'parameters.{{}} = "{"x" * 6000}"\n'
    image = '[image.a]\nprompt = "x"\n'
    project.write({"specs/a.toml": half.format("one") + image + half.format("two")})
    claim = "the parameters of a/a, with those of all places: as JSON, the parameters have 12,019 characters"
    assert project.complaint().startswith(f"error: {claim}; at most 10,000\n --> specs/a.toml:4:1")
    project.write({"specs/a.toml": image + half.format("one")})
    assert len(project.actions()) == 1


# --- the reference: the fields of a cell, one after another ---

OF_MODELS = {"qwen-image": {"b": 2, "c": 2}}
_CHOICES: dict[str, list[Any]] = {
    "model": ["qwen-image-plus", "qwen-image", "qwen-image-2.0"],
    "size": ["1:1", "16:9"],
    "seed": [0, 5],
    "watermark": [True, False],
}


def reference(image: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return (model, size, seed, watermark, parameters) of each cell.

    A field comes from an axis, else a template, else a value, else the default. The parameters of the image hide those
    of its model.
    """
    axes: dict[str, list[Any]] = image.get("matrix", {})
    found = []
    for values in itertools.product(*axes.values()):
        cell = dict(zip(axes, values, strict=True))

        def value(name: str, default: Any, cell: dict[str, Any] = cell) -> Any:
            if name in cell:
                return cell[name]
            written = image.get(name, default)
            return cell["row"][name] if isinstance(written, str) and "{{" in written else written

        model = builtin().models[value("model", DEFAULT_MODEL)]
        size = value("size", None)
        found.append((model.name, model.size(size) if size else model.default_size,
                      value("seed", derived_seed("s/a")), value("watermark", False),
                      {**OF_MODELS.get(model.name, {}), **image.get("parameters", {})}))  # fmt: skip
    return found


@st.composite
def _images(draw: st.DrawFn) -> dict[str, Any]:
    rows = [
        {"id": str(number), **{name: draw(st.sampled_from(values)) for name, values in _CHOICES.items()}}
        for number in range(draw(st.integers(1, 3)))
    ]
    image: dict[str, Any] = {"prompt": "x {{ row.id }}", "matrix": {"row": rows}}
    for name, values in _CHOICES.items():
        match draw(st.sampled_from(["axis", "template", "value", "unset"])):
            case "axis":
                image["matrix"][name] = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True))
            case "template":
                image[name] = f"{{{{ row.{name} }}}}"
            case "value":
                image[name] = draw(st.sampled_from(values))
    if draw(st.booleans()):
        image["parameters"] = draw(st.dictionaries(st.sampled_from("ab"), st.integers(0, 1)))
    return image


@given(_images())
def test_fields_are_those_of_the_reference(image: dict[str, Any]) -> None:
    """However axes, templates, values and defaults are mixed."""
    with tempfile.TemporaryDirectory() as folder:
        text = tomli_w.dumps({"image": {"a": image}})
        config = tomli_w.dumps({"models": {name: {"parameters": table} for name, table in OF_MODELS.items()}})
        actions = Workspace(Path(folder)).write({"qwenbuild.toml": config, "specs/s.toml": text}).actions()
    made = [
        (it.model.name, it.size, it.seed, it.request.watermark, it.request.as_dict().get("parameters", {}))
        for it in actions
    ]
    expected = reference(image)
    assert sorted(made, key=str) == sorted(expected, key=str) if "model" in image["matrix"] else made == expected
