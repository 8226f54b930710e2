"""Templates: expressions and blocks from a grammar, then mutated, in the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st
from jinja2 import BaseLoader

from qwenbuild.errors import QwenbuildError
from qwenbuild.problems import Place
from qwenbuild.specs.rows import Row
from qwenbuild.specs.sandbox import MAX_CHARACTERS, environment
from qwenbuild.specs.template import Templates

from .mutation import SIGNS, WORDS, mutated
from .target import Check, Target

_SANDBOX = environment(BaseLoader())
_VALUES = {
    "mood": "calm", "n": 3, "big": 2**31, "f": 1.5, "flag": True, "words": ["a", "b", "ç"], "table": {"k": "v",
    "items": 1},
    "row": Row({"id": "en", "title": "Come, play"}, "en"), "spec": "s", "image": "i", "size": "1328x1328",
    "width": 1328,
    "height": 1328, "ratio": "1:1", "seed": 1, "model": "qwen-image",
}  # fmt: skip
_FILES = {
    "part.j2": "part {{ mood }}", "macro.j2": "{% macro m(x) %}<{{ x }}>{% endmacro %}",
    "self.j2": "{% include 'self.j2' %}",
    "base.j2": "{% block b %}base{% endblock %}", "open.j2": "{% if %}", "two.j2": "{% include 'part.j2' %}" * 3,
}  # fmt: skip

_names = st.sampled_from(
    [*_VALUES, "nosuch", "loop", "self", "range", "dict", "cycler", "joiner", "namespace", "x", "y"]
)
_atoms = _names | st.sampled_from([
    "0", "1", "-1", "2", "7", "99999", "10**9", "1.5", "1e308", "'a'", "'é猫'", "' x '", "''", "[]", "{}",
    "[1, 'a']", "none",
    "{'a': 1}", "(1, 2)", "true", "'ab' * 9", "range(5)", "range(99999)", "row.title", "table.items", "words[0]",
    "n.real",
    "mood.upper()", "mood.__class__", "''.join", "words.append", "loop.index", "'%s'", "'{}'.format", "[[]] * 9",
])  # fmt: skip
_filters = st.sampled_from(sorted([*_SANDBOX.filters, "random", "pprint", "nosuch"]))
_tests = st.sampled_from(sorted([*_SANDBOX.tests, "nosuch"]))
_operators = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "~", "and", "or", "==", "<", "in", "not in", "is"])


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    arguments = st.lists(inner, max_size=2).map(", ".join)
    return st.one_of(
        st.tuples(inner, _operators, inner).map(lambda it: f"({it[0]} {it[1]} {it[2]})"),
        st.tuples(inner, _filters).map(lambda it: f"({it[0]} | {it[1]})"),
        st.tuples(inner, _filters, arguments).map(lambda it: f"({it[0]} | {it[1]}({it[2]}))"),
        st.tuples(inner, _tests).map(lambda it: f"({it[0]} is {it[1]})"),
        st.tuples(inner, arguments).map(lambda it: f"{it[0]}({it[1]})"),
        st.tuples(inner, inner).map(lambda it: f"{it[0]}[{it[1]}]"),
        st.tuples(inner, inner, inner).map(lambda it: f"({it[0]} if {it[1]} else {it[2]})"),
        st.tuples(inner, st.sampled_from(["title", "items", "__init__", "upper", "real", "mro", "nosuch"])).map(
            ".".join
        ),
    )


expressions = st.recursive(_atoms, _larger, max_leaves=6)
"""Expressions of Jinja, with every filter and test."""

_texts = st.sampled_from(
    ["A house, ", "\n", " ", "“x”", "{# c #}", "{{ '{{' }}", "{% raw %}{{{% endraw %}", "{%- ", "-}}"]
)


def _blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    many = st.lists(inner, max_size=3).map("".join)
    return st.one_of(
        st.tuples(expressions, many,
        many).map(lambda it: f"{{% if {it[0]} %}}{it[1]}{{% else %}}{it[2]}{{% endif %}}"),
        st.tuples(expressions, many).map(lambda it: f"{{% for x in {it[0]} %}}{it[1]}{{% endfor %}}"),
        st.tuples(expressions,
        many).map(lambda it: f"{{% for x in {it[0]} recursive %}}{it[1]}{{{{ loop(x) }}}}{{% endfor %}}"),
        expressions.map(lambda it: f"{{% set x = {it} %}}"),
        many.map(lambda it: f"{{% set x %}}{it}{{% endset %}}"),
        st.tuples(many, expressions).map(lambda it: f"{{% macro y(x) %}}{it[0]}{{% endmacro %}}{{{{ y({it[1]}) }}}}"),
        many.map(lambda it: f"{{% macro y(x) %}}{it}{{{{ y(x) }}}}{{% endmacro %}}{{{{ y(1) }}}}"),
        st.tuples(_filters, many).map(lambda it: f"{{% filter {it[0]} %}}{it[1]}{{% endfilter %}}"),
        st.tuples(expressions, many).map(lambda it: f"{{% with y = {it[0]} %}}{it[1]}{{% endwith %}}"),
        st.sampled_from([*_FILES, "nosuch.j2", "../x", "/etc/passwd"]).map(lambda it: f"{{% include '{it}' %}}"),
        expressions.map(lambda it: f"{{% include {it} %}}"),
        st.just("{% import 'macro.j2' as y %}{{ y.m(x) }}"),
        many.map(lambda it: f"{{% extends 'base.j2' %}}{{% block b %}}{it}{{{{ super() }}}}{{% endblock %}}"),
    )  # fmt: skip


whole = st.lists(
    st.recursive(_texts | expressions.map(lambda it: f"{{{{ {it} }}}}"), _blocks, max_leaves=5), min_size=1, max_size=4
).map("".join)
"""Templates from a grammar."""


@contextmanager
def _opened(folder: Path) -> Iterator[Check]:
    for name, text in _FILES.items():
        (folder / name).write_text(text, encoding="utf-8")

    def check(text: str) -> None:
        """A template gives the same text each time, or an error with a place."""
        found = [_rendered(folder, text) for _ in range(2)]
        assert found[0] == found[1]

    yield check


def _rendered(folder: Path, text: str) -> str:
    try:
        template = Templates(folder, "templates").inline(text, lambda line, token: Place("a.toml", line))
        template.reads()
        made = template.render(dict(_VALUES))
    except QwenbuildError as error:
        return str(error)
    assert len(made) <= MAX_CHARACTERS
    return made


TARGET = Target(
    "templates",
    "prompts in the sandbox",
    whole | whole.flatmap(lambda text: mutated([text], [*WORDS, *SIGNS])),
    _opened,
    80,
)
