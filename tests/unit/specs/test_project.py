"""Tests of finding a project, of its config, and of the paths that follow from the config."""

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
    """Any folder below the root belongs to the project."""
    deep = project.root / "a/b/c"
    deep.mkdir(parents=True)
    assert find(deep).root == project.root
    assert find(deep / ".." / ".").root == project.root


def test_a_pyproject_holds_a_project_too(tmp_path: Path) -> None:
    """The config is the table `tool.qwenbuild`; a pyproject without it is skipped."""
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
    """If one folder has both files, `qwenbuild.toml` wins."""
    Workspace(tmp_path).write({"qwenbuild.toml": 'out = "a"', "pyproject.toml": '[tool.qwenbuild]\nout = "b"\n'})
    assert find(tmp_path).out == tmp_path / "a"


def test_the_nearest_project_wins(project: Workspace) -> None:
    """A project may lie inside another project."""
    inner = Workspace(project.root / "inner").write({"qwenbuild.toml": ""})
    assert find(inner.root).root == inner.root


def test_no_project_anywhere(tmp_path: Path) -> None:
    """The error says where the search looked, and what to do."""
    assert complaint(tmp_path) == (
        "error: no project here: neither qwenbuild.toml nor [tool.qwenbuild] in pyproject.toml\n"
        f"  = looked in {tmp_path} and every folder above\n"
        "  = hint: `qwenbuild init` makes a project here; `-C DIR` names one elsewhere"
    )


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_path_that_is_no_folder(tmp_path: Path, name: str) -> None:
    """The error shows the path as given."""
    (tmp_path / "file").touch()
    assert complaint(tmp_path / name) == f"error: no such folder: {tmp_path / name}"


def test_defaults(project: Workspace) -> None:
    """An empty config has a default for each key."""
    config = project.project.config
    assert config == Config()
    assert (config.provider, config.specs, config.templates, config.out) == (
        "dashscope", "specs/*.toml", "templates", "out"
    )  # fmt: skip
    assert (config.max_renders, config.resubmit, config.budget.max_cost) == (10_000, "never", None)


def test_everything_can_be_set(project: Workspace) -> None:
    """Each key of the config has an effect."""
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
    """A file outside of the project has its absolute path."""
    found = project.project
    assert found.shown(project.root / "specs/a.toml") == "specs/a.toml"
    assert found.shown(Path("/etc/hosts")) == "/etc/hosts"


@pytest.mark.parametrize("text", ["", "/abs", "../up", "a/../../b", "a\\\\..\\\\b", "nul\\u0000"])
@pytest.mark.parametrize("key", ["specs", "templates", "out"])
def test_folders_lie_inside_the_project(project: Workspace, key: str, text: str) -> None:
    """A path that leaves the project is refused."""
    project.write({"qwenbuild.toml": f'{key} = "{text}"\n'})
    assert complaint(project.root).splitlines()[0] == f"error: {key}: must be a path inside the project"


@pytest.mark.parametrize("glob", [".", "specs/", "specs/**", "**", "a**/b.toml", "specs/**.toml"])
def test_globs_that_name_no_files(project: Workspace, glob: str) -> None:
    """A folder is refused, and so are two stars that are only a part of a name."""
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
    """Each value is reported with its place in the config."""
    project.write({"qwenbuild.toml": text})
    lines = complaint(project.root).splitlines()
    assert lines[0] == f"error: {claim}"
    assert lines[1].startswith(" --> qwenbuild.toml:")


def test_the_schema_describes_every_key() -> None:
    """Editors offer the keys that the schema lists."""
    schema = projects.schema()
    assert set(schema["properties"]) == set(Config.model_fields)
    assert schema["additionalProperties"] is False
