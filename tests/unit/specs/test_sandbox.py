"""Tests of the sandbox: its filters, what it prints, and what it keeps out of reach."""

from __future__ import annotations

import string
from datetime import date, datetime, time
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.specs.rows import Row
from qwenbuild.specs.sandbox import MAX_CHARACTERS, environment, listed, oneline, quoted, slug, typographic

ROW = Row({"id": "r1", "title": "Come Play Ball!", "items": "three", "label": "L", "tags": ["a", "b"]}, "r1")
VALUES: dict[str, Any] = {"copy": ROW, "name": "cat", "n": 3, "day": date(2026, 2, 10), "tags": ["a", "b"], "gap": None}


def render(text: str) -> str:
    """Render a text in the environment of templates."""
    return environment(jinja2.DictLoader({})).from_string(text).render(VALUES)


def refusal(text: str) -> str:
    with pytest.raises((jinja2.TemplateError, TypeError, OverflowError, ValueError)) as caught:
        render(text)
    return str(caught.value)


# --- filters ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Come Play Ball!", "come-play-ball"),
        ("  --already_a-slug--  ", "already-a-slug"),
        ("Größe & Maß", "grösse-mass"),
        ("Cafe\N{COMBINING ACUTE ACCENT}", "café"),
        ("一起来玩球吧！", "一起来玩球吧"),
        ("हिन्दी पोस्टर", "हिन्दी-पोस्टर"),
        ("สวัสดี ครับ", "สวัสดี-ครับ"),
        ("I ❤\N{VARIATION SELECTOR-16} NY", "i-ny"),
        ("../../etc/passwd", "etc-passwd"),
        ("16:9", "16-9"),
        (20, "20"),
        (True, "true"),
        ("!!!", ""),
        ("", ""),
    ],
)
def test_a_slug_keeps_letters_and_digits(text: object, expected: str) -> None:
    """A slug is in lower case with hyphens between words, and keeps letters and vowel signs of all scripts."""
    assert slug(text) == expected


@given(st.text(), st.integers(1, 80))
def test_a_slug_is_short_and_safe(text: str, length: int) -> None:
    """A slug has at most its length, no hyphen at an end, no double hyphen, and no special characters."""
    found = slug(text, length)
    assert len(found) <= length
    assert not found.startswith("-")
    assert not found.endswith("-")
    assert "--" not in found
    assert not set(found) & set(string.whitespace + "/\\.:\"'<>|?*_")


@given(st.text(string.ascii_letters + string.digits + string.punctuation + " "))
def test_a_slug_of_ascii_is_words_with_hyphens(text: str) -> None:
    """Each run of letters and digits is a word."""
    words = "".join(ch if ch.isalnum() else " " for ch in text.lower()).split()
    assert slug(text, 1000) == "-".join(words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('He said "no".', "He said “no”."),
        ('"Quoted" from the start', "“Quoted” from the start"),
        ('("in brackets")', "(“in brackets”)"),
        ("it's the dogs' ball", "it’s the dogs’ ball"),
        ("the 'single' kind", "the ‘single’ kind"),
        ("\"a 'nested' one\"", "“a ‘nested’ one”"),
        ("'\"Hi,\" he said'", "‘“Hi,” he said’"),
        ("\"it's,\" he said, \"the '90s\"", "“it’s,” he said, “the ’90s”"),
        ("'Tis the season, 'twas the night, rock 'n' roll", "’Tis the season, ’twas the night, rock ’n’ roll"),
        ("'til morning, get 'em", "’til morning, get ’em"),
        ("'tiny' and 'embers'", "‘tiny’ and ‘embers’"),
        ("5'9\" tall", "5’9” tall"),
        ("wait...", "wait…"),
        ("1990--1999 --- or so", "1990–1999 — or so"),
        ("so---\"yes\"", "so—“yes”"),
        ("“done” already — isn’t it…", "“done” already — isn’t it…"),
        ("一起来玩球吧！", "一起来玩球吧！"),
        ("", ""),
    ],
)  # fmt: skip
def test_typographic_curls_quotes_and_sets_dashes(text: str, expected: str) -> None:
    """Quotes open and close, an apostrophe for omitted letters curls like a closing quote."""
    assert typographic(text) == expected


@given(st.text(st.sampled_from("ab 9s'\"“”‘’.-—–…(tiswn\n")))
def test_typographic_is_done_once(text: str) -> None:
    """No straight quote is left, and a second pass changes nothing."""
    once = typographic(text)
    assert not set(once) & set("'\"")
    assert typographic(once) == once


def test_quoted_puts_double_quotation_marks() -> None:
    """White space at the ends is removed."""
    assert quoted("  Come Play Ball!\n") == "“Come Play Ball!”"
    assert quoted(20) == "“20”"


def test_oneline_has_no_line_ends() -> None:
    """Each run of white space becomes one space."""
    assert oneline(" a\r\n\tb \N{NO-BREAK SPACE}c\n") == "a b c"


@pytest.mark.parametrize(
    ("items", "expected"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", 3], "a, b and 3"), ("abc", "abc")],
)
def test_listed_is_running_text(items: list[object] | str, expected: str) -> None:
    """Commas separate the items, a word precedes the last; a text is one item."""
    assert listed(items) == expected


def test_templates_have_the_filters() -> None:
    """Filters take arguments and can be chained."""
    assert render("{{ copy.title | slug }}") == "come-play-ball"
    assert render("{{ copy.title | slug(6) }}") == "come-p"
    assert render("{{ tags | listed('or') | quoted }}") == "“a or b”"
    assert render('{{ "it\'s  \n so" | oneline | typographic }}') == "it’s so"


@pytest.mark.parametrize("name", ["slug", "quoted", "typographic", "oneline"])
def test_filters_take_only_what_can_be_printed(name: str) -> None:
    """A prompt with `None` or `['a']` would be paid for."""
    assert refusal(f"{{{{ gap | {name} }}}}") == "can't print null"
    assert refusal(f"{{{{ tags | {name} }}}}") == "can't print a list (use | join)"
    assert refusal(f"{{{{ nothing | {name} }}}}") == "'nothing' is undefined"


# --- what can be printed ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ name }} {{ n }} {{ 1.5 }} {{ n > 2 }}", "cat 3 1.5 True"),
        ("{{ copy }}", "r1"),
        ("{{ copy.title }} {{ copy['title'] }}", "Come Play Ball! Come Play Ball!"),
        ("{{ copy.items }} {{ copy.label }}", "three L"),
        ("{{ day }} {{ day.year }} {{ day.isoformat() }}", "2026-02-10 2026 2026-02-10"),
        ("{{ tags | join(', ') }}", "a, b"),
        ("{{ 'a' * 3 }} {{ 2 ** 10 }} {{ 7 % 4 }} {{ ([1] * 2) | length }}", "aaa 1024 3 2"),
        ("{% for key, value in {'a': 1}.items() %}{{ key }}{{ value }}{% endfor %}", "a1"),
    ],
)
def test_texts_numbers_dates_and_rows_can_be_printed(text: str, expected: str) -> None:
    """A field of a row hides a method with the same name."""
    assert render(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ tags }}", "can't print a list (use | join)"),
        ("{{ {'a': 1} }}", "can't print a table (name one of its fields)"),
        ("{{ gap }}", "can't print null"),
        ("{{ none }}", "can't print null"),
        ("{{ range(3) }}", "can't print this: it has no text"),
        ("{{ name.upper }}", "can't print this: it has no text"),
        ("{{ cycler('a') }}", "can't print this: it has no text"),
        ("{{ nothing }}", "'nothing' is undefined"),
        ("{{ copy.nothing }}", 'the row "r1" has no field "nothing"'),
        ("{{ {'a': 1}.b }}", 'the table has no field "b"'),
        ("{{ tags.first }}", 'the list has no field "first"'),
        ("{{ tags[2] }}", "the list has no element 2"),
        ("{{ name.nothing }}", 'the text has no field "nothing"'),
        ("{{ n.nothing }}", 'the number has no field "nothing"'),
        ("{{ gap.nothing }}", 'null has no field "nothing"'),
        ("{{ day.nothing }}", 'the value has no field "nothing"'),
        ("{{ copy[range] }}", 'the row "r1" has no such element'),
        ("{{ 'a' ~ name.upper }}", "this prints a function or an iterator: call it with (), or use | join"),
        ("{{ name.upper | trim }}", "this prints a function or an iterator: call it with (), or use | join"),
        ("{{ tags | map('upper') | upper }}", "this prints a function or an iterator: call it with (), or use | join"),
        ("{{ cycler('a') | string }}", "this prints a function or an iterator: call it with (), or use | join"),
        ("{{ range | slug }}", "can't print this: it has no text"),
        ("{{ cycler('a') | escape }}", "this prints a function or an iterator: call it with (), or use | join"),
        ("{{ cycler('a') | urlencode }}", "No filter named 'urlencode'."),
        ("{{ range | string }}", "this prints a function or an iterator: call it with (), or use | join"),
    ],
)
def test_a_value_without_a_text_is_refused(text: str, reason: str) -> None:
    """Lists, tables, null, functions and iterators never reach a prompt."""
    assert refusal(text) == reason


def test_a_prompt_about_addresses_is_fine() -> None:
    """A text that looks like a printed object is a text like any other."""
    shown = "<object of art at 0x90deadbeef>"
    assert render("{{ '" + shown + "' | trim }}") == shown


# --- purity ---


@pytest.mark.parametrize(
    "text",
    [
        "{{ [1, 2] | random }}",
        "{{ lipsum() }}",
        "{{ day.today() }}",
        "{{ day.timetuple() }}",
        "{{ moment.now() }}",
        "{{ moment.timestamp() }}",
        "{{ moment.astimezone() }}",
        "{{ clock.now() }}",
    ],
)
def test_nothing_differs_between_runs(text: str) -> None:
    """Templates can't reach random numbers or the time."""
    values = {**VALUES, "moment": datetime(2026, 2, 10, 12, 30), "clock": time(12, 30)}
    with pytest.raises(jinja2.TemplateError):
        environment(jinja2.DictLoader({})).from_string(text).render(values)


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ copy.__init__.__globals__ }}",
        "{{ copy._label }}",
        "{{ copy | attr('__class__') }}",
        "{{ [copy] | map(attribute='__class__') | join }}",
        "{{ ('{0.__class__}').format(name) }}",
        "{{ '{0.__class__}'.format_map({'0': name}) }}",
        "{{ self._TemplateReference__context }}",
        "{{ range.__globals__ }}",
        "{{ (''|attr('format'))('x') }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ joiner.__init__.__globals__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ tags.append('c') }}",
        "{{ copy.update({'a': 1}) }}",
        "{{ copy.clear() }}",
        "{% set _ = tags.sort() %}",
        "{{ config }}",
        "{{ day.__reduce__() }}",
    ],
)
def test_nothing_leaves_the_sandbox(text: str) -> None:
    """Templates can't reach Python's attributes, change a value, or see other globals."""
    with pytest.raises(jinja2.TemplateError):
        render(text)


# --- bounds ---


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ 'a' * 10**9 }}", "the result of * is longer than 100,000"),
        ("{{ 10**9 * 'a' }}", "the result of * is longer than 100,000"),
        ("{{ ([0] * 10**9) | length }}", "the result of * is longer than 100,000"),
        ("{{ 9 ** 9 ** 9 }}", "the result of ** is too large"),
        ("{{ 10000000 ** 20 }}", "the result of ** is too large"),
        ("{{ '%0999999999d' % 1 }}", "a format is wider than 1,000 characters"),
        ("{{ '%0999999999d' is odd }}", "a text is neither odd nor even: use | int"),
        ("{{ 5 | round(-10**9) }}", "round takes at most 1,000 decimals"),
        ("{{ [1] | tojson(indent=10**9) }}", "tojson indents by at most 32 spaces"),
        ("{% for i in range(90000) %}long{% endfor %}", "the text is longer than 100,000 characters"),
        ("{% macro m() %}{% for i in range(90000) %}long{% endfor %}{% endmacro %}{{ m() }}",
         "the text is longer than 100,000 characters"),
        ("{% set x %}{% for i in range(90000) %}long{% endfor %}{% endset %}",
         "the text is longer than 100,000 characters"),
        ("{% for i in range(10**9) %}{% endfor %}",
         "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000)."),
        ("{{ 'a'.ljust(10**9) }}", "the text is longer than 100,000 characters"),
        ("{{ 'a'.rjust(10**9) }}", "the text is longer than 100,000 characters"),
        ("{{ 'a'.center(10**9) }}", "the text is longer than 100,000 characters"),
        ("{{ '1'.zfill(10**9) }}", "the text is longer than 100,000 characters"),
        ("{{ '\t'.expandtabs(10**9) }}", "the text is longer than 100,000 characters"),
        ("{{ '{:999999999}'.format(1) }}", 'templates can\'t use "format" of a text'),
        ("{{ '%*d' | format(10**9, 1) }}", '"%*" is no format; a percent sign is written %%'),
        ("{{ 'a' | center(10**9) }}", "the text is longer than 100,000 characters"),
        ("{{ 'a' | indent(10**9, true) }}", "the text is longer than 100,000 characters"),
        ("{{ [1] | batch(10**9, 0) | list | length }}", "batch makes lists of at most 100,000"),
    ],
)  # fmt: skip
def test_nothing_exhausts_memory(text: str, reason: str) -> None:
    """Operators, loops, padding and widths have limits."""
    assert refusal(text) == reason


@pytest.mark.parametrize("length", [MAX_CHARACTERS, MAX_CHARACTERS - 1])
def test_a_text_may_be_as_long_as_the_limit(length: int) -> None:
    """The limit is exact, for a text in one piece and in many."""
    assert len(render("{{ 'a' * " + str(length) + " }}")) == length
    assert len(render("{% for i in range(" + str(length) + ") %}a{% endfor %}")) == length


def test_undefined_operands_are_reported_as_undefined() -> None:
    """The limited operators keep Python's and Jinja's own errors for other operands."""
    for operator in ("*", "**", "%"):
        assert refusal(f"{{{{ nothing {operator} 2 }}}}") == "'nothing' is undefined"
    assert refusal("{{ 'a' ** 2 }}") == "unsupported operand type(s) for ** or pow(): 'str' and 'int'"
