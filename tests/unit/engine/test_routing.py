"""Tests of routing: one project mixes providers, regions and interfaces."""

from __future__ import annotations

from typing import Any

import pytest

from qwenbuild import load
from qwenbuild.errors import ProjectError
from qwenbuild.plan.plan import Verdict
from tests.support.workspace import Workspace

SPEC = """\
[image.sketch]
prompt = "a sketch"
provider = "draft"
[image.real]
prompt = "a photo"
[image.far]
prompt = "a photo"
seed = 7
region = "beijing"
[image.tasks]
prompt = "a photo"
seed = 8
interface = "async"
[image.plain]
prompt = "a plain image"
provider = "null"
"""


@pytest.fixture
def mixed(project: Workspace) -> Workspace:
    return project.write({"qwenbuild.toml": "", "specs/s.toml": SPEC})


def providers(project: Workspace, **choices: Any) -> dict[str, tuple[str, str]]:
    """Return the family and the price of each image."""
    engine = load(project.root, **choices)
    return {
        step.action.declaration.image_name: (step.action.request.family, str(step.price.amount if step.price else 0))
        for step in engine.plan().steps
        if step.verdict is Verdict.RENDER
    }


def test_each_image_has_its_own_provider(mixed: Workspace) -> None:
    """The plan has the price of each, and the sum."""
    assert providers(mixed) == {
        "sketch": ("draft-4", "0"), "real": ("dashscope", "0.220177"), "far": ("dashscope", "0.20"),
        "tasks": ("dashscope", "0.220177"), "plain": ("null-1", "0"),
    }  # fmt: skip
    assert {currency: str(amount) for currency, amount in load(mixed.root).plan().cost.items()} == {"CNY": "0.640354"}


def test_the_command_line_comes_first(mixed: Workspace) -> None:
    """`--provider` is that of all images; `--region` that of all images of the service."""
    assert {family for family, _ in providers(mixed, provider="draft").values()} == {"draft-4"}
    assert providers(mixed, provider="dashscope")["far"] == ("dashscope", "0.20")
    prices = providers(mixed, region="beijing")
    assert [prices[name][1] for name in ("sketch", "real", "far", "tasks")] == ["0", "0.20", "0.20", "0.20"]


def test_an_image_s_choice_may_stand_at_the_top_of_its_spec(project: Workspace) -> None:
    """It is nearer than the config's."""
    project.write({"qwenbuild.toml": 'provider = "draft"\n', "specs/s.toml": 'provider = "null"\n' + SPEC})
    assert {name: family for name, (family, _) in providers(project).items()} == {
        "sketch": "draft-4", "real": "null-1", "far": "null-1", "tasks": "null-1", "plain": "null-1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('provider = "drafts"', 'unknown provider "drafts"\n --> specs/s.toml:3:12\n'),
        ('region = "mars"', 'unknown region "mars"\n --> specs/s.toml:3:10\n'),
        ('interface = "asink"', 'unknown interface "asink"\n --> specs/s.toml:3:13\n'),
        ('interface = "async"\nmodel = "qwen-image-max"',
         'qwen-image-max has no async interface: "sync" is the one that it has\n --> specs/s.toml:4:9\n'),
        ('provider = "draft"\nregion = "beijing"', 'the provider "draft" takes no region\n --> specs/s.toml:4:1\n'),
    ],
)  # fmt: skip
def test_a_wrong_choice_has_its_place(project: Workspace, line: str, expected: str) -> None:
    """The error names the image's own line, and the nearest known name."""
    project.write({"specs/s.toml": f'[image.a]\nprompt = "x"\n{line}\n'})
    with pytest.raises(ProjectError) as caught:
        load(project.root).plan()
    assert str(caught.value).startswith(f"error: {expected}")


def test_a_model_is_rendered_by_the_interface_that_it_has(project: Workspace) -> None:
    """The config's interface is that of the models that have it, unless it is the only one."""
    spec = '[image.a]\nprompt = "x"\nmatrix.model = ["qwen-image-max", "qwen-image-plus"]\n'
    config = '[providers.dashscope]\ninterface = "async"\n'
    project.write({"qwenbuild.toml": config, "specs/s.toml": spec})
    assert len(load(project.root).plan().renders) == 2
    project.write({"qwenbuild.toml": config + "interface_only = true\n"})
    with pytest.raises(ProjectError, match="qwen-image-max has no async interface"):
        load(project.root).plan()


def test_who_names_the_project_s_provider_gets_the_same_one(project: Workspace) -> None:
    """The limits of an account are those of one provider, so two of them would send twice as much at once."""
    spec = '[image.a]\nprompt = "a"\n[image.b]\nprompt = "b"\nprovider = "dashscope"\n'
    project.write({"qwenbuild.toml": "", "specs/s.toml": spec})
    engine = load(project.root)
    assert len(engine.plan().renders) == 2
    assert [*engine.routes.used.values()] == [engine.provider]


def test_free_images_of_a_mixed_project_are_built_without_a_key(mixed: Workspace) -> None:
    """What the service would render is left, and its error is told."""
    finished = load(mixed.root).build()
    assert (finished.rendered, finished.skipped) == (2, 3)
    assert {path.name for path in (mixed.root / "out/s").iterdir()} == {"sketch.png", "plain.png"}
    assert "no API key" in finished.problems[0].claim


def test_what_is_in_flight_at_a_provider_that_no_image_uses(mixed: Workspace) -> None:
    """The plan says so, and how to collect it."""
    engine = load(mixed.root)
    action = next(it for it in engine.actions() if it.declaration.image_name == "far")
    with engine.state(create=True) as state:
        state.begin_run()
        context = {"region": "beijing", "host": "dashscope.aliyuncs.com"}
        state.accepted(state.intend(action.key, action.request.as_dict(), "dashscope", context, forced=False), "task:1")
    mixed.write({"qwenbuild.toml": 'provider = "draft"\n', "specs/s.toml": '[image.sketch]\nprompt = "a sketch"\n'})
    [problem] = load(mixed.root).plan().warnings
    assert problem.claim == "1 image is in flight at a provider that no image uses now: not collected"
    assert problem.hint == "`qwenbuild build --provider dashscope --region beijing` collects what that account made"


def test_wrong_settings_are_shown_in_the_config(project: Workspace) -> None:
    """All of them are told at once; what the command line gives has no place in the config."""
    project.write({"qwenbuild.toml": '[providers.dashscope]\nregion = "singapur"\npoll_s = 0\ntimeout = 1\n'})
    with pytest.raises(ProjectError) as caught:
        load(project.root)
    assert [(str(problem.place), problem.claim) for problem in caught.value.problems] == [
        ("qwenbuild.toml:4:1", 'unknown key "timeout" in [providers.dashscope]'),
        ("qwenbuild.toml:2:10", 'unknown region "singapur"'),
        ("qwenbuild.toml:3:10", "[providers.dashscope] poll_s is not a number of seconds above 0"),
    ]
    project.write({"qwenbuild.toml": '[providers.dashscope]\nregion = "singapore"\n'})
    with pytest.raises(ProjectError) as caught:
        load(project.root, region="pekin")
    assert [(problem.place, problem.claim) for problem in caught.value.problems] == [(None, 'unknown region "pekin"')]


OWN = 'provider = "images"\n[providers.images]\ndialect = "localai"\nsteps = 20\n[models.mine]\nsizes = ["640*640"]\n'


def own(project: Workspace, text: str, config: str = OWN, **choices: Any) -> str:
    """Return the models and sizes of the images of a spec, or the first claim about it."""
    project.write({"qwenbuild.toml": config, "specs/s.toml": text})
    try:
        actions = load(project.root, **choices).actions()
    except ProjectError as error:
        return error.problems[0].claim
    return ", ".join(f"{action.model.name} {action.size}" for action in actions)


@pytest.mark.parametrize("provider", [None, "draft", "null"])
def test_a_server_of_ones_own_has_any_model_and_size(project: Workspace, provider: str | None) -> None:
    """A free provider that stands in for it takes them, too. The project's own tables limit a model."""
    odd = '[image.a]\nprompt = "x"\nmodel = "Qwen/Qwen-Image"\nsize = "1000*50"\n'
    assert own(project, odd, provider=provider) == "Qwen/Qwen-Image 1000x50"
    mine = '[image.a]\nprompt = "x"\nmodel = "mine"\n'
    assert own(project, mine, provider=provider) == "mine 640x640"
    assert own(project, f'{mine}size = "1000*50"\n', provider=provider) == 'size "1000*50"'
    assert own(project, '[image.a]\nprompt = "x"\n', provider=provider) == "the image names no model"
    assert own(project, f'provider = "dashscope"\n{odd}', provider=provider) == 'unknown model "Qwen/Qwen-Image"'


def test_a_draft_that_an_image_chooses(project: Workspace) -> None:
    """It takes the models of the project's own server."""
    odd = 'provider = "draft"\n[image.a]\nprompt = "x"\nmodel = "Qwen/Qwen-Image"\nsize = "1000*50"\n'
    assert own(project, odd) == "Qwen/Qwen-Image 1000x50"


def test_the_service_has_its_catalogue_also_in_such_a_project(project: Workspace) -> None:
    """Money would be spent on what the service refuses."""
    odd = '[image.a]\nprompt = "x"\nmodel = "Qwen/Qwen-Image"\n'
    assert own(project, odd, provider="dashscope") == 'unknown model "Qwen/Qwen-Image"'
    assert own(project, odd, f'{OWN}[profiles.paid]\nprovider = "dashscope"\n', profile="paid") == (
        'unknown model "Qwen/Qwen-Image"'
    )
    assert own(project, odd, f'{OWN}[profiles.quick]\nprovider = "draft"\n', profile="quick") == (
        "Qwen/Qwen-Image 1328x1328"
    )


def test_a_declared_model_that_contradicts_itself(project: Workspace) -> None:
    """It is told with its place, as for the service."""
    config = OWN.replace('sizes = ["640*640"]', "pixels = [1, 100]\nsizes = 'any'")
    with pytest.raises(ProjectError) as caught:
        project.write({"qwenbuild.toml": config, "specs/s.toml": '[image.a]\nprompt = "x"\nmodel = "mine"\n'})
        load(project.root).actions()
    assert caught.value.problems[0].claim.startswith("model mine: default_size: 2048x2048 no longer fits")


def test_settings_of_the_provider_are_parameters_beneath_all_others(project: Workspace) -> None:
    """Image, config and model come first; equal numbers are one."""
    config = OWN.replace("steps = 20", "steps = 20\nguidance_scale = 1\nweights = 'w'")
    config += "parameters = { guidance_scale = 2 }\n[defaults.parameters]\ncache = 'none'\n"
    spec = '[image.a]\nprompt = "x"\nmodel = "mine"\nparameters = { steps = 8 }\n'
    project.write({"qwenbuild.toml": config, "specs/s.toml": spec})
    engine = load(project.root)
    [action] = engine.actions()
    assert action.request.as_dict()["parameters"] == {
        "steps": 8, "guidance_scale": 2.0, "weights": "w", "cache": "none"
    }  # fmt: skip
    [explained] = engine.explain()
    assert {field.name: str(field.source) for field in explained.fields if "parameter" in field.name} == {
        "parameter steps": "specs/s.toml:4", "parameter guidance_scale": "model mine, qwenbuild.toml:9",
        "parameter weights": "qwenbuild.toml:6", "parameter cache": "qwenbuild.toml:11",
    }  # fmt: skip
