"""Tests of the sandbox with attacks from public reports on template engines, and with honest habits."""

from __future__ import annotations

from datetime import date
from typing import Any

import jinja2
import pytest

from qwenbuild.specs.limits import LimitError, OutOfSteps
from qwenbuild.specs.rows import Row
from qwenbuild.specs.sandbox import environment

VALUES: dict[str, Any] = {
    "copy": Row({"id": "r1", "title": "Come"}, "r1"), "tags": ["a", "b"], "day": date(2026, 2, 10), "table": {"a": 1},
    "messages": [{"role": "user", "content": "a</think>\nb "}, {"role": "assistant", "content": "c"}],
    "products": [{"kind": "x", "name": "a", "price": 1.25}, {"kind": "y", "name": "b", "price": 2}],
    "colliding": [number * (2**61 - 1) for number in range(20_000)],
}  # fmt: skip


def render(text: str) -> str:
    return environment(jinja2.DictLoader({})).from_string(text).render(VALUES)


@pytest.mark.parametrize(
    "text",
    [
        "{{ '{0.__class__}'.format(1) }}",  # CVE-2016-10745
        "{{ '{x.__class__}'.format_map({'x': 1}) }}",  # CVE-2019-10906
        "{{ ('mailto:' ~ 'a.' * 30000) | urlize }}",  # CVE-2020-28493
        "{{ {'onload=x a': 1} | xmlattr }}",  # CVE-2024-22195
        "{% set f = '{0.__class__}'.format %}{{ ['x'] | map(f) | list }}",  # CVE-2024-56326
        "{{ '{0.__init__.__globals__[__builtins__]}' | attr('format')(copy) }}",  # CVE-2025-27516
        "{% set f = '{0.real}' | attr('format') %}{{ f(42) }}",
        "{{ '' | attr('\\x5f\\x5fclass\\x5f\\x5f') | attr('\\x5f\\x5fmro\\x5f\\x5f') }}",
        "{% for c in [].__class__.__base__.__subclasses__() %}{{ c }}{% endfor %}",  # pallets/jinja#549
        "{{ cycler.__init__.__globals__['os'].popen('id').read() }}",
        "{{ lipsum.__globals__['os'].popen('id').read() }}",
        "{{ ''['__class__']['__mro__'][1] }}",
        "{{ self._TemplateReference__context.environment }}",
        "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
        "{% macro m() %}{% endmacro %}{{ m._environment.filters }}",
        "{% for x in tags %}{{ loop._iterable }}{% endfor %}",
        "{{ joiner.func }}",
        "{{ 'a'.replace.func }}",
        "{{ 'a'.upper.__self__ }}",
        "{{ nothing._undefined_hint }}",
        "{% set l = [] %}{% set _ = l.append(1) %}",
        "{{ strftime_now('%d') }}",
        "{% set x = dict.fromkeys(range(99999)) %}{{ x.a }}",
    ],
)
def test_an_attack_reaches_nothing(text: str) -> None:
    """Escapes from the sandbox of Jinja."""
    with pytest.raises(jinja2.TemplateError):
        render(text)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        # coze-dev/coze-loop#491
        ("{% for i in range(100000) %}{% for j in range(100000) %}DoS{% endfor %}{% endfor %}", LimitError),
        ("{{ '-' * 10000000000 }}", LimitError),  # mitsuhiko/minijinja#924
        ("{{ 'x\ny' | indent(10000000000) }}", LimitError),
        ("{{ [1] | tojson(indent=10000000000) }}", LimitError),
        # harttle/liquidjs#894: loops with an empty body passed the limit
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", OutOfSteps),
        # sebastienros/fluid#972: values that hold themselves
        ("{% set n = namespace() %}{% set n.x = [n] %}{{ n.x ~ '' }}", TypeError),
        (
            "{% set n = namespace() %}{% set n.x = [n] %}{% for x in n.x recursive %}{{ loop(x.x) }}{% endfor %}",
            LimitError,
        ),
        ("{{ colliding | unique | list | length }}", OutOfSteps),  # hashes that collide
        ("{{ dict(colliding | batch(2)) | length }}", OutOfSteps),
        ("{{ 9 ** 9 ** 9 ** 9 }}", LimitError),
        ("{{ 1e308 | int ** 64 }}", LimitError),
    ],
)
def test_an_attack_exhausts_nothing(text: str, error: type[Exception]) -> None:
    """Denials of service that were reported for Jinja, MiniJinja, Liquid and Fluid."""
    with pytest.raises(error):
        render(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ '%02d' | format(7) }} {{ 'Now: %.1f' | format(22.456) }}", "07 Now: 22.5"),  # Home Assistant
        ("{{ '%03d' | format('7' | int) }} {{ [1, 2] | map('string') | join('-') }}", "007 1-2"),  # Ansible
        ("{{ '%02d' % 7 }} {{ 'a,b'.split(',') | last }}", "07 b"),  # dbt
        ("{{ products | sum(attribute='price') | round(2) }} {{ (3 / 2) | round | int }}", "3.25 2"),
        ("{% for kind, items in products | groupby('kind') %}{{ kind }}:{{ items | map(attribute='name') | join }};"
         "{% endfor %}", "x:a;y:b;"),
        ("{{ (products | groupby('kind') | first).grouper }} {{ day.year ~ '-' ~ '%02d' % day.month }}", "x 2026-02"),
        ("{{ table | tojson | safe }} {{ (day - day).days }}", '{"a": 1} 0'),
        # chat templates of language models
        ("{%- set ns = namespace(last=-1) -%}{%- for m in messages[::-1] -%}"
         "{%- if ns.last == -1 and m.role == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}"
         "{%- for m in messages -%}"
         "{%- if loop.first or loop.previtem.role != m.role -%}<{{ m.role }}>{%- endif -%}"
         "{{ m.content.split('</think>')[-1].lstrip('\n') | trim }}{%- endfor -%}{{ ns.last }}",
         "<user>b<assistant>c1"),
        ("{% macro l(items) %}{% for i in items %}{{ caller(i, loop.index) }}{% endfor %}{% endmacro %}"
         "{% call(x, n) l(tags) %}{{ n }}{{ x }} {% endcall %}", "1a 2b "),
        ("{% for i in range(3) %}{% block b scoped %}{{ i }}{{ loop.index }} {% endblock %}{% endfor %}", "01 12 23 "),
        ("{% set c = cycler('odd', 'even') %}{% set j = joiner(', ') %}"
         "{% for t in tags %}{{ j() }}{{ c.next() }}{% endfor %}", "odd, even"),
    ],
)  # fmt: skip
def test_honest_habits_work(text: str, expected: str) -> None:
    """What people write for Ansible, dbt, Home Assistant and chat templates."""
    assert render(text) == expected
