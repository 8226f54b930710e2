"""Tests of purity: no text and no message depends on where an object lies in memory, or on the order of hashes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenbuild.specs.sandbox import environment
from tests.support.rendering import Renderer, rendered

OBJECTS = (
    "range", "range(3)", "dict", "dict(a=1)", "cycler", "cycler('a', 'b')", "cycler('a').next", "joiner", "joiner(';')",
    "namespace", "namespace(a=range)", "namespace(a=1).a", "outer", "lib", "lib.m", "lib.size", "lib.m()", "loop",
    "loop.cycle", "loop.index", "loop.previtem", "caller", "caller()", "varargs", "kwargs", "self", "self.b",
    "self.b()", "tags | map('upper')", "tags | select('eq', 'a')", "tags | reverse", "tags | batch(1)",
    "tags | groupby('x', default=1)", "tags | unique", "copy.keys()", "copy.values()", "copy | items", "table.items()",
    "copy.items", "'text'.upper", "'a'.join", "tags.index", "day.isoformat", "day.isoformat()", "(1).conjugate",
    "nothing", "copy.nothing", "''.format", "('x' if false)", "gap", "copy", "tags", "table", "day", "n", "1.5",
    "'text'", "true", "[range]", "{'a': joiner()}", "(cycler('a'),)", "{'k': tags | map('upper')}", "[[loop]]",
    "{1: caller}", "day - day", "{'b': 1, 'a': 2, 'c': 3}.keys()",
)  # fmt: skip
"""Expressions for everything that a template can reach, by itself and within lists and tables."""

_made = environment(jinja2.DictLoader({}))
FILTERS, TESTS = sorted(_made.filters), sorted(_made.tests)
_OF_TYPES = {name for kind in (str, list, dict, int, float, range) for name in dir(kind) if name[0] != "_"}
_OF_OBJECTS = {"next", "current", "sep", "used", "cycle", "changed", "length", "name", "super", "caller", "__class__"}
METHODS = sorted(_OF_TYPES | _OF_OBJECTS)


def deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return expressions that are built from others."""
    filters, tests, methods = st.sampled_from(FILTERS), st.sampled_from(TESTS), st.sampled_from(METHODS)
    return st.one_of(
        st.builds("({} | {})".format, inner, filters),
        st.builds("({} | {}({}))".format, inner, filters, inner),
        st.builds("({} | map('{}') | list)".format, inner, filters),
        st.builds("({} is {})".format, inner, tests),
        st.builds("({} is {}({}))".format, inner, tests, inner),
        st.builds("({}).{}".format, inner, methods),
        st.builds("({}).{}()".format, inner, methods),
        st.builds("({}).{}({})".format, inner, methods, inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(["~", "+", "*", "%", "-", "in", "==", "<", "or"]), inner),
        st.builds("('%s' | format({}))".format, inner),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("({})[:2]".format, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{'k': {}}}".format, inner),
        st.builds("({})()".format, inner),
        st.builds("({})({})".format, inner, inner),
    )


EXPRESSIONS = st.recursive(st.sampled_from(OBJECTS), deeper, max_leaves=4)
ADDRESS = re.compile("0x[0-9a-f]{6,}|7f[0-9a-f]{8,}", re.IGNORECASE)


def framed(expression: str) -> bool:
    """Return whether an expression has a meaning only within macros, loops or imports."""
    return re.search("loop|caller|varargs|kwargs|outer|self|lib", expression) is not None


def source(expression: str) -> str:
    """Return a template that prints an expression where loop, caller, varargs and self are defined."""
    if not framed(expression):
        return "{{ " + expression + " }}"  # compiles in less time
    return (
        "{% import 'lib.j2' as lib %}{% block b %}block{% endblock %}"
        "{% macro outer() %}{{ varargs | length }}{{ kwargs | length }}{{ caller() }}{% for each in tags %}{{ "
        + expression
        + " }}{{ loop.index }}{% endfor %}{% endmacro %}{% call outer(1, range, k=joiner()) %}body{% endcall %}"
    )


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[Renderer, Renderer]]:
    """Two processes with different hash seeds, and with different addresses."""
    with Renderer(1) as one, Renderer(4_000_000) as other:
        yield one, other


def both(two: tuple[Renderer, Renderer], sources: list[str]) -> tuple[list[str], list[str]]:
    """Return the texts that both processes make, at the same time."""
    for renderer in two:
        renderer.send(sources)
    return two[0].receive(), two[1].receive()


@settings(max_examples=20)
@given(expressions=st.lists(EXPRESSIONS, min_size=10, max_size=20))
def test_two_processes_give_the_same_text_or_the_same_error(
    two: tuple[Renderer, Renderer], expressions: list[str]
) -> None:
    """Whatever is done to functions, iterators and other objects, no address reaches a text or a message."""
    first, second = both(two, [source(expression) for expression in expressions])
    assert first == second
    assert [text for text in first if ADDRESS.search(text)] == []


@pytest.mark.parametrize("expression", OBJECTS)
def test_every_object_gives_the_same_in_two_processes(two: tuple[Renderer, Renderer], expression: str) -> None:
    """Each object goes through each filter, and is the argument of filters."""
    forms = ["{}", "{} ~ ''", "[{}] ~ ''", "[{}] | join", "'%s' % ({})", "'%s' | format({})", "{{'a': {}}} | string",
             "(({}) ~ '')[1:-1]", "({}) | string | reverse", "[[{}]] | join(',')", "'a' | replace('a', {})",
             "tags | join({})", "tags | listed({})", "'a b' | wordwrap(1, wrapstring={})", "copy[{}]",
             "('a'*300) | truncate(9, true, {})", "'a' | indent({})", "nothing | default({}) ~ ''"]  # fmt: skip
    forms += [f"({{}}) | {name}" for name in (("string", "list", "first", "tojson") if framed(expression) else FILTERS)]
    forms += [f"({{}}) is {name}" for name in ("string", "mapping", "iterable", "sequence", "sameas(1)")]
    first, second = both(two, [source(form.format(expression)) for form in forms])
    assert first == second
    assert [text for text in first if ADDRESS.search(text)] == []


WAYS = (
    "{}", "{} ~ ''", "'' ~ {}", "[{}] ~ ''", "({{'a': {}}}) ~ ''", "({},) ~ ''", "{} | string", "{} | upper",
    "{} | trim", "({} | string)[3:]", "{} | string | reverse", "({} ~ '') | list | join(' ')",
    "({} ~ '') | wordwrap(4)", "[{}] | join", "[[{}]] | join", "[{}] | map('string') | join",
    "[{}] | map('upper') | first", "tags | join({})", "'a' | replace('a', {})", "{} | replace('0x', '')",
    "'%s' | format({})", "'%s' % ({})", "['%s'] | map('format', {}) | join", "{} | truncate(20)", "{} | escape",
    "{} | tojson", "{} | title", "{} | striptags", "{} | indent", "{} | center", "{} | slug", "{} | oneline",
    "{} | quoted", "tags | listed({})", "({} | string).split('at')[1]", "{} is upper", "namespace(a={}).a | string",
    "cycler({}).next() ~ ''", "'a b' | wordwrap(1, wrapstring={})", "'a b' | truncate(1, true, {})",
)  # fmt: skip
"""How templates may try to turn an object into a text."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("thing", ["range", "cycler('a')", "'a'.upper", "tags | map('upper')", "namespace(a=1)"])
def test_an_object_without_a_text_is_no_text_in_any_way(thing: str, way: str) -> None:
    """Slicing, reversing, wrapping, joining and formatting have nothing to work on: they raise an error."""
    text = rendered("{{ " + way.format(f"({thing})") + " }}")
    assert text.startswith(("TypeError: ", "FilterArgumentError: ")), text
    assert "0x" not in text


def test_the_keys_of_tables_have_an_order() -> None:
    """Python subtracts keys of tables as sets, whose order differs from run to run. So templates can't."""
    assert rendered("{{ (table.keys() - ['one']) | join }}") == "TypeError: can't subtract keys of tables: use | reject"
