"""Tests of finding a project, its config, and the places that follow from it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from qwenbuild.errors import ProjectError, UsageError
from qwenbuild.specs import project as projects
from qwenbuild.specs.project import Config, find
from tests.support.workspace import Workspace


def complaint(folder: Path) -> str:
    with pytest.raises((ProjectError, UsageError)) as caught:
        find(folder)
    return str(caught.value)


def test_a_project_is_found_from_below(project: Workspace) -> None:
    """Like a repository."""
    deep = project.root / "a/b/c"
    deep.mkdir(parents=True)
    assert find(deep).root == project.root
    assert find(deep / ".." / ".").root == project.root


def test_a_pyproject_holds_a_project_too(tmp_path: Path) -> None:
    """Under its own table; other projects' files are passed by."""
    Workspace(tmp_path).write({
        "pyproject.toml": '[project]\nname = "x"\n[tool.qwenbuild]\nout = "images"\n',
        "package/pyproject.toml": '[project]\nname = "y"\n[tool.other]\nx = 1\n',
        "package/deep/x": "",
    })  # fmt: skip
    found = find(tmp_path / "package/deep")
    assert (found.root, found.out) == (tmp_path, tmp_path / "images")
    assert [path.relative_to(tmp_path).as_posix() for path in found.searched] == [
        "package/deep/qwenbuild.toml", "package/deep/pyproject.toml", "package/qwenbuild.toml",
        "package/pyproject.toml", "qwenbuild.toml", "pyproject.toml",
    ]  # fmt: skip


def test_its_own_file_comes_before_a_pyproject(tmp_path: Path) -> None:
    """In one folder."""
    Workspace(tmp_path).write({"qwenbuild.toml": 'out = "a"', "pyproject.toml": '[tool.qwenbuild]\nout = "b"\n'})
    assert find(tmp_path).out == tmp_path / "a"


def test_the_nearest_project_is_meant(project: Workspace) -> None:
    """A project may lie in another."""
    inner = Workspace(project.root / "inner").write({"qwenbuild.toml": ""})
    assert find(inner.root).root == inner.root


def test_no_project_anywhere(tmp_path: Path) -> None:
    """Where it was looked for, and what to do."""
    assert complaint(tmp_path) == (
        "error: no project here: neither qwenbuild.toml nor [tool.qwenbuild] in pyproject.toml\n"
        f"  = looked in {tmp_path} and every folder above\n"
        "  = hint: `qwenbuild init` makes a project, `-C DIR` names one"
    )


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_folder_that_is_none(tmp_path: Path, name: str) -> None:
    """As it was named."""
    (tmp_path / "file").touch()
    assert complaint(tmp_path / name) == f"error: no such folder: {tmp_path / name}"


def test_defaults(project: Workspace) -> None:
    """An empty config is a whole one."""
    config = project.project.config
    assert config == Config()
    assert (config.provider, config.specs, config.templates, config.out) == (
        "dashscope", "specs/*.toml", "templates", "out"
    )  # fmt: skip
    assert (config.max_renders, config.resubmit, config.budget.max_cost) == (10_000, "never", None)


def test_everything_can_be_set(project: Workspace) -> None:
    """Every key of the config."""
    project.write({"qwenbuild.toml": """
        provider = "draft"
        specs = "prompts/**/*.spec.toml"
        templates = "prompts/templates"
        out = "build/images"
        max_renders = 5
        resubmit = "always"
        budget = { max_cost = 12.5 }
        [providers.dashscope]
        region = "beijing"
        [models.mine]
        sizes = ["1024*1024"]
        """})  # fmt: skip
    found = project.project
    assert (found.out, found.templates, found.state_dir) == (
        project.root / "build/images", project.root / "prompts/templates", project.root / ".qwenbuild"
    )  # fmt: skip
    assert found.config.budget.max_cost == Decimal("12.5")
    assert found.config.providers == {"dashscope": {"region": "beijing"}}
    assert str(found.catalogue.model("mine").default_size) == "1024x1024"


def test_messages_name_files_from_the_root(project: Workspace) -> None:
    """What lies elsewhere has its whole path."""
    found = project.project
    assert found.shown(project.root / "specs/a.toml") == "specs/a.toml"
    assert found.shown(Path("/etc/hosts")) == "/etc/hosts"


@pytest.mark.parametrize("text", ["", "/abs", "../up", "a/../../b", "a\\\\..\\\\b", "nul\\u0000"])
@pytest.mark.parametrize("key", ["specs", "templates", "out"])
def test_folders_lie_inside_the_project(project: Workspace, key: str, text: str) -> None:
    """Nothing is read or written elsewhere."""
    project.write({"qwenbuild.toml": f'{key} = "{text}"\n'})
    assert complaint(project.root).splitlines()[0] == f"error: {key}: must be a path inside the project"


@pytest.mark.parametrize("glob", [".", "specs/", "specs/**", "**", "a**/b.toml", "specs/**.toml"])
def test_globs_that_name_no_files(project: Workspace, glob: str) -> None:
    """A folder, or stars where they mean nothing."""
    project.write({"qwenbuild.toml": f'specs = "{glob}"\n'})
    assert complaint(project.root).splitlines()[0] == (
        'error: specs: must be a glob of files, such as "specs/*.toml" or "specs/**/*.toml"'
    )


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("max_renders = -1", "max_renders is -1"),
        ("max_renders = true", "max_renders: wrong type, true/false"),
        ("max_renders = 1.5", "max_renders: wrong type, a number"),
        ("budget.max_cost = nan", "max_cost is NaN"),
        ('budget.max_cost = "much"', "max_cost: wrong type, a text"),
        ("provider = 5", "provider: wrong type, a whole number"),
        ("models = 5", "models: wrong type, a whole number"),
        ("models.x = 5", "x: wrong type, a whole number"),
        ('[models."a.b: c"]\nsizes = []', "sizes: must be \"fixed\", \"any\", or a list such as [\"1024*1024\"]"),
        ("[models.x]\nprice = 5", 'unknown key "price" in [models.x]'),
    ],
)  # fmt: skip
def test_values_that_make_no_sense(project: Workspace, text: str, claim: str) -> None:
    """Each with its place in the config."""
    project.write({"qwenbuild.toml": text})
    lines = complaint(project.root).splitlines()
    assert lines[0] == f"error: {claim}"
    assert lines[1].startswith(" --> qwenbuild.toml:")


def test_the_schema_describes_every_key() -> None:
    """Editors complete from it."""
    schema = projects.schema()
    assert set(schema["properties"]) == set(Config.model_fields)
    assert schema["additionalProperties"] is False
