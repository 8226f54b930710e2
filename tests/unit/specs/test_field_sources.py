"""Tests of field sources: axes, data files, includes, images, specs, the config and defaults."""

from __future__ import annotations

from qwenbuild import load
from qwenbuild.specs.field_sources import Sources
from tests.support.workspace import Workspace

SPEC = """\
model = "qwen-image-plus"
negative_prompt = "blurry"

[vars]
brand = "Acme"

[image.poster]
prompt = "{{ brand }} {{ mood }} {{ flower.name }}"
vars = { mood = "calm" }

[image.poster.matrix]
size = ["16:9", "1:1"]
seed = { start = 1, count = 2 }
flower = { file = "data/flowers.csv" }

[[image.poster.include]]
size = "3:4"
seed = 42
flower = "lily"

[image.plain]
template = "plain.j2"
prompt_extend = true
matrix = { subject = [{ id = "a", is = "ape" }, { id = "b", is = "bee" }], watermark = true }
"""


def sources_of(project: Workspace, name: str, *, asked: bool = False) -> dict[str, str]:
    """Return the sources of a cell's fields and template variables, as texts."""
    project.write({"specs/s.toml": SPEC, "specs/data/flowers.csv": "id,name\nrose,red rose\nlily,white lily\n",
                   "templates/plain.j2": "{{ subject.is }}"})  # fmt: skip
    action = next(action for action in project.actions() if action.name == name)
    sources = Sources(project.project, action, asked=asked)
    names = ("brand", "mood", "flower", "subject", "ratio", "image", "spec", "nosuch")
    seen = {name: str(source) for name in names if (source := sources.variable(name))}
    return {name: str(source) for name, source in sources.fields().items()} | seen


def test_a_cell_of_the_matrix(project: Workspace) -> None:
    """Fields come from axes, the image, the top of its spec, or are defaults; a row has a line of its own."""
    assert sources_of(project, "s/poster[flower=lily,seed=2,size=1328x1328]") == {
        "family": "default", "model": "specs/s.toml:1", "prompt": "specs/s.toml:8", "negative_prompt": "specs/s.toml:2",
        "size": "axis size, specs/s.toml:12", "seed": "axis seed, specs/s.toml:13", "prompt_extend": "default",
        "watermark": "default", "output": "default pattern", "brand": "specs/s.toml:5", "mood": "specs/s.toml:9",
        "flower": "axis flower, specs/data/flowers.csv:3", "ratio": "axis size, specs/s.toml:12",
        "image": "the image's name, specs/s.toml:7", "spec": "the spec's name, specs/s.toml",
    }  # fmt: skip


def test_a_parameter_comes_from_a_place_or_from_its_model(project: Workspace) -> None:
    """The nearest place that sets it is named."""
    project.write({
        "qwenbuild.toml": '[models.qwen-image-plus.parameters]\na = 1\nb = 1\n[defaults.parameters]\nb = 2\nc = 2\n',
        "specs/s.toml": 'parameters = { c = 3, d = 3 }\n[image.x]\nprompt = "x"\nparameters.d = 4\n',
    })  # fmt: skip
    [action] = project.actions()
    assert action.request.parameters == '{"a":1,"b":2,"c":3,"d":4}'
    sources = Sources(project.project, action, asked=False)
    assert {name: str(sources.parameter(name, "dashscope")) for name in "abcde"} == {
        "a": "model qwen-image-plus, qwenbuild.toml:2", "b": "qwenbuild.toml:5", "c": "specs/s.toml:1",
        "d": "specs/s.toml:4", "e": "not set",
    }  # fmt: skip


def test_an_included_cell(project: Workspace) -> None:
    """All values of the cell, rows included, have their place in the include."""
    found = sources_of(project, "s/poster[flower=lily,seed=42,size=1104x1472]")
    assert {name: found[name] for name in ("size", "seed", "flower")} == {
        "size": "include, size, specs/s.toml:17", "seed": "include, seed, specs/s.toml:18",
        "flower": "include, flower, specs/s.toml:19",
    }  # fmt: skip


def test_fields_that_nothing_sets(project: Workspace) -> None:
    """The seed is derived from the image's name, the size is the model's default, and a template is named."""
    found = sources_of(project, "s/plain[subject=b,watermark=true]", asked=True)
    names = ("family", "prompt", "size", "seed", "prompt_extend", "watermark", "subject")
    assert {name: found[name] for name in names} == {
        "family": "--provider", "prompt": "template templates/plain.j2, specs/s.toml:22",
        "size": "default of qwen-image-plus", "seed": "derived from the name s/plain",
        "prompt_extend": "specs/s.toml:23", "watermark": "axis watermark, specs/s.toml:24",
        "subject": "axis subject, specs/s.toml:24",
    }  # fmt: skip


def test_the_provider_of_the_config(project: Workspace) -> None:
    """The config may be in `qwenbuild.toml` or in `pyproject.toml`."""
    name = "s/plain[subject=a,watermark=true]"
    assert sources_of(project.write({"qwenbuild.toml": '\nprovider = "null"\n'}), name)["family"] == "qwenbuild.toml:2"
    (project.root / "qwenbuild.toml").unlink()
    project.write({"pyproject.toml": '[tool.qwenbuild]\nprovider = "null"\n'})
    assert sources_of(project, name)["family"] == "pyproject.toml:2"


def test_what_the_command_line_gives(project: Workspace) -> None:
    """A variable of `--var` names the option; what a profile sets names the profile and its place."""
    config = '[profiles.print]\nprovider = "draft"\ndefaults.size = "16:9"\ndefaults.vars.who = "Ann"\n'
    spec = '[image.a]\nprompt = "{{ who }} {{ mood }}"\nvars.mood = "calm"\n'
    project.write({"qwenbuild.toml": config, "specs/s.toml": spec})
    engine = load(project.root, profile="print", variables=["mood=wild"])
    [action] = engine.actions()
    sources = Sources(engine.project, action, asked=False)
    found = [sources.fields()[name] for name in ("family", "size")] + [
        sources.variable(name) for name in ("who", "mood")
    ]
    assert [*map(str, found)] == [
        "profile print, qwenbuild.toml:2", "profile print, qwenbuild.toml:3", "profile print, qwenbuild.toml:4",
        "--var mood",
    ]  # fmt: skip


def test_a_parameter_of_a_profile(project: Workspace) -> None:
    """Its source names the profile, as that of a field or a variable does."""
    project.write({
        "qwenbuild.toml": '[profiles.print.defaults]\nsize = "16:9"\nparameters.a = 1\n',
        "specs/s.toml": '[image.x]\nprompt = "x"\n',
    })  # fmt: skip
    engine = load(project.root, profile="print")
    [action] = engine.actions()
    sources = Sources(engine.project, action, asked=False)
    assert str(sources.fields()["size"]) == "profile print, qwenbuild.toml:2"
    assert str(sources.parameter("a", "dashscope")) == "profile print, qwenbuild.toml:3"


def test_data_that_changed_since(project: Workspace) -> None:
    """If the row is gone, the source is the place of the axis."""
    name = "s/poster[flower=rose,seed=1,size=1328x1328]"
    sources_of(project, name)
    action = next(action for action in project.actions() if action.name == name)
    for text in ("id,name\nlily,white lily\n", "id,name\n", 'id,"torn'):
        project.write({"specs/data/flowers.csv": text})
        source = Sources(project.project, action, asked=False).variable("flower")
        assert str(source) == "axis flower, specs/s.toml:14"
