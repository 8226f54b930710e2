"""Tests of the spec format: what a file can contain, and what is kept of a file with mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from qwenbuild.specs import spec
from qwenbuild.specs.fields import DataFile, Range
from qwenbuild.specs.findings import Findings
from qwenbuild.specs.spec import Spec, SpecFile
from tests.support.workspace import Workspace


def load(project: Workspace, text: str) -> tuple[Spec | None, list[str]]:
    """Return the spec that `text` gives, and the claims about it."""
    project.write({"specs/a.toml": text})
    findings = Findings()
    loaded = spec.load(project.root / "specs/a.toml", "specs/a.toml", "a", findings)
    return loaded, [problem.claim for problem in findings.problems]


def test_a_spec_holds_defaults_and_images(project: Workspace) -> None:
    """One file can use every feature of the format."""
    loaded, claims = load(
        project,
        """
        model = "qwen-image"
        size = "1:1"
        seed = 1
        negative_prompt = "blurry"
        prompt_extend = true
        watermark = true
        output = "{{ image }}.png"
        vars = { brand = "Northwind" }

        [image.poster]
        template = "poster.j2"
        vars = { mood = "calm", deep = { list = [1, "two", { three = 3 }] }, day = 2026-02-10 }

        [image.poster.matrix]
        size = ["16:9", "1:1"]
        seed = { start = 1, count = 4 }
        copy = { file = "data/copy.csv", id = "code" }
        one = "value"
        rows = [{ id = "x", y = 1 }]

        [[image.poster.exclude]]
        size = "16:9"

        [[image.poster.include]]
        size = "1:1"
        rows = { id = "z" }
        """,
    )
    assert claims == []
    assert loaded is not None
    content = loaded.content
    assert (content.model, content.size, content.seed, content.negative_prompt) == ("qwen-image", "1:1", 1, "blurry")
    assert (content.prompt_extend, content.watermark, content.vars) == (True, True, {"brand": "Northwind"})
    image = content.image["poster"]
    assert (image.prompt, image.template, image.model) == (None, "poster.j2", None)
    assert image.matrix == {
        "size": ["16:9", "1:1"],
        "seed": Range(start=1, count=4),
        "copy": DataFile(file="data/copy.csv", id="code"),
        "one": "value",
        "rows": [{"id": "x", "y": 1}],
    }
    assert image.exclude == [{"size": "16:9"}]
    assert image.include == [{"size": "1:1", "rows": {"id": "z"}}]


def test_what_was_read_is_frozen(project: Workspace) -> None:
    """A spec that was read can't be changed."""
    loaded, _ = load(project, '[image.a]\nprompt = "x"\n')
    assert loaded is not None
    with pytest.raises(ValidationError):
        loaded.content.image["a"].seed = 5


@pytest.mark.parametrize(
    ("text", "images", "claims"),
    [
        (
            '[image.good]\nprompt = "x"\n[image.bad]\nprompt = 5\n',
            ["good"],
            ["prompt: wrong type, a whole number"],
        ),
        (
            'modle = "x"\n[image.good]\nprompt = "x"\n',
            ["good"],
            ['unknown key "modle"'],
        ),
        ("[image.bad]\nseed = 1\n", [], ["bad: neither prompt nor template: give exactly one"]),
        (
            '[image.good]\nprompt = "x"\nn = 1\n[image.bad]\nprompt = "x"\nn = 3\n',
            ["good"],
            ["n: one request makes one image; for 3 images write seed = { count = 3 } in the matrix"],
        ),
        ("image = 5\n", [], ["image: wrong type, a whole number"]),
        ("", [], ["specs/a.toml declares no image"]),
        ("[image]\n", [], ["specs/a.toml declares no image"]),
    ],
)
def test_images_without_mistakes_are_kept(project: Workspace, text: str, images: list[str], claims: list[str]) -> None:
    """Correct images are kept, so that the problems of all images are found in the same run."""
    loaded, found = load(project, text)
    assert (list(loaded.content.image) if loaded else None) == images
    assert [claim for claim in claims if claim not in found] == []


def test_a_file_that_is_no_toml_gives_nothing(project: Workspace) -> None:
    """Only the syntax error is reported."""
    assert load(project, "[image") == (None, ["not valid TOML: expected ']' at the end of a table declaration"])


@pytest.mark.parametrize("name", ["poster", "Poster_2", "poster-a.b", "海报", "9lives", "é"])
def test_valid_image_names(project: Workspace, name: str) -> None:
    """Letters and digits of all scripts, underscores, hyphens and dots are allowed."""
    assert load(project, f'[image."{name}"]\nprompt = "x"\n')[1] == []


@pytest.mark.parametrize("name", ["", "a b", "a/b", "_a", "-a", ".a", "a[1]", "a=b", "a\\n", "a,b"])
def test_invalid_image_names(project: Workspace, name: str) -> None:
    """Characters with a meaning in cell names or paths are refused."""
    shown = name.replace("\\n", "\n")
    assert load(project, f'[image."{name}"]\nprompt = "x"\n')[1] == [f'not an image name: "{shown}"']


@pytest.mark.parametrize("name", ["spec", "image", "width", "height", "ratio", "a-b", "1a", "a b", ""])
def test_invalid_axis_names(project: Workspace, name: str) -> None:
    """An axis must be a valid name in templates, and must not hide a name that qwenbuild sets."""
    assert load(project, f'[image.a]\nprompt = "x"\n[image.a.matrix]\n"{name}" = 1\n')[1] == [
        f'not an axis name: "{name}"'
    ]


@pytest.mark.parametrize("name", ["spec", "image", "width", "height", "ratio", "model", "size", "seed"])
def test_variables_can_not_hide_what_qwenbuild_sets(project: Workspace, name: str) -> None:
    """Neither a variable of the file nor a variable of an image can have such a name."""
    claim = f'"{name}" is a name that qwenbuild sets; a variable can\'t take it'
    assert load(project, f'vars = {{ {name} = 1 }}\n[image.a]\nprompt = "x"\n')[1] == [claim]
    assert load(project, f'[image.a]\nprompt = "x"\nvars = {{ {name} = 1 }}\n')[1] == [claim]


def test_the_schema_describes_every_key() -> None:
    """Editors offer the keys of the schema and mark unknown ones."""
    schema = spec.schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["properties"]) == set(SpecFile.model_fields)
    image = schema["$defs"]["Image"]
    assert schema["additionalProperties"] is image["additionalProperties"] is False
    assert [name for name, field in image["properties"].items() if not field.get("description")] == []
    assert json.loads(json.dumps(schema)) == schema


def test_the_worked_examples_have_no_problems() -> None:
    """All specs of this repository are valid."""
    findings = Findings()
    found = Workspace(Path(__file__).parents[3]).specs(findings)
    assert (len(found), findings.problems) == (4, [])


def _leaves(schema: Any) -> list[Any]:
    if isinstance(schema, dict):
        return [schema, *(leaf for value in schema.values() for leaf in _leaves(value))]
    return [leaf for value in schema for leaf in _leaves(value)] if isinstance(schema, list) else []


def test_every_reference_of_the_schema_is_defined() -> None:
    """Every `$ref` names an entry of `$defs`."""
    schema = spec.schema()
    references = {leaf["$ref"] for leaf in _leaves(schema) if "$ref" in leaf}
    assert references <= {f"#/$defs/{name}" for name in schema["$defs"]}
