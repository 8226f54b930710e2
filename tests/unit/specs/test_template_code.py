"""Tests of the code of templates: which sources are refused, and what is counted."""

from __future__ import annotations

import jinja2
import pytest
from jinja2 import nodes

from qwenbuild.specs import template_code
from qwenbuild.specs.limits import CALL_STEPS, OutOfSteps
from qwenbuild.specs.sandbox import environment
from qwenbuild.specs.template_code import NestedTooDeeply, steps_of, variables

FILES = {
    "lib.j2": "{% macro m() %}x{% endmacro %}",
    "base.j2": "{% block b %}{% endblock %}",
    "part.j2": "part",
}


def steps(text: str, **values: object) -> int:
    """Return the steps that a text takes."""
    sandbox = environment(jinja2.DictLoader(FILES))
    sandbox.from_string(text).render(**values)
    return sandbox.meter.spent


# --- sources ---


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x" * 100_001, "the template is longer than 100,000 characters"),
        ("{{ a }}" * 4_000, "the template has more than 10,000 names, texts, numbers and operators"),
        ("{{ " + "9" * 1_001 + " }}", "a number has more than 1,000 digits"),
        ("{{ 0x" + "f" * 90_000 + " }}", "a number has more than 1,000 digits"),
        ("{{ " + "1_" * 40_000 + "1 }}", "a number has more than 1,000 digits"),
        ("{{ 1e999 | int }}", "a number is too large"),
        ("{% autoescape true %}{% endautoescape %}", "autoescape writes HTML, but a prompt is plain text"),
    ],
)
def test_a_source_that_is_too_long(text: str, reason: str) -> None:
    """It is refused with a reason that names the limit."""
    with pytest.raises(jinja2.TemplateSyntaxError) as caught:
        environment(jinja2.DictLoader({})).from_string(text)
    assert caught.value.message == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}", "more than 30 brackets inside each other"),
        ("{{ " + "[" * 31 + "1" + "]" * 31 + " }}", "more than 30 brackets inside each other"),
        ("{{ " + "- " * 31 + "1 }}", "more than 30 brackets inside each other"),
        ("{{ " + "not " * 31 + "1 }}", "more than 30 brackets inside each other"),
        ("{{ 1" + " + 1" * 91 + " }}", "more than 90 operators, filters or calls on top of each other"),
        ("{{ 'a'" + " | upper" * 91 + " }}", "more than 90 operators, filters or calls on top of each other"),
        ("{{ a" + ".b" * 91 + " }}", "more than 90 operators, filters or calls on top of each other"),
        ("{{ 1" + " if 1 else 1" * 91 + " }}", "more than 90 operators, filters or calls on top of each other"),
        ("{% if 1 %}" * 16 + "{% endif %}" * 16, "more than 15 tags inside each other"),
        ("{% for i in [1] %}" * 16 + "{% endfor %}" * 16, "more than 15 tags inside each other"),
        ("{% set a %}" * 16 + "{% endset %}" * 16, "more than 15 tags inside each other"),
    ],
)
def test_a_source_that_is_too_deep(text: str, reason: str) -> None:
    """The limits are far below those of Python, which differ between versions."""
    with pytest.raises(NestedTooDeeply) as caught:
        environment(jinja2.DictLoader({})).from_string(text)
    assert caught.value.message == reason


@pytest.mark.parametrize(
    "text",
    [
        "{{ " + "[" * 29 + "1" + "]" * 29 + " | string }}",
        "{{ 1" + " + 1" * 85 + " }}",
        "{{ 'a'" + " | replace('a', 'b')" * 85 + " }}",
        "{{ 1" + " if n else 1" * 85 + " }}",
        "{{ 'a' ~ 'b'" + " ~ 'c'" * 3_000 + " }}",
        "{% if n %}" * 15 + "{{ n }}" + "{% endif %}" * 15,
        "{% for i in [1] %}" * 15 + "{% include 'no.j2' ignore missing %}{{ i }}" + "{% endfor %}" * 15,
        "{% if n is none %}" + "{% elif n %}" * 2_000 + "{{ n }}{% endif %}",
    ],
)  # fmt: skip
def test_a_source_within_the_limits_compiles(text: str) -> None:
    """What the limits allow, Python's compiler can take."""
    assert steps(text, n=3) >= 0


def test_nothing_is_computed_while_a_template_is_compiled() -> None:
    """Jinja runs filters of constants when it compiles, before anything can stop them."""
    sandbox = environment(jinja2.DictLoader({}))
    ran: list[object] = []

    def spy(value: object) -> str:
        ran.append(value)
        return "x"

    sandbox.filters["spy"] = sandbox.tests["spied"] = spy
    text = "{{ 1 | spy }}{{ 'a' ~ (1 | spy) }}{% if 1 is spied %}{% endif %}{% set x = [1 | spy] %}"
    variables(sandbox.parse(text))
    template = sandbox.from_string(text)
    assert ran == []
    assert template.render() == "xax"
    assert ran == [1, 1, 1, 1]


# --- counting ---


@pytest.mark.parametrize(
    "text",
    ["plain text", "{{ n }} and {{ items[0] }} {{ n | string | upper }} {{ n + 1 }} {{ items | length }}",
     "{% if n > 1 %}{{ n }}{% elif n == 7 %}x{% else %}y{% endif %}{% set m = n * 2 %}{{ m }}"],
)  # fmt: skip
def test_a_template_without_loops_and_calls_counts_nothing(text: str) -> None:
    """So it is as fast as without limits."""
    assert steps(text, n=3, items=["a"]) == 0


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("{% for i in range(10) %}{% endfor %}", "{% for i in range(20) %}{% endfor %}"),
        ("{% for i in range(10) %}{{ i }}{% endfor %}", "{% for i in range(20) %}{{ i }}{% endfor %}"),
        ("{% for i in range(10) if i is odd %}x{% endfor %}", "{% for i in range(20) if i is odd %}x{% endfor %}"),
        ("{% macro m() %}x{% endmacro %}" + "{{ m() }}" * 10, "{% macro m() %}x{% endmacro %}" + "{{ m() }}" * 20),
        ("{% include 'part.j2' %}" * 10, "{% include 'part.j2' %}" * 20),
        ("{% from 'lib.j2' import m %}" * 10, "{% from 'lib.j2' import m %}" * 20),
        ("{% block a %}x{% endblock %}{{ self.a() }}" + "{{ self.a() }}" * 10,
         "{% block a %}x{% endblock %}{{ self.a() }}{{ self.a() }}" + "{{ self.a() }}" * 20 + "{{ self.a() }}"),
        ("{% macro m() %}{{ caller() }}{% endmacro %}" + "{% call m() %}x{% endcall %}" * 10,
         "{% macro m() %}{{ caller() }}{% endmacro %}" + "{% call m() %}x{% endcall %}" * 20),
    ],
    ids=["empty", "loop", "filtered", "macro", "include", "import", "block", "caller"],
)  # fmt: skip
def test_twice_as_many_rounds_or_calls_are_twice_the_steps(one: str, two: str) -> None:
    """Each round, call and include counts."""
    assert steps(one) > 0
    assert 1.9 * steps(one) <= steps(two) <= 2.3 * steps(one)


def test_loops_inside_each_other_multiply() -> None:
    """The inner loop counts its own rounds."""
    inner = "{% for j in range(10) %}{{ j }}{% endfor %}"
    assert steps("{% for i in range(100) %}" + inner + "{% endfor %}") > 100 * steps(inner)


def test_a_block_counts_the_steps_of_its_body_each_time() -> None:
    """Also where it stands within a loop, which does not know the body that a child template gives it."""
    loop = "{% for i in range(100) %}{% block a scoped %}" + "{{ i }}" * 50 + "{% endblock %}{% endfor %}"
    assert steps(loop) > 100 * 50


def test_a_recursive_loop_counts_each_of_its_loops() -> None:
    """The steps of a tree grow with its leaves."""
    text = "{% for x in tree recursive %}{{ loop(x) if x is iterable else x }}{% endfor %}"
    assert steps(text, tree=[[1, 2], [3, [4]]]) > 4 * CALL_STEPS
    wide: list[object] = [1]
    for _ in range(20):
        wide = [wide, wide]
    with pytest.raises(OutOfSteps):
        steps(text, tree=wide)


def test_arguments_in_a_list_count() -> None:
    """`f(*items)` copies all items for each call."""
    few, many = (
        "{% macro m() %}{{ varargs | length }}{% endmacro %}{{ m(*range(" + n + ")) }}" for n in ("1", "90000")
    )
    assert steps(many) - steps(few) == 89_999


def test_a_module_counts_for_each_text_that_uses_it() -> None:
    """Jinja keeps the module of an imported file. So without this, the first text would take more steps than others."""
    sandbox = environment(jinja2.DictLoader({"lib.j2": "{% for i in range(99) %}{% endfor %}{% set a = 1 %}"}))
    template, spent = sandbox.from_string("{% import 'lib.j2' as lib %}{{ lib.a }}"), []
    for _ in range(3):
        assert template.render() == "1"
        spent.append(sandbox.meter.spent)
    assert spent == [spent[0]] * 3


def test_the_steps_of_a_body_are_its_nodes() -> None:
    """Bodies of loops, macros and blocks count themselves."""
    sandbox = environment(jinja2.DictLoader({}))

    def body(text: str) -> int:
        return steps_of(sandbox.parse(text).body)

    assert body("x") == 2
    assert body("{{ a.b | upper }}") == 4
    assert body("{% for i in a %}{{ b }}{{ c }}{% endfor %}") == body("{% for i in a %}{% endfor %}")
    assert body("{% macro m() %}{{ b }}{{ c }}{% endmacro %}") == body("{% macro m() %}{% endmacro %}")


def test_comparisons_in_a_row_compute_each_value_once() -> None:
    """And only as many as are needed."""
    sandbox = environment(jinja2.DictLoader({}))
    seen: list[object] = []

    def see(value: object) -> object:
        seen.append(value)
        return value

    sandbox.filters["see"] = see
    for text, result, values in (
        ("{{ (a | see) < (b | see) < (c | see) }}", "True", [1, 2, 3]),
        ("{{ (b | see) < (a | see) < (c | see) }}", "False", [2, 1]),
        ("{{ (a | see) in (items | see) not in (c | see, 1) }}", "True", [1, [1, 2], 3]),
        ("{{ 'x' not in (items | see) }}", "True", [[1, 2]]),
    ):
        seen.clear()
        assert sandbox.from_string(text).render(a=1, b=2, c=3, items=[1, 2]) == result
        assert seen == values


def test_the_variables_of_a_template() -> None:
    """Those that it reads and does not set."""
    tree = environment(jinja2.DictLoader({})).parse(
        "{{ a.b }}{% for c in d %}{{ c }}{% endfor %}{% set e = f %}{{ e }}"
    )
    assert variables(tree) == {"a", "d", "f"}


def test_the_limits_fit_into_each_other() -> None:
    """The parser takes fifteen calls of Python for a bracket; a thousand are allowed by default."""
    assert template_code.MAX_BRACKETS * 15 + template_code.MAX_TAGS * 6 < 600
    assert issubclass(nodes.Compare, nodes.Expr)
