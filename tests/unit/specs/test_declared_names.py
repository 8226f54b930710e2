"""Tests of declared names: every name with a meaning of its own, in each place where a spec can use it."""

from __future__ import annotations

import pytest

from qwenbuild.specs import declared_names
from qwenbuild.specs.spec import Image
from tests.support.workspace import Workspace

GIVEN = ("spec", "image", "width", "height", "ratio")
SET = ("model", "size", "seed")
FIELDS = ("negative_prompt", "prompt_extend", "watermark")
IMAGE_KEYS = ("prompt", "template", "output", "vars", "matrix", "exclude", "include")
UNREADABLE = ("true", "false", "none", "True", "False", "None", "not", "self")
ORDINARY = (
    # Jinja's functions, and the names that it sets inside loops, blocks and macros
    "range", "dict", "cycler", "joiner", "namespace", "lipsum", "loop", "super", "caller", "varargs", "kwargs",
    # words of Jinja and Python
    "and", "or", "in", "is", "if", "else", "elif", "for", "block", "import", "set", "call", "filter", "macro", "with",
    "class", "def", "lambda", "await", "yield", "__init__", "__class__", "_",
    # names inside Jinja and qwenbuild
    "context", "environment", "resolve", "undefined", "missing", "blocks", "name", "n", "id", "file", "start", "count",
    "step", "key", "label", "items", "keys", "get", "family", "copy",
    # keys that images gained later: specs of earlier versions may have axes of these names
    *(NEWER := ("axes", "tags", "provider", "region", "interface", "max_cost", "parameters", "only")),
)  # fmt: skip
ALL = (*GIVEN, *SET, *FIELDS, *IMAGE_KEYS, *UNREADABLE, *ORDINARY)


def test_the_names_are_all_that_the_format_has() -> None:
    """A key of an image is an axis, or refused as one, or so new that specs have axes of its name."""
    assert {*Image.model_fields} - {*IMAGE_KEYS, *NEWER, "n"} == {*SET, *FIELDS} == {*declared_names.FIELDS}


@pytest.mark.parametrize("tag", ["web", "Hero-2", "v1.0", "_draft", ".x", "caf\u00e9", "猫"])
def test_tags(project: Workspace, tag: str) -> None:
    """A tag has letters and digits of any script, _, - and . in it."""
    assert project.write({"specs/a.toml": f'[image.x]\nprompt = "x"\ntags = ["{tag}"]\n'}).prompts() == ["x"]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ('["web", "a b"]', 'not a tag: "a b"\n --> specs/a.toml:3:16\n  |\n3 | tags = ["web", "a b"]\n'
                           "  |                ^^^^^ letters, digits, _, - and ., first no -"),
        ('["-x"]', 'not a tag: "-x"\n --> specs/a.toml:3:9\n  |\n3 | tags = ["-x"]\n'
                   "  |         ^^^^ letters, digits, _, - and ., first no -"),
        ('[""]', 'not a tag: ""\n --> specs/a.toml:3:9\n  |\n3 | tags = [""]\n'
                 "  |         ^^ letters, digits, _, - and ., first no -"),
        (f'["{"x" * 201}"]', f'not a tag: "{"x" * 201}"\n --> specs/a.toml:3:9\n'),
        ('["caf\u00e9", "cafe\u0301"]', 'the tag "caf\u00e9" stands here twice\n --> specs/a.toml:3:17\n'),
        ('"web"', "tags: wrong type, a text\n --> specs/a.toml:3:8\n"),
    ],
)  # fmt: skip
def test_what_is_no_tag(project: Workspace, tags: str, expected: str) -> None:
    """Each is told at its place; so is a tag that stands in a list twice."""
    text = project.write({"specs/a.toml": f'[image.x]\nprompt = "x"\ntags = {tags}\n'}).complaint()
    assert text.startswith(f"error: {expected}")


def test_why_a_tag_or_a_profile_can_not_have_a_name() -> None:
    """It is too long, or has other characters."""
    assert [declared_names.label_fault(name) for name in ("a" * 200, "a" * 201, "a b")] == [
        "", "201 characters; at most 200", "letters, digits, _, - and ., first no -"
    ]  # fmt: skip


def image_of(name: str, where: str) -> str:
    """Return a spec whose prompt reads `name`, declared `where`."""
    return {
        "axis": f'[image.x]\nprompt = "A {{{{ {name} }}}}"\n[image.x.matrix]\n{name} = ["house"]\n',
        "image": f'[image.x]\nprompt = "A {{{{ {name} }}}}"\n[image.x.vars]\n{name} = "house"\n',
        "file": f'[image.x]\nprompt = "A {{{{ {name} }}}}"\n[vars]\n{name} = "house"\n',
        "column": f'[image.x]\nprompt = "A {{{{ row.{name} }}}}{{{{ row[\'{name}\'] }}}}"\nmatrix.row = '
                  f'[{{ {name} = "house" }}]\n',
    }[where]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in ALL if name not in (*GIVEN, *SET, *UNREADABLE)])
@pytest.mark.parametrize("where", ["image", "file"])
def test_a_variable_may_have_every_name_that_means_nothing_else(project: Workspace, name: str, where: str) -> None:
    """A template reads the variable; names of axes and keys of an image are no exception."""
    assert project.write({"specs/a.toml": image_of(name, where)}).prompts() == ["A house"]


@pytest.mark.parametrize("name", [*GIVEN, *SET])
@pytest.mark.parametrize("where", ["image", "file"])
def test_a_variable_can_not_replace_what_qwenbuild_sets(project: Workspace, name: str, where: str) -> None:
    """The message is one sentence, at the name."""
    text = project.write({"specs/a.toml": image_of(name, where)}).complaint()
    assert f'error: "{name}" is a name that qwenbuild sets; a variable can\'t take it\n --> specs/a.toml:4:1\n' in text
    assert f"\n  | {'^' * len(name)}" in text


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("where", ["axis", "image", "file"])
def test_a_name_that_templates_can_not_read_is_refused(project: Workspace, name: str, where: str) -> None:
    """For Jinja it is a constant, an operator, or the template itself."""
    text = project.write({"specs/a.toml": image_of(name, where)}).complaint()
    kind = "an axis" if where == "axis" else "a variable"
    assert text.startswith(f'error: not {kind} name: "{name}"\n --> specs/a.toml:4:1\n') or where == "file"
    assert f'error: not {kind} name: "{name}"\n --> specs/a.toml:4:1\n' in text
    assert f"\n  | {'^' * len(name)} in templates this is " in text


@pytest.mark.parametrize("name", ORDINARY)
def test_an_axis_may_have_every_ordinary_name(project: Workspace, name: str) -> None:
    """Names of Jinja's functions, words of Python and names inside qwenbuild are ordinary."""
    assert project.write({"specs/a.toml": image_of(name, "axis")}).prompts() == ["A house"]


def test_includes_name_the_axes_of_an_image_without_a_matrix(project: Workspace) -> None:
    """Each wrong name is told once."""
    text = project.write({"specs/a.toml": '[image.x]\nprompt = "x"\ninclude = [{ ratio = 1 }, { ratio = 2, n = 1 }]\n'})
    assert text.complaint() == (
        'error: not an axis name: "ratio"\n --> specs/a.toml:3:14\n  |\n'
        "3 | include = [{ ratio = 1 }, { ratio = 2, n = 1 }]\n  |              ^^^^^ reserved"
    )


@pytest.mark.parametrize("name", GIVEN)
def test_an_axis_can_not_replace_what_qwenbuild_sets(project: Workspace, name: str) -> None:
    """The name is reserved."""
    text = project.write({"specs/a.toml": image_of(name, "axis")}).complaint()
    assert text == (f'error: not an axis name: "{name}"\n --> specs/a.toml:4:1\n  |\n4 | {name} = ["house"]\n'
                    f"  | {'^' * len(name)} reserved")  # fmt: skip


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("prompt", 'give the axis another name, such as text, and write prompt = "{{ text }}"'),
        ("template", 'give the axis another name, such as layout, and write prompt = "{% include layout %}"'),
        ("output", 'a path may hold axes, as in output = "{{ size }}/{{ seed }}.png"'),
        ("vars", "variables stand beside the matrix: [image.x.vars]"),
        ("matrix", "give the axis another name"),
        ("exclude", "it stands beside the matrix, not in it: [[image.x.exclude]]"),
        ("include", "it stands beside the matrix, not in it: [[image.x.include]]"),
    ],
)
def test_an_axis_named_like_a_key_of_the_image_is_refused(project: Workspace, name: str, hint: str) -> None:
    """It would set nothing; the hint says what to write."""
    text = project.write({"specs/a.toml": image_of(name, "axis")}).complaint()
    assert text == (f'error: not an axis name: "{name}"\n --> specs/a.toml:4:1\n  |\n4 | {name} = ["house"]\n'
                    f"  | {'^' * len(name)} this is a key of the image\n  = hint: {hint}")  # fmt: skip


def test_the_hints_work(project: Workspace) -> None:
    """What a hint proposes is accepted."""
    project.write({
        "templates/a.j2": "A", "templates/b.j2": "B",
        "specs/a.toml": '[image.text]\nprompt = "{{ text }}"\nmatrix.text = ["one", "two"]\n'
                        '[image.layout]\nprompt = "{% include layout %}"\nmatrix.layout = ["a.j2", "b.j2"]\n',
    })  # fmt: skip
    assert project.prompts() == ["one", "two", "A", "B"]


@pytest.mark.parametrize(("name", "value"), [*zip(SET, ("qwen-image", "16:9", "7"), strict=True)])
def test_an_axis_may_set_a_field(project: Workspace, name: str, value: str) -> None:
    """The request and the template get the value."""
    written = value if name == "seed" else f'"{value}"'
    spec = f'[image.x]\nprompt = "{{{{ {name} }}}}"\nmatrix.{name} = [{written}]\n'
    [action] = project.write({"specs/a.toml": spec}).actions()
    assert str(getattr(action.request, name)) == action.request.prompt


@pytest.mark.parametrize(("name", "value"), [*zip(FIELDS, ("blurry", True, True), strict=True)])
def test_an_axis_may_set_a_field_that_templates_seldom_read(project: Workspace, name: str, value: object) -> None:
    """Negative prompt, prompt extension and watermark."""
    written = str(value).lower() if isinstance(value, bool) else f'"{value}"'
    [action] = project.write({"specs/a.toml": f'[image.x]\nprompt = "A"\nmatrix.{name} = [{written}]\n'}).actions()
    assert getattr(action.request, name) == value


@pytest.mark.parametrize("name", ALL)
def test_a_column_may_have_every_name(project: Workspace, name: str) -> None:
    """A row's field is read by point and by bracket, also if a table of Python has a method of that name."""
    if name in UNREADABLE[:-1]:  # `row.true` is no expression of Jinja's
        spec = f'[image.x]\nprompt = "A {{{{ row[\'{name}\'] * 2 }}}}"\nmatrix.row = [{{ {name} = "house" }}]\n'
    else:
        spec = image_of(name, "column")
    assert project.write({"specs/a.toml": spec}).prompts() == ["A househouse"]


@pytest.mark.parametrize("name", [name for name in ALL if name[0] != "_"])
def test_an_image_and_a_spec_may_have_every_name(project: Workspace, name: str) -> None:
    """They are only parts of names and paths."""
    spec = f'[image.{name}]\nprompt = "{{{{ spec }}}}/{{{{ image }}}}"\n'
    [action] = project.write({f"specs/{name}.toml": spec}).actions()
    assert (action.name, action.request.prompt, action.output) == (
        f"{name}/{name}", f"{name}/{name}", f"{name}/{name}.png"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("files", "claim", "line"),
    [
        ("[vars]\n'ﬁ' = 1\n[image.x]\nprompt = 'A'\nmatrix.fi = [1]\n", '"fi" and "ﬁ" are one name', 5),
        ("[vars]\n'ｓeed' = 1\n[image.x]\nprompt = 'A'\n", '"ｓeed" and "seed" are one name', 2),
        (
            "[image.x]\nprompt = 'A'\n[image.x.vars]\n'\xe9' = 1\n'e\u0301' = 2\n",
            '"e\u0301" and "\xe9" are one name',
            5,
        ),
    ],
)
def test_two_names_that_python_can_not_tell_apart_are_refused(
    project: Workspace, files: str, claim: str, line: int
) -> None:
    """Templates run as Python, which reads `ﬁ` as `fi`: one of the two values would silently win."""
    text = project.write({"specs/a.toml": files}).complaint()
    assert text.startswith(f"error: {claim} for templates\n --> specs/a.toml:{line}:")


def test_a_name_in_an_unusual_form_is_fine_alone(project: Workspace) -> None:
    """Only two names can be confused."""
    assert project.write({"specs/a.toml": "[image.x]\nprompt = 'A {{ ﬁ }}'\nmatrix.'ﬁ' = ['house']\n"}).prompts() == [
        "A house"
    ]


@pytest.mark.parametrize(
    "spec",
    [
        '[image.{}]\nprompt = "A"\n',
        '[image.x]\nprompt = "A"\nvars.{} = 1\n',
        '[image.x]\nprompt = "A"\nmatrix.{} = [1]\n',
    ],
)
def test_a_name_has_a_length(project: Workspace, spec: str) -> None:
    """It stands in the name of each cell."""
    assert len(project.write({"specs/a.toml": spec.format("a" * 200)}).declarations()) == 1
    text = project.write({"specs/a.toml": spec.format("a" * 100_000)}).complaint()
    assert "100,000 characters; at most 200" in text
    assert len(text) < 5000
