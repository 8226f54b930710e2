"""Tests of templates: files, includes, macros, inheritance, and the places of mistakes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.errors import ProjectError
from qwenbuild.files.text import find_token, line_of, whole_line
from qwenbuild.problems import Place
from qwenbuild.specs.rows import Row
from qwenbuild.specs.template import Template, Templates

VALUES: dict[str, Any] = {
    "brand": "Northwind",
    "copy": Row({"title": "Come Play Ball!", "items": "three", "label": "L"}, "en"),
    "products": [{"name": "Ember"}, {"name": "Dawn"}],
}


class Folder:
    """A folder of templates, and a spec whose third line names a template or contains its text."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.templates = Templates(root, "templates")

    def write(self, files: Mapping[str, str | bytes]) -> Folder:
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def named(self, name: str) -> Template:
        source = f'template = "{name}"'
        return self.templates.named(name, lambda line, token: Place("specs/a.toml", 3, 12, len(name) + 2, source))

    def inline(self, text: str) -> Template:
        def locate(line: int, token: str) -> Place:
            source = line_of(text, line)
            return find_token("prompt", line, source, token) or whole_line("prompt", line, source)

        return self.templates.inline(text, locate)

    def render(self, name: str) -> str:
        return self.named(name).render(VALUES)

    def complaint(self, name: str) -> str:
        with pytest.raises(ProjectError) as caught:
            self.render(name)
        return str(caught.value)

    def inline_complaint(self, text: str) -> str:
        with pytest.raises(ProjectError) as caught:
            self.inline(text).render(VALUES)
        return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "templates").mkdir()
    return Folder(tmp_path / "templates")


# --- what works ---


def test_a_template_renders_without_white_space_around(folder: Folder) -> None:
    """White space at the ends of the file is not part of the prompt."""
    folder.write({"a.j2": "\n\n  A cup by {{ brand }}.  \n\n"})
    assert folder.render("a.j2") == "A cup by Northwind."


def test_statements_leave_no_lines(folder: Folder) -> None:
    """A line with only a statement adds no line to the prompt."""
    assert folder.inline("a\n{% if true %}\n  {% set x = 1 %}\nb\n{% endif %}\nc").render({}) == "a\nb\nc"


def test_line_ends_of_windows_make_the_same_prompt(folder: Folder) -> None:
    """A checkout with CRLF gives the same keys as one with LF."""
    folder.write({"a.j2": "one\ntwo {{ brand }}\n", "b.j2": "one\r\ntwo {{ brand }}\r\n"})
    assert folder.render("b.j2") == folder.render("a.j2")


def test_a_byte_order_mark_is_no_part_of_a_prompt(folder: Folder) -> None:
    """Some editors on Windows write a byte-order mark."""
    assert folder.write({"a.j2": b"\xef\xbb\xbfcat"}).render("a.j2") == "cat"


def test_includes_macros_and_inheritance_find_files_of_the_folder(folder: Folder) -> None:
    """A file is named by its path in the folder, also in subfolders."""
    folder.write(
        {
            "base.j2": "{% block head %}{% endblock %} | {% block tail %}tail{% endblock %}",
            "sub/child.j2": '{% extends "base.j2" %}{% block head %}{% include "sub/part.j2" %}{% endblock %}'
            '{% block tail %}{% from "macros.j2" import loud %}{{ super() }} {{ loud("x") }}{% endblock %}',
            "sub/part.j2": "part of {{ brand }}",
            "macros.j2": "{% macro loud(text) %}{{ text | upper }}!{% endmacro %}",
        }
    )
    assert folder.render("sub/child.j2") == "part of Northwind | tail X!"
    assert sorted(path.name for path in folder.templates.paths) == ["base.j2", "child.j2", "macros.j2", "part.j2"]


def test_a_link_within_the_folder_may_be_followed(folder: Folder) -> None:
    """A link is refused only if its target is outside."""
    folder.write({"real.j2": "cat"})
    (folder.root / "link.j2").symlink_to("real.j2")
    assert folder.render("link.j2") == "cat"


def test_a_missing_file_counts_as_an_input(folder: Folder) -> None:
    """An optional file changes the prompt as soon as it exists."""
    assert folder.inline('cat{% include "extra.j2" ignore missing %}').render({}) == "cat"
    assert folder.templates.paths == [folder.root / "extra.j2"]


def test_values_are_the_same_after_rendering(folder: Folder) -> None:
    """A variable that a template sets is not visible outside of the template."""
    template = folder.inline("{% set brand = 'x' %}{{ brand }}")
    assert [template.render(VALUES), template.render(VALUES), VALUES["brand"]] == ["x", "x", "Northwind"]


# --- what is wrong ---


def test_an_undefined_variable_of_a_file(folder: Folder) -> None:
    """The problem shows the line of the template, the defined names, and the nearest of them."""
    folder.write({"a.j2": "A cup.\n\n\tMade by {{ brnd | upper }}.\n"})
    assert folder.complaint("a.j2") == (
        'error: undefined variable "brnd"\n'
        " --> templates/a.j2:3:13\n"
        "  |\n"
        "3 |  Made by {{ brnd | upper }}.\n"
        "  |             ^^^^\n"
        "  = defined: brand, copy, products\n"
        '  = hint: did you mean "brand"?'
    )


@pytest.mark.parametrize(
    "caller",
    [
        '{% include "part.j2" %}',
        '{% from "part.j2" import say with context %}{{ say() }}',
        '{% extends "part.j2" %}',
        '{% import "part.j2" as part with context %}{{ part.say() }}',
    ],
    ids=["include", "macro", "inherited", "import"],
)
def test_an_undefined_variable_of_another_file(folder: Folder, caller: str) -> None:
    """The frame shows the file with the mistake, not the file that uses it."""
    folder.write(
        {"part.j2": "{% macro say() %}\nby {{ brnd }}\n{% endmacro %}\n{% block b %}{{ say() }}{% endblock %}"}
    )
    folder.write({"a.j2": f"\n\n\n{caller}"})
    assert folder.complaint("a.j2") == (
        'error: undefined variable "brnd"\n'
        " --> templates/part.j2:2:7\n"
        "  |\n"
        "2 | by {{ brnd }}\n"
        "  |       ^^^^\n"
        "  = defined: brand, copy, products\n"
        '  = hint: did you mean "brand"?'
    )


def test_a_variable_that_an_imported_macro_does_not_see(folder: Folder) -> None:
    """The hint says why a defined variable is undefined in the macro."""
    folder.write({"m.j2": "{% macro m() %}{{ brand }}{% endmacro %}", "a.j2": '{% from "m.j2" import m %}{{ m() }}'})
    assert folder.complaint("a.j2").splitlines()[-1] == (
        '  = hint: a macro sees only its arguments: pass it, or import the macro "with context"'
    )


def test_an_undefined_variable_of_an_overridden_block(folder: Folder) -> None:
    """A mistake in a block is shown in the file of the block."""
    folder.write({"base.j2": "{% block b %}{% endblock %}"})
    folder.write({"a.j2": '{% extends "base.j2" %}\n{% block b %}\n{{ nothing }}\n{% endblock %}'})
    assert folder.complaint("a.j2").splitlines()[:2] == [
        'error: undefined variable "nothing"',
        " --> templates/a.j2:3:4",
    ]


def test_a_missing_field_of_a_row(folder: Folder) -> None:
    """The problem lists the fields of the row and suggests the nearest."""
    assert folder.inline_complaint("one\nThe {{ copy.titel | quoted }}") == (
        'error: "copy" has no field "titel"\n'
        " --> prompt:2:13\n"
        "  |\n"
        "2 | The {{ copy.titel | quoted }}\n"
        "  |             ^^^^^\n"
        "  = fields: title, items, label\n"
        '  = hint: did you mean "title"?'
    )
    assert folder.inline_complaint('{{ copy["titel"] }}').splitlines()[0] == 'error: "copy" has no field "titel"'


def test_a_missing_field_of_something_else(folder: Folder) -> None:
    """If the owner has no name in the template, the message names only the field."""
    assert folder.inline_complaint("{% for it in products %}{{ it.nmae }}{% endfor %}") == (
        'error: undefined field "nmae"\n'
        " --> prompt:1:31\n"
        "  |\n"
        "1 | {% for it in products %}{{ it.nmae }}{% endfor %}\n"
        "  |                               ^^^^"
    )
    assert folder.inline_complaint("{{ products[5] }}").splitlines()[0] == "error: undefined: the list has no element 5"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "one\n{{ brand | upcase }}",
            "error: template syntax: No filter named 'upcase'\n"
            " --> prompt:2:12\n"
            "  |\n"
            "2 | {{ brand | upcase }}\n"
            "  |            ^^^^^^",
        ),
        (
            "{{ brand | typografic }}",
            "error: template syntax: No filter named 'typografic'\n"
            " --> prompt:1:12\n"
            "  |\n"
            "1 | {{ brand | typografic }}\n"
            "  |            ^^^^^^^^^^\n"
            '  = hint: did you mean "typographic"?',
        ),
        (
            "{% if brand is stringg %}{% endif %}",
            "error: template syntax: No test named 'stringg'\n"
            " --> prompt:1:16\n"
            "  |\n"
            "1 | {% if brand is stringg %}{% endif %}\n"
            "  |                ^^^^^^^\n"
            '  = hint: did you mean "string"?',
        ),
        (
            "{% if brand %}{{ brand | upcase }}{% endif %}",
            "error: template syntax: No filter named 'upcase'\n"
            " --> prompt:1:26\n"
            "  |\n"
            "1 | {% if brand %}{{ brand | upcase }}{% endif %}\n"
            "  |                          ^^^^^^",
        ),
        (
            '{% inclde "a.j2" %}',
            "error: template syntax: Encountered unknown tag 'inclde'\n"
            " --> prompt:1:4\n"
            "  |\n"
            '1 | {% inclde "a.j2" %}\n'
            "  |    ^^^^^^\n"
            '  = hint: did you mean "include"?',
        ),
        (
            "{{ brand",
            "error: template syntax: unexpected end of template, expected 'end of print statement'\n"
            " --> prompt:1:1\n"
            "  |\n"
            "1 | {{ brand\n"
            "  | ^^^^^^^^",
        ),
        (
            "one\n{{ brand } }}",
            "error: template syntax: unexpected '}'\n --> prompt:2:10\n  |\n2 | {{ brand } }}\n  |          ^",
        ),
    ],
    ids=["filter", "near filter", "test", "late filter", "tag", "open", "brace"],
)
def test_syntax_errors(folder: Folder, text: str, expected: str) -> None:
    """The problem shows line, token and the nearest known name."""
    assert folder.inline_complaint(text) == expected


def test_a_syntax_error_of_an_included_file(folder: Folder) -> None:
    """The frame shows the included file."""
    folder.write({"a.j2": 'one\n{% include "b.j2" %}', "b.j2": "two\nthree\n{% if %}"})
    assert folder.complaint("a.j2") == (
        "error: template syntax: Expected an expression, got 'end of statement block'\n"
        " --> templates/b.j2:3:1\n"
        "  |\n"
        "3 | {% if %}\n"
        "  | ^^^^^^^^"
    )


def test_a_missing_template(folder: Folder) -> None:
    """The problem lists the existing files, suggests the nearest, and shows the place of the name."""
    folder.write({"poster.j2": "", "sub/banner.j2": "", "a.j2": 'x {% include "sub/baner.j2" %}'})
    assert folder.complaint("postr.j2") == (
        'error: no template "postr.j2"\n'
        " --> specs/a.toml:3:12\n"
        "  |\n"
        '3 | template = "postr.j2"\n'
        "  |            ^^^^^^^^^^\n"
        "  = in templates/: a.j2, poster.j2, sub/banner.j2\n"
        '  = hint: did you mean "poster.j2"?'
    )
    assert folder.complaint("a.j2") == (
        'error: no template "sub/baner.j2"\n'
        " --> templates/a.j2:1:15\n"
        "  |\n"
        '1 | x {% include "sub/baner.j2" %}\n'
        "  |               ^^^^^^^^^^^^\n"
        "  = in templates/: a.j2, poster.j2, sub/banner.j2\n"
        '  = hint: did you mean "sub/banner.j2"?'
    )


def test_a_folder_without_templates(tmp_path: Path) -> None:
    """The folder itself may be missing."""
    nowhere = Folder(tmp_path / "templates")
    assert nowhere.complaint("a.j2").splitlines()[-1] == "  = in templates/: no templates"


@pytest.mark.parametrize(
    "name", ["../secret.j2", "sub/../../secret.j2", "/etc/hostname", "link.j2", "linked/secret.j2"]
)
def test_a_template_outside_of_the_folder(folder: Folder, name: str) -> None:
    """`..`, absolute paths and links can't leave the folder, and the message does not say whether the file exists."""
    (folder.root.parent / "secret.j2").write_text("secret")
    (folder.root / "link.j2").symlink_to("../secret.j2")
    (folder.root / "linked").symlink_to("..")
    (folder.root / "sub").mkdir()
    assert folder.complaint(name) == (
        f'error: template "{name}" lies outside templates/\n'
        " --> specs/a.toml:3:12\n"
        "  |\n"
        f'3 | template = "{name}"\n'
        f"  |            {'^' * (len(name) + 2)}"
    )
    folder.write({"a.j2": f'{{% include "{name}" %}}'})
    assert folder.complaint("a.j2").splitlines()[:2] == [
        f'error: template "{name}" lies outside templates/',
        " --> templates/a.j2:1:13",
    ]


@pytest.mark.parametrize("name", ["circle.j2", "nul\0.j2", "long" * 100, "..\\secret.j2"])
def test_a_name_that_no_file_has(folder: Folder, name: str) -> None:
    """A circle of links, a NUL and a name that is too long give the error of a missing template."""
    (folder.root / "circle.j2").symlink_to("circle.j2")
    claim = folder.complaint(name).splitlines()[0]
    assert claim.startswith(('error: no template "', 'error: template "..'))


def test_files_that_can_not_be_read(folder: Folder) -> None:
    """A folder is reported at the place that names it, bytes that are not UTF-8 at their own place."""
    folder.write({"sub/x": "", "bad.j2": b"one\ntwo \xff", "a.j2": '\n{% include "bad.j2" %}'})
    assert folder.complaint("sub") == (
        "error: templates/sub is a folder; a file was expected\n"
        " --> specs/a.toml:3:12\n"
        "  |\n"
        '3 | template = "sub"\n'
        "  |            ^^^^^"
    )
    assert folder.complaint("a.j2") == (
        "error: templates/bad.j2 is not UTF-8: byte 0xff\n"
        " --> templates/bad.j2:2:5\n"
        "  |\n"
        "2 | two \N{REPLACEMENT CHARACTER}\n"
        "  |     ^\n"
        "  = hint: save the file as UTF-8"
    )


@pytest.mark.parametrize(
    "text",
    [
        '{% include "a.j2" %}',
        '{% extends "a.j2" %}',
        '{% import "a.j2" as a with context %}{{ a }}',
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
    ids=["include", "extends", "import", "macro"],
)
def test_a_template_that_calls_itself(folder: Folder, text: str) -> None:
    """Endless recursion is reported with its line."""
    folder.write({"a.j2": f"one\n{text}"})
    assert folder.complaint("a.j2").splitlines()[:2] == [
        "error: template is nested too deeply, or includes or calls itself without end",
        " --> templates/a.j2:2:1",
    ]


@pytest.mark.parametrize(
    "text",
    ["{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "{% if 1 %}" * 500 + "{% endif %}" * 500,
     "{% for i in [1] %}" * 30 + "{% endfor %}" * 30],
    ids=["brackets", "conditions", "loops"],
)  # fmt: skip
def test_a_template_that_is_nested_too_deeply(folder: Folder, text: str) -> None:
    """Nesting that Python can't compile is reported as an error of the template."""
    claim = folder.inline_complaint(text).splitlines()[0]
    assert claim in (
        "error: template is nested too deeply, or includes or calls itself without end",
        "error: template failed: too many statically nested blocks",
    )


def test_other_failures_have_their_line(folder: Folder) -> None:
    """Any Python exception is reported with the line of the template that raised it."""
    assert folder.inline_complaint("one\n{{ 1 / 0 }}") == (
        "error: template failed: division by zero\n --> prompt:2:1\n  |\n2 | {{ 1 / 0 }}\n  | ^^^^^^^^^^^"
    )
    assert folder.inline_complaint("one\n\n{{ ''.__class__ }}") == (
        "error: template failed: access to attribute '__class__' of 'str' object is unsafe\n"
        " --> prompt:3:7\n"
        "  |\n"
        "3 | {{ ''.__class__ }}\n"
        "  |       ^^^^^^^^^"
    )
    claim = folder.inline_complaint("{{ copy[joiner()] }}").splitlines()[0]
    assert claim == 'error: undefined: the row "en" has no such element'
    assert folder.inline_complaint("{{ products }}").splitlines()[0] == (
        "error: template failed: can't print a list (use | join)"
    )


def test_what_a_template_reads(tmp_path: Path) -> None:
    """Includes, imports and inheritance count; a computed or missing file name makes the answer unknown."""
    folder = Folder(tmp_path).write({
        "base.j2": "{{ brand }} {% block body %}{{ size }}{% endblock %}",
        "child.j2": '{% extends "base.j2" %}{% block body %}{% set x = seed %}{{ x }}{{ super() }}{% endblock %}',
        "parts.j2": "{% macro m(a) %}{{ a }} {{ mood }}{% endmacro %}",
        "uses.j2": '{% import "parts.j2" as it with context %}{% for y in copy %}{{ y }}{% endfor %}{{ it.m(hue) }}',
        "itself.j2": '{{ brand }}{% include "itself.j2" %}',
        "computed.j2": "{% include brand %}",
        "missing.j2": '{% if no %}{% include "nowhere.j2" %}{% endif %}',
    })  # fmt: skip
    reads = {name: folder.named(f"{name}.j2").reads() for name in ("child", "uses", "itself", "computed", "missing")}
    assert reads == {
        "child": {"brand", "size", "seed"}, "uses": {"copy", "hue", "mood"}, "itself": {"brand"},
        "computed": None, "missing": None,
    }  # fmt: skip
    assert folder.inline('{% include "base.j2" %}{{ copy.title }}').reads() == frozenset({"brand", "size", "copy"})


@pytest.mark.parametrize(
    "text",
    [
        "{{ n }} of {{ brand }}",
        "{% if n is even %}{{ n }}{% elif n > 9 %}{{ products[n % 2].name | upper }}{% else %}odd{% endif %}",
        "{{ copy.items ~ n }} {{ [n, 'x'] | join('-') }} {{ 'a' if n < 5 else brand }} {{ range(n) | sum }}",
        "{% set twice = n * 2 %}{{ twice }}{% include 'part.j2' %}",
        "{% from 'macros.j2' import m %}{{ m(n) }}{% for each in products %}{{ loop.index + n }}{% endfor %}",
        "{% extends 'base.j2' %}{% block body %}{{ super() }}{{ n }}{% endblock %}",
    ],
    ids=["plain", "if", "filters", "set", "macro", "extends"],
)
def test_the_hundredth_text_is_made_like_the_first(tmp_path: Path, text: str) -> None:
    """Reusing a context changes neither a text nor an error."""
    folder = Folder(tmp_path).write({
        "part.j2": "{{ twice }}!", "macros.j2": "{% macro m(n) %}<{{ n }}>{% endmacro %}",
        "base.j2": "{% block body %}base {{ n }} {% endblock %}",
    })  # fmt: skip
    template = folder.inline(text)
    for n in range(300):
        values = {**VALUES, "n": n % 17}
        assert template.render(values) == Folder(tmp_path).inline(text).render(values)
    with pytest.raises(ProjectError) as late:
        template.render(VALUES)
    with pytest.raises(ProjectError) as early:
        Folder(tmp_path).inline(text).render(VALUES)
    assert late.value.problems == early.value.problems


def test_threads_can_share_a_template(tmp_path: Path) -> None:
    """Each thread gets the text of its own values."""
    template = Folder(tmp_path).inline("{{ n }} {% if n is even %}{{ brand }}{% else %}odd{% endif %} {{ n }}")

    def wrong(first: int) -> list[int]:
        numbers = range(first, first + 2000)
        rendered = {n: template.render({**VALUES, "n": n}) for n in numbers}
        return [n for n in numbers if rendered[n] != f"{n} {'odd' if n % 2 else VALUES['brand']} {n}"]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(wrong, range(0, 8000, 2000))) == [[]] * 4
    finally:
        sys.setswitchinterval(interval)


def test_a_text_that_becomes_too_long(folder: Folder) -> None:
    """The limit also holds once the template reuses its context."""
    template = folder.inline("{{ brand }}{{ brand }}")
    for n in range(300):
        assert template.render({"brand": "x" * n}) == "xx" * n
    with pytest.raises(ProjectError, match="the text is longer than 100,000 characters"):
        template.render({"brand": "x" * 60_000})
    assert template.render({"brand": "y"}) == "yy"


# --- limits ---

NESTED = "{% set t = namespace(x=[1]) %}{% for i in range(40) %}{% set t.x = [t.x, t.x] %}{% endfor %}"
RUNAWAYS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "macros": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}",
    "callers": "{% macro m() %}{{ caller() * 2 }}{{ caller() }}{{ caller() }}{% endmacro %}"
    + "{% call m() %}" * 14 + "{% endcall %}" * 14,
    "includes": "{% include 'fan.j2' %}",
    "blocks": "{% block a %}{{ self.b() }}{{ self.b() }}{% endblock %}{% block b %}"
    "{% for i in range(90000) %}{% for i in range(90000) %}{% endfor %}{% endfor %}{% endblock %}",
    "trees": NESTED + "{% for x in t.x recursive %}{{ loop(x) if x is iterable else '' }}{% endfor %}",
    "lists": NESTED + "{{ t.x ~ '' }}",
    "tuples": NESTED.replace("[1]", "(1,)").replace("[t.x, t.x]", "(t.x, t.x)") + "{{ {t.x: 1} | length }}",
    "comparisons": "{% set b = range(90000) | list %}{% for i in b %}{% if [i] in b %}{% endif %}{% endfor %}",
    "texts": "{% for i in range(90000) %}{% set x = ('a' * 90000) | upper %}{% endfor %}",
    "words": "{{ ('a' * 99999) | wordwrap(1) }}",
}  # fmt: skip


@pytest.mark.parametrize("name", RUNAWAYS)
def test_a_runaway_template_is_ended_by_its_steps(folder: Folder, name: str) -> None:
    """The error names the limit and the line, on every machine the same."""
    folder.write({"fan.j2": "{% include 'fan.j2' %}" if name != "includes" else "{% include 'fan1.j2' %}" * 20})
    folder.write({f"fan{n}.j2": f"{{% include 'fan{n + 1}.j2' %}}" * 20 for n in range(1, 9)} | {"fan9.j2": "x"})
    complaint = folder.inline_complaint("one\n" + RUNAWAYS[name]).splitlines()
    assert complaint[0] == "error: template failed: the template takes more than 1,000,000 steps"
    assert complaint[1].startswith(" --> templates/fan" if name == "includes" else " --> prompt:2:1")
    assert complaint[4].strip(" |^") == ""
    assert complaint[-1] == "  = hint: make loops inside loops shorter, or keep their result in the data"


DOUBLINGS = {
    "~": "t.x ~ t.x", "+": "t.x + t.x", "*": "t.x * 2", "join": "[t.x, t.x] | join", "macro": "twice(t.x)",
    "replace": "t.x | replace('a', 'aa')", "method": "t.x.replace('a', 'aa')", "text join": "t.x.join(['', '', t.x])",
    "listed": "[t.x, t.x] | listed", "format": "'%s%s' | format(t.x, t.x)", "%": "'%s%s' % (t.x, t.x)",
    "center": "t.x.center(9 ** 9)", "indent": "t.x | indent(9 ** 9, true)", "zfill": "t.x.zfill(9 ** 9)",
    "wordwrap": "t.x | wordwrap(1, wrapstring=t.x)",
}  # fmt: skip


@pytest.mark.parametrize("name", DOUBLINGS)
def test_a_text_that_doubles_ends(folder: Folder, name: str) -> None:
    """Whatever makes it longer."""
    complaint = folder.inline_complaint(
        "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}{% set t = namespace(x='aaaa') %}"
        "{% for i in range(90) %}{% set t.x = " + DOUBLINGS[name] + " %}{% endfor %}"
    )
    reasons = ("the text is longer than 100,000 characters", "the result of * is longer than 100,000",
               "the result of ** is too large", "the template takes more than 1,000,000 steps")  # fmt: skip
    assert complaint.splitlines()[0].removeprefix("error: template failed: ") in reasons


def test_a_text_in_a_block_that_doubles_ends(folder: Folder) -> None:
    """`{% set x %}…{% endset %}` makes a text, too."""
    body = "{% set y %}{{ t.x }}{{ t.x }}{% endset %}{% set t.x = y %}"
    text = "{% set t = namespace(x='a') %}{% for i in range(90) %}" + body + "{% endfor %}"
    complaint = folder.inline_complaint(text)
    assert complaint.splitlines()[0] == "error: template failed: the text is longer than 100,000 characters"


@pytest.mark.parametrize("step", ["t.x * t.x", "t.x + t.x", "t.x * 9", "t.x - (0 - t.x)", "t.x * 4 ** 60"])
def test_a_number_that_grows_ends(folder: Folder, step: str) -> None:
    """Repeated squaring passes every memory after forty rounds."""
    text = "{% set t = namespace(x=3) %}{% for i in range(9000) %}{% set t.x = " + step + " %}{% endfor %}"
    assert folder.inline_complaint(text).splitlines()[0] == (
        "error: template failed: a number has more than 1,000 digits"
    )


@pytest.mark.parametrize(
    "use", ["a == b", "a <= b", "[a, b] | sort", "[a, b] | max", "[a, b] | unique | list", "a in [b]"]
)
def test_pairs_that_unfold_without_end_are_not_compared(folder: Folder, use: str) -> None:
    """The pairs of two tables, whose values are forty lists that each hold the one before twice."""
    text = (
        "{% set t = namespace(a=[1], b=[1]) %}"
        "{% for i in range(40) %}{% set t.a = [t.a, t.a] %}{% set t.b = [t.b, t.b] %}{% endfor %}"
        "{% set a, b = {1: t.a}.items(), {1: t.b}.items() %}{{ (" + use + ") is defined }}"
    )
    complaint = folder.inline_complaint(text)
    assert complaint.startswith("error: template failed: ")


def test_a_text_that_takes_many_steps_is_made_by_the_worker(folder: Folder) -> None:
    """It is the text that this process would have made, with its files among those that were read."""
    folder.write({"part.j2": "{{ brand }}", "never.j2": ""})
    body = "{% if i == 39999 %}{% include 'part.j2' %}{% include 'no.j2' ignore missing %}{{ copy }}{% endif %}"
    text = "{% for i in range(40000) %}" + body + "{% endfor %}"
    template = folder.inline(text)
    assert template.render(VALUES) == "Northwinden"
    assert folder.templates._guard is not None
    assert sorted(path.name for path in folder.templates.paths) == ["no.j2", "part.j2"]
    assert Templates(folder.root, "templates", easy_steps=10**6).inline(text, lambda *_: Place("")).render(VALUES) == (
        "Northwinden"
    )


def test_a_small_text_needs_no_worker(folder: Folder) -> None:
    """Honest prompts are made here."""
    loop = "{% for p in products %}{{ loop.index }} {{ p.name | upper | replace('E', 'e') }}{% endfor %}"
    assert folder.inline(loop * 50).render(VALUES) == "1 eMBeR2 DAWN" * 50
    assert folder.templates._guard is None


def test_after_a_runaway_no_other_text_of_the_template_is_made(folder: Folder) -> None:
    """A matrix of ten thousand runaways takes the time of one."""
    template = folder.inline("{% for i in range(n) %}{% for j in range(n) %}{% endfor %}{% endfor %}x")
    assert template.render({"n": 2}) == "x"
    with pytest.raises(ProjectError) as first:
        template.render({"n": 90_000})
    with pytest.raises(ProjectError) as second:
        template.render({"n": 3})
    assert second.value is first.value


def test_the_long_texts_of_a_template_have_a_limit_together(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that is made again does not count again."""
    monkeypatch.setattr("qwenbuild.specs.template.MAX_STEPS_TOGETHER", 500_000)
    template = folder.inline("{% for i in range(80000) %}{% endfor %}{{ n }}")
    assert [template.render({"n": n}) for n in (1, 2, 2, 2, 1, 3, 4, 1)] == ["1", "2", "2", "2", "1", "3", "4", "1"]
    with pytest.raises(ProjectError, match="the texts of the template take more than 500,000 steps together"):
        for n in range(5, 9):
            template.render({"n": n})


def test_a_template_file_that_is_too_long(folder: Folder) -> None:
    """It is refused before it is read into memory."""
    folder.write({"long.j2": "x" * 400_001, "a.j2": "{% include 'long.j2' %}", "just.j2": "é" * 100_001})
    assert folder.complaint("a.j2").splitlines()[:2] == [
        "error: templates/long.j2 is longer than 100,000 characters",
        " --> templates/a.j2:1:1",
    ]
    assert folder.complaint("just.j2").splitlines()[0] == (
        "error: template syntax: the template is longer than 100,000 characters"
    )


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("{{ '{:03d}'.format(1) }}", 'use the filter format: {{ "%03d" | format(n) }}'),
        ("{{ brand | urlize }}", "it writes HTML, but a prompt is plain text"),
        ("{{ products | random }}", "it would give another image in each run; use an axis or the seed"),
        ("{{ lipsum() }}", "it would give another text in each run"),
        (
            "{{ products.append(1) }}",
            "values never change; make a new one, such as {{ items + [item] }}, or keep it in a namespace",
        ),
        ("{{ '%02d' | format('7') }}", None),
    ],
)
def test_what_was_taken_away_says_what_to_use(folder: Folder, text: str, hint: str | None) -> None:
    """Under the caret."""
    assert folder.inline_complaint(text).splitlines()[-1] == (f"  = hint: {hint}" if hint else "  |     ^^^^")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("{{ '%02d' | format(7) }}", "07"), ("{{ '%02d' % 7 }}", "07"), ("{{ '7'.zfill(2) }}", "07"),
     ("{{ 7 | string | center(3) }}.", "7 ."), ("{{ '%s of %s' % (1, 2) }}", "1 of 2"),
     ("{{ '%(a)s' % {'a': 1} }}", "1"), ("{{ '7'.rjust(2, '0') }}", "07")],
)  # fmt: skip
def test_numbers_can_be_padded(folder: Folder, text: str, expected: str) -> None:
    """By filter, operator and method."""
    assert folder.inline(text).render({}) == expected


def test_one_text_of_several_places(tmp_path: Path) -> None:
    """A mistake in it is told at the place of each."""
    templates = Templates(tmp_path, "templates")
    made = {
        3: templates.inline("{{ nothing }}", lambda line, token: Place("s.toml", 3)),
        7: templates.inline("{{ nothing }}", lambda line, token: Place("s.toml", 7)),
    }
    for line, template in made.items():
        with pytest.raises(ProjectError) as caught:
            template.render({})
        assert [problem.place for problem in caught.value.problems] == [Place("s.toml", line)]
        assert template.render({"nothing": line}) == str(line)
