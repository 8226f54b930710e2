"""Tests of the outline of a project that shell completion offers."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenbuild.errors import ProjectError
from qwenbuild.specs import outline
from tests.support.workspace import Workspace

SPEC = """\
model = "qwen-image-plus"
[image.poster]
prompt = "x"
size = "1:1"
include = [{ seed = 42, mood = "night", copy = { id = "fr" } }]
[image.poster.matrix]
seed = { start = 5, count = 3, step = 2 }
mood = ["calm", true, 1.5, { id = "loud" }, { title = "y" }]
copy = { file = "data/copy.csv", id = "code" }
many = { count = 1000000000000 }
"""


def poster(project: Workspace, config: str = "") -> outline.ImageOutline:
    project.write({"qwenbuild.toml": config, "specs/a.toml": SPEC, "specs/data/copy.csv": "code,t\nen,x\nzh,y\n"})
    [found] = outline.images(project.root)
    return found


@pytest.mark.parametrize(
    ("axis", "labels"),
    [
        ("seed", ["5", "7", "9", "42"]),
        ("mood", ["calm", "true", "1.5", "loud", "5", "night"]),
        ("copy", ["en", "zh"]),
        ("many", [str(number) for number in range(100)]),
        ("size", ["1:1"]),
        ("model", ["qwen-image-plus"]),
        ("nosuch", []),
    ],
)
def test_labels_of_an_axis_or_field(project: Workspace, axis: str, labels: list[str]) -> None:
    """Every form of an axis gives its labels, then come those of `include`; a long range gives its first hundred."""
    assert list(poster(project).labels(axis)) == labels


def test_labels_that_only_leaves(project: Workspace) -> None:
    """If all entries of `only` name an axis, it has just their values. Otherwise it may have all."""
    spec = '[image.x]\nprompt = "x"\nmatrix = { n = [1, 2, 3], m = [4, 5] }\nonly = [{ n = 3, m = 4 }, { n = 1 }]\n'
    [found] = outline.images(project.write({"specs/a.toml": spec}).root)
    assert {axis: [*found.labels(axis)] for axis in found.matrix} == {"n": ["3", "1"], "m": ["4", "5"]}


def test_axes_of_an_image_without_a_matrix(project: Workspace) -> None:
    """They are those that its includes name. What is no table is left out."""
    spec = '[image.x]\nprompt = "x"\ninclude = [{ n = 1, m = "a" }, { n = 2, m = "a" }]\n'
    spec += '[image.y]\nprompt = "x"\ninclude = [1]\n[image.z]\nprompt = "x"\ninclude = 1\n'
    found = outline.images(project.write({"specs/a.toml": spec}).root)
    assert [[*image.matrix] for image in found] == [["n", "m"], [], []]
    assert list(dict.fromkeys(found[0].labels("n"))) == ["1", "2"]


@pytest.mark.parametrize(("tags", "found"), [('["web", 3]', ["web"]), ('"web"', []), ("{}", [])])
def test_tags_as_written(project: Workspace, tags: str, found: list[str]) -> None:
    """What is no tag is left out."""
    project.write({"specs/a.toml": f'[image.x]\nprompt = "x"\ntags = {tags}\n'})
    assert [image.tags for image in outline.images(project.root)] == [found]


def test_labels_are_those_of_the_build(project: Workspace) -> None:
    """The build gives the cells of an axis the same labels, in the same order."""
    text = SPEC.replace("1000000000000", "2").replace('"fr" }', '"fr" }, many = 9')
    project.write({"specs/data/copy.csv": "code,t\nen,x\nzh,y\n", "specs/a.toml": text})
    [found] = outline.images(project.root)
    cells = [action.cell for action in project.actions()]
    for axis in ("seed", "mood", "many"):
        assert list(found.labels(axis)) == list(dict.fromkeys(cell[axis] for cell in cells))


def test_a_mistake_in_a_data_file_is_an_error(project: Workspace) -> None:
    """If a data file can't be read, completion offers nothing for this axis."""
    found = poster(project)
    project.write({"specs/data/copy.csv": '"'})
    with pytest.raises(ProjectError):
        list(found.labels("copy"))


def test_images_have_the_names_that_a_build_gives_them(project: Workspace) -> None:
    """Specs that can't be read, hidden files and entries that are not tables are left out."""
    house = '[image.house]\nprompt = "x"\n'
    project.write({
        "qwenbuild.toml": 'specs = "art/**/*.toml"\n', "art/a.toml": house, "art/deep/b.toml": house,
        "specs/c.toml": house,
        "art/.hidden.toml": house, "art/torn.toml": "[image", "art/odd.toml": "image = 3\n", "art/latin.toml": b"\xe9",
    })  # fmt: skip
    assert [image.full_name for image in outline.images(project.root / "art/deep")] == ["a/house", "deep/b/house"]


@pytest.mark.parametrize("config", ['specs = "../*.toml"\n', "specs = 5\n"])
def test_a_config_with_mistakes_gives_no_images(project: Workspace, config: str) -> None:
    """Nothing outside of the project is read."""
    project.write({"qwenbuild.toml": config, "specs/a.toml": SPEC})
    assert outline.images(project.root) == []


def test_a_config_that_is_not_toml_is_an_error(project: Workspace) -> None:
    """If the config can't be read, completion offers nothing."""
    project.write({"qwenbuild.toml": "torn = "})
    with pytest.raises(ProjectError):
        outline.images(project.root)


def test_no_project_gives_no_images(tmp_path: Path) -> None:
    """A folder without a config has no specs."""
    Workspace(tmp_path).write({"specs/a.toml": SPEC})
    assert outline.images(tmp_path) == []


def test_nothing_outside_of_the_project_is_read(project: Workspace) -> None:
    """Neither a data file nor a spec, by `..` or by a link."""
    (project.root.parent / "secret.csv").write_text("id\ncanary\n")
    (project.root.parent / "secret.toml").write_text("[image.canary]\n")
    matrix = 'far = { file = "../../secret.csv" }\nlinked = { file = "link.csv" }\n'
    project.write({"qwenbuild.toml": "", "specs/a.toml": f"[image.a]\n[image.a.matrix]\n{matrix}"})
    (project.root / "specs/link.csv").symlink_to("../../secret.csv")
    (project.root / "specs/link.toml").symlink_to("../../secret.toml")
    [image] = outline.images(project.root)
    assert (image.name, [*image.labels("far"), *image.labels("linked")]) == ("a", [])


def test_shared_axes_are_offered(project: Workspace) -> None:
    """They come from the config or the spec; data files are relative to the file that names them."""
    project.write({
        "qwenbuild.toml": '[axes]\nhue = ["red"]\ncopy = { file = "texts/copy.csv" }\n',
        "texts/copy.csv": "id\nen\n",
        "specs/a.toml": 'axes.hue = ["blue"]\n[image.a]\nprompt = "x"\naxes = ["hue", "copy", "nosuch"]\n'
                        "matrix.seed = 1\n",
    })  # fmt: skip
    [found] = outline.images(project.root)
    assert [*found.matrix] == ["hue", "copy", "seed"]
    assert [list(found.labels(axis)) for axis in found.matrix] == [["blue"], ["en"], ["1"]]


def test_profiles_and_variables(project: Workspace) -> None:
    """Variables are those of the config, its profiles, the specs and their images, each once."""
    assert (outline.profiles(project.root / "specs"), outline.variables(project.root)) == ([], [])
    config = "[defaults.vars]\na = 1\n[profiles.print.defaults.vars]\nb = 1\n[profiles.web]\nregion = 'x'\n"
    spec = "vars = { c = 1, a = 2 }\n[image.x]\nprompt = 'x'\nvars.d = 1\n[image.y]\nvars = 3\n"
    project.write({"qwenbuild.toml": config, "specs/a.toml": spec})
    assert outline.profiles(project.root) == ["print", "web"]
    assert outline.variables(project.root) == ["a", "b", "c", "d"]
