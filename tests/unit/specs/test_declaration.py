"""Tests of declarations: labels of values, shared axes, and the place that sets a field."""

from __future__ import annotations

from qwenbuild.specs.declaration import Declaration, Value
from tests.support.workspace import Workspace

CONFIG = """\
[defaults]
size = "1:1"
negative_prompt = "blurry"
[axes]
palette = ["red", "blue"]
copy = { file = "texts/copy.csv" }
"""
SPEC = """\
size = "16:9"
[axes]
palette = ["green"]
[image.poster]
prompt = "{{ palette }}"
axes = ["copy", "palette"]
matrix.seed = [1, 2]
"""
FILES = {"qwenbuild.toml": CONFIG, "specs/a.toml": SPEC, "texts/copy.csv": "id,t\nen,x\nzh,y\n"}


def declared(project: Workspace) -> Declaration:
    [found] = project.write(FILES).declarations()
    return found


def test_default_paths_tell_values_apart() -> None:
    """Texts become slugs, with a digest if needed; numbers stay unchanged."""
    assert Value.of("Calm!", "Calm!").path_part == "calm"
    assert Value.of("-1", -1).path_part == "-1"
    assert Value.of("!", "!").path_part != Value.of("?", "?").path_part
    one, other = ("x" * 100 + end for end in "ab")
    assert Value.of(one, one).path_part != Value.of(other, other).path_part


def test_shared_axes_come_before_those_of_the_matrix(project: Workspace) -> None:
    """An axis of the spec is nearer than one of the config; data files are relative to the file that names them."""
    declaration = declared(project)
    assert [*declaration.axes] == ["copy", "palette", "seed"]
    assert declaration.axes["palette"] == ["green"]
    assert list(map(str, declaration.axes["copy"])) == ["en", "zh"]
    assert declaration.cells == 4
    assert str(declaration.written["palette"].place(0)) == "specs/a.toml:3:12"
    assert str(declaration.written["copy"].place("file")) == "qwenbuild.toml:6:17"


def test_the_nearest_place_sets_a_field(project: Workspace) -> None:
    """The top of a spec is nearer than the defaults of the config; what nobody sets has the image's place."""
    declaration = declared(project)
    assert (declaration.setting("size"), str(declaration.place_of("size"))) == ("16:9", "specs/a.toml:1:8")
    assert str(declaration.place_of("negative_prompt")) == "qwenbuild.toml:3:19"
    assert (declaration.setting("model"), str(declaration.place_of("model"))) == (None, "specs/a.toml:4:2")
    assert str(declaration.place_of("seed")) == "specs/a.toml:7:15"


def test_mistakes_in_shared_axes_are_told_with_their_place(project: Workspace) -> None:
    """An unknown name, a name twice, and one that the matrix has, too."""
    project.write(FILES)
    project.write({"specs/a.toml": SPEC.replace('["copy", "palette"]', '["copi", "palette", "palette", "seed"]')
                   + '[axes.seed]\ncount = 3\n'})  # fmt: skip
    assert project.complaint() == (
        'error: no shared axis "copi"\n'
        " --> specs/a.toml:6:9\n"
        "  |\n"
        '6 | axes = ["copi", "palette", "palette", "seed"]\n'
        "  |         ^^^^^^\n"
        '  = hint: did you mean "copy"?\n'
        "\n"
        "error: axis palette is named twice\n"
        " --> specs/a.toml:6:28\n"
        "  |\n"
        '6 | axes = ["copi", "palette", "palette", "seed"]\n'
        "  |                            ^^^^^^^^^\n"
        "  = hint: one of them is enough\n"
        "\n"
        "error: axis seed is named in the matrix, too\n"
        " --> specs/a.toml:6:39\n"
        "  |\n"
        '6 | axes = ["copi", "palette", "palette", "seed"]\n'
        "  |                                       ^^^^^^\n"
        "  = hint: one of them is enough"
    )
