"""Tests of lint of rendered prompts: template syntax as text, and long quoted texts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild import load
from qwenbuild.specs.lint_prompts import _left_syntax
from qwenbuild.specs.lint_rules import LONG_TEXT, TEMPLATE_SYNTAX
from tests.support.workspace import Workspace

VENDORS_LONGEST = (
    "一、Qwen-Image的技术路线： 探索视觉生成基础模型的极限，开创理解与生成一体化的未来。二、Qwen-Image的模型特色："
    "1、复杂文字渲染。支持中英渲染、自动布局； 2、精准图像编辑。支持文字编辑、物体增减、风格变换。"
    "三、Qwen-Image的未来愿景：赋能专业内容创作、助力生成式AI发展。"
)
"""The longest text of the vendor's blog post "Qwen-Image" (2025-08-04), which the model has written completely."""


def found(project: Workspace, files: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return (rule, claim, place) of what is found in a project."""
    project.write({"qwenbuild.toml": 'provider = "null"\n', **files})
    return [(it.rule, it.problem.claim, str(it.problem.place)) for it in load(project.root).lint()]


# --- template syntax ---


def test_syntax_in_data_is_shown_at_its_row(project: Workspace) -> None:
    """A whole template in one row is one finding; its cells are counted."""
    spec = '[image.x]\nprompt = "A {{ row.text | upper }}"\nmatrix = { seed = [1, 2], row = { file = "r.csv" } }\n'
    project.write({"specs/a.toml": spec, "specs/r.csv": "id,text\na,fine\nb,{% if x %}a {{ name }}{% endif %}\n",
                   "qwenbuild.toml": 'provider = "null"\n'})  # fmt: skip
    [remark] = load(project.root).lint()
    assert remark.rule == TEMPLATE_SYNTAX
    assert str(remark.problem) == (
        "error: the prompt holds `{% IF X %}` as text\n"
        " --> specs/r.csv:3:1\n"
        "  |\n"
        "3 | b,{% if x %}a {{ name }}{% endif %}\n"
        "  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ this is not rendered\n"
        "  = cell: a/x[row=b,seed=1] and 1 more\n"
        "  = hint: values are not rendered: write the text itself, or move the template into the prompt"
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ('prompt = "{{ t }}"\nvars.t = "a {{ b }}"', [("the prompt holds `{{ b }}` as text", "specs/a.toml:3:13")]),
        ('prompt = "{{ t.u[0] }}"\nvars.t = { u = ["{{b}}"] }',
         [("the prompt holds `{{b}}` as text", "specs/a.toml:3:18")]),
        ('prompt = "{{ t }}"\nmatrix.t = ["a", "{{{b}}}"]',
         [("the prompt holds `{{{b}}}` as text", "specs/a.toml:3:19")]),
        ('prompt = "a"\nnegative_prompt = "{{ t }}"\nvars.t = "{{"',
         [("the prompt holds `{{` as text", "specs/a.toml:4:11")]),
        ('prompt = "a { name }} b"', [("the prompt holds `}}` as text", "specs/a.toml:2:20")]),
        ('prompt = "a {{ t }}}} b"\nvars.t = "x"', [("the prompt holds `}}` as text", "specs/a.toml:2:20")]),
        ('prompt = """\na\nif x %} b"""', [("the prompt holds `%}` as text", "specs/a.toml:4:6")]),
        ('template = "t.j2"', [("the prompt holds `}}` as text", "templates/part.j2:2:3")]),
    ],
)  # fmt: skip
def test_syntax_as_text(project: Workspace, spec: str, expected: list[tuple[str, str]]) -> None:
    """It is shown in the value or in the template that it comes from."""
    files = {"specs/a.toml": f"[image.x]\n{spec}\n"}
    if "t.j2" in spec:
        files |= {"templates/t.j2": '{# }} #}{% include "part.j2" %}', "templates/part.j2": "a\nb }}\n"}
    assert found(project, files) == [(TEMPLATE_SYNTAX, *it) for it in expected]


@pytest.mark.parametrize(
    "spec",
    [
        'prompt = "{% raw %}{{ a }}{% endraw %}"',
        "prompt = \"{{ '{{ a }}' }}\"",
        "prompt = '''{\"scene\": {\"a\": {\"b\": 1}}}'''",
        "prompt = '''{{ t | tojson }}'''\nvars.t = { a = { b = { c = 1 } } }",
        'prompt = "{red|blue} balls, {prompt}, 100%"',
        'prompt = "{{ t }}{% raw %}{{ a }}{% endraw %}"\nvars.t = "x"',
    ],
)
def test_what_is_meant_to_be_text(project: Workspace, spec: str) -> None:
    """What a template writes on purpose is no finding, nor are braces that match."""
    assert found(project, {"specs/a.toml": f"[image.x]\n{spec}\n"}) == []


@given(st.text('{}%# ab\n"', max_size=40))
def test_any_text_is_searched(text: str) -> None:
    """What is told is a part of the text, each part once; a text whose braces match holds no lone `}}`."""
    tokens = [spot.token for spot in _left_syntax(text)]
    assert [token for token in tokens if token not in text or tokens.count(token) > 1] == []
    assert all(token.startswith(("{{", "{%", "}}", "%}")) for token in tokens)


@given(st.recursive(st.integers(0, 9), lambda inner: st.dictionaries(st.sampled_from("ab"), inner, max_size=2)))
def test_json_in_a_prompt_is_no_template(value: object) -> None:
    """Its closing braces match, however deep it is."""
    assert list(_left_syntax(f"a scene as JSON: {json.dumps(value)}")) == []


# --- long texts ---


def long(project: Workspace, prompt: str, size: str = "16:9", model: str = "qwen-image-2.0") -> list[str]:
    spec = f"[image.x]\nmodel = '{model}'\nsize = '{size}'\nprompt = '''{prompt}'''\n"
    return [claim for rule, claim, _ in found(project, {"specs/a.toml": spec}) if rule == LONG_TEXT]


def test_a_text_that_does_not_fit(project: Workspace) -> None:
    """The finding says how long the text is and how much fits, at the value that the text comes from."""
    words = "Once upon a time there was a sign with so many words that nobody could read it"
    project.write({
        "specs/a.toml": f"""
            model = "qwen-image-2.0"
            size = "512x512"
            [image.x]
            prompt = "A sign says “Hi! {{{{ text }}}}”"
            matrix.text = ["short", "{words}"]
            """,
        "qwenbuild.toml": 'provider = "null"\n',
    })  # fmt: skip
    [remark] = load(project.root).lint()
    lines = str(remark.problem).splitlines()
    assert lines[:2] == ["error: a quoted text of 82 characters is too long for 512x512", " --> specs/a.toml:6:37"]
    assert lines[-3:] == [
        "  = it takes 82 columns, and about 52 fit (a Chinese character takes two)",
        f"  = cell: a/x[text={words}]",
        "  = hint: shorten it, spread it over several texts or images, or choose a larger size",
    ]


@pytest.mark.parametrize(
    ("prompt", "size", "count"),
    [
        (f"A sign says “{VENDORS_LONGEST}”", "16:9", 0),
        (f"A sign says “{VENDORS_LONGEST}”", "1024x1024", 1),
        (f"A sign says “{'a' * 308}”", "1664x928", 0),
        (f"A sign says “{'a' * 309}”", "1664x928", 1),
        (f"A sign says 「{'茶' * 155}」", "1664x928", 1),
        (f"A sign says «{'a' * 60}» and 『{'b' * 60}』", "512x512", 2),
        (f'A sign says "{"a" * 60}"', "512x512", 1),
        (f"A sign says {'a' * 600}", "512x512", 0),
        (f"“{'a' * 60}”.", "512x512", 0),  # the whole prompt is in quotes
        (f"the dogs' bowl {'a' * 60} the cats' toys", "512x512", 0),
        (f'a "b" c" {"a" * 60} "d', "512x512", 0),  # quotes that do not match
        ('{"scene": "' + "a" * 60 + '"}', "512x512", 0),
    ],
)
def test_how_long_a_text_may_be(project: Workspace, prompt: str, size: str, count: int) -> None:
    """The vendor's longest text fits into the vendor's default size. Only quotes that are surely quotes count."""
    assert len(long(project, prompt, size)) == count


def test_the_longest_part_of_a_text_shows_its_place(project: Workspace) -> None:
    """Where a text is made of several values, or of none, its image's template is named."""
    spec = '[image.x]\nmodel = "qwen-image-2.0"\nsize = "512x512"\ntemplate = "t.j2"\n'
    text = f"A sign says “{'a' * 60}”"
    assert [place for _, _, place in found(project, {"specs/a.toml": spec, "templates/t.j2": f"x\n{text}"})] == [
        "templates/t.j2:2:14"
    ]
    files = {"specs/a.toml": spec, "templates/t.j2": "A sign says “{{ 'a' * 60 }}”"}
    assert [place for _, _, place in found(project, files)] == ["specs/a.toml:4:12"]
