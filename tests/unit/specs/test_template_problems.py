"""Tests of problems of templates: what an error becomes, also after a journey between processes."""

from __future__ import annotations

import json

import jinja2
import pytest

from qwenbuild.errors import ProjectError
from qwenbuild.problems import Place, Problem
from qwenbuild.specs.limits import OutOfSteps, TooDeep
from qwenbuild.specs.members import Refused
from qwenbuild.specs.sandbox import environment
from qwenbuild.specs.template_problems import INLINE, Failure, problem_of

ENVIRONMENT = environment(jinja2.DictLoader({}))


def told(failure: Failure) -> Problem:
    """Return the problem, with a place that shows its token."""
    return problem_of(
        failure,
        lambda token: Place("a.j2", failure.line, source=token),
        {"mood": 1},
        ENVIRONMENT,
        "templates",
        lambda: ["a.j2"],
    )


ERRORS = [
    (jinja2.TemplateSyntaxError("unexpected '}'", 3, "a.j2"), 'template syntax: unexpected \'}\'', "}"),
    (jinja2.TemplateRuntimeError("No filter named 'uper' found."), "template syntax: No filter named 'uper'", "uper"),
    (jinja2.TemplateNotFound("b.j2"), 'no template "b.j2"', "b.j2"),
    (jinja2.UndefinedError("'moof' is undefined"), 'undefined variable "moof"', "moof"),
    (jinja2.UndefinedError('the row "en" has no field "titel"'), 'undefined field "titel"', "titel"),
    (OutOfSteps(1_000_000), "template failed: the template takes more than 1,000,000 steps", ""),
    (TooDeep("more than 50"), "template is nested too deeply, or includes or calls itself without end", ""),
    (RecursionError("maximum"), "template is nested too deeply, or includes or calls itself without end", ""),
    (Refused('can\'t use "format"\nuse it'), 'template failed: can\'t use "format"', "format"),
    (ProjectError([Problem('"b.j2" is bad')]), '"b.j2" is bad', "b.j2"),
    (ZeroDivisionError("division by zero"), "template failed: division by zero", ""),
    (MemoryError(), "template failed: it needs too much memory", ""),
    (KeyError(), "template failed: KeyError", ""),
]  # fmt: skip


@pytest.mark.parametrize(("error", "claim", "token"), ERRORS, ids=lambda value: type(value).__name__)
def test_an_error_becomes_a_problem(error: Exception, claim: str, token: str) -> None:
    """Before and after it was sent as JSON."""
    failure = Failure.of(error, ["a.j2"])
    assert (told(failure).claim, told(failure).place and told(failure).place.source) == (claim, token)  # type: ignore[union-attr]
    assert Failure.from_json(json.loads(json.dumps(failure.as_json()))) == failure


def test_a_problem_keeps_its_place_on_the_way() -> None:
    """A file that is no UTF-8 is reported where its bytes are wrong."""
    found = Problem("not UTF-8", Place("templates/b.j2", 2, 5, 1, "two ?"), facts=("a fact",), hint="save it as UTF-8")
    sent = json.loads(json.dumps(Failure.of(ProjectError([found]), []).as_json()))
    assert told(Failure.from_json(sent)) == found


def test_where_an_error_happened() -> None:
    """In the innermost template of the traceback, or where the syntax is wrong."""
    syntax = Failure.of(jinja2.TemplateSyntaxError("x", 3, "a.j2"), ["a.j2"])
    assert (syntax.name, syntax.line) == ("a.j2", 3)
    assert Failure.of(jinja2.TemplateSyntaxError("x", 3), []).name == INLINE
    sandbox = environment(jinja2.FunctionLoader(lambda name: ("\n{{ 1 / 0 }}", name, lambda: True)))
    with pytest.raises(ZeroDivisionError) as caught:
        sandbox.from_string("\n\n{% include 'a.j2' %}").render()
    for known, place in ((["a.j2"], ("a.j2", 2)), ([], (INLINE, 1))):
        failure = Failure.of(caught.value, known)
        assert (failure.name, failure.line) == place


def test_long_messages_are_cut() -> None:
    """A message may quote a text of the template."""
    assert len(told(Failure("other", "x" * 100_000)).claim) < 350
    assert len(told(Failure.of(jinja2.UndefinedError(f"'{'x' * 100_000}' is undefined"), [])).claim) < 350


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("random", "it would give another image in each run; use an axis or the seed"),
        ("urlize", "it writes HTML, but a prompt is plain text"),
        ("pprint", "it prints Python's objects; use | join or | tojson"),
        ("zfill", 'use format: {{ "%03d" | format(n) }}'),
        ("rjust", 'use format: {{ "%8s" | format(word) }}'),
        ("uper", 'did you mean "upper"?'),
        ("xyzzy", None),
    ],
)
def test_a_filter_that_is_missing_has_a_reason(name: str, hint: str | None) -> None:
    """It says what to use instead."""
    assert told(Failure.of(jinja2.TemplateSyntaxError(f"No filter named '{name}'.", 1), [])).hint == hint


def test_a_runaway_says_what_a_step_is() -> None:
    """The fact names what is counted, the hint says what to do."""
    problem = told(Failure.of(OutOfSteps(1_000_000), []))
    assert problem.facts == [
        "steps: the rounds of loops, each with what it computes, calls, and every 16 characters of a long text"
    ]
    assert problem.hint == "make loops inside loops shorter, or keep their result in the data"
