"""Problems of templates: what went wrong while one was compiled or rendered, in plain words and with its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import jinja2

from qwenbuild.errors import ProjectError
from qwenbuild.problems import Place, Problem, did_you_mean, listing, nearest

from . import habits
from .declared_names import SET
from .limits import OutOfSteps, TooDeep
from .members import Refused
from .sandbox import NOT_HERE
from .template_code import NestedTooDeeply

INLINE = "<inline>"
"""The name of a template that stands in a spec."""

_TOO_DEEP = "template is nested too deeply, or includes or calls itself without end"
_STEPS = "steps: the rounds of loops, each with what it computes, calls, and every 16 characters of a long text"
_LONGEST = 300  # characters of Python's or Jinja's message; a message may quote a text of the template


@dataclass(frozen=True, slots=True)
class Failure:
    """What made a text impossible, apart from where it was asked for. It can be sent to another process."""

    kind: str
    message: str
    name: str = INLINE  # the template in which it happened
    line: int = 1
    token: str = ""  # what the caret shows
    hint: str | None = None
    found: Problem | None = None  # a problem that is told as it is

    @classmethod
    def of(cls, error: Exception, known: Collection[str]) -> Failure:
        """Return the failure behind an error; `known` are the names of the template files that were read."""
        name, line = _position(error, known)
        if isinstance(error, ProjectError):  # a file can't be read
            found = error.problems[0]
            return cls("file", found.claim, name, line, _first(r'"([^"]+)"', found.claim), found=found)
        if isinstance(error, RecursionError | TooDeep | NestedTooDeeply):
            fact = "" if isinstance(error, RecursionError) else str(getattr(error, "message", None) or error)
            return cls("deep", fact, name, line)
        # Inside an {% if %}, Jinja looks for a filter or test only when it runs.
        late = isinstance(error, jinja2.TemplateRuntimeError) and re.match("No (filter|test) named", str(error))
        if isinstance(error, jinja2.TemplateSyntaxError) or late:
            message = str(getattr(error, "message", None) or "syntax error").removesuffix(" found.")
            return cls("syntax", message.rstrip("."), name, line, _first(r"'([^']+)'", message))
        if isinstance(error, jinja2.TemplatesNotFound | jinja2.TemplateNotFound):
            return cls("missing", str(error.name or error), name, line, str(error.name or error))
        if isinstance(error, jinja2.UndefinedError):
            return cls("undefined", str(error), name, line)
        if isinstance(error, OutOfSteps):
            return cls("steps", str(error), name, line)
        what = (error.msg if isinstance(error, SyntaxError) else str(error)).rstrip(".") or type(error).__name__
        if isinstance(error, MemoryError):
            what = "it needs too much memory"
        hint = error.hint if isinstance(error, Refused) else None
        token = _first(r'"([^"]+)"', what) or _first(r"'([^']+)'", what)
        return cls("other", what, name, line, token, hint)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Failure:
        """Return the failure that `as_json` made."""
        found = fields["found"]
        if found is not None:
            place = found["place"]
            place = None if place is None else Place(**place)
            found = Problem(**{**found, "place": place, "facts": tuple(found["facts"])})
        return cls(**{**fields, "found": found})

    def as_json(self) -> dict[str, Any]:
        """Return the failure as values that JSON can hold."""
        return asdict(self)

    @property
    def is_final(self) -> bool:
        """Whether other values of the same template need not be tried."""
        return self.kind == "steps"


def _position(error: Exception, known: Collection[str]) -> tuple[str, int]:
    """Return (name, line) of the template that raised an error."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return error.name or INLINE, error.lineno
    name, line, trace = INLINE, 1, error.__traceback__
    while trace is not None:  # keep the innermost frame of a template
        filename = trace.tb_frame.f_code.co_filename
        if filename == INLINE or filename in known:
            name, line = filename, trace.tb_lineno
        trace = trace.tb_next
    return name, line


def problem_of(
    failure: Failure,
    at: Callable[[str], Place],
    values: Mapping[str, Any],
    environment: jinja2.Environment,
    shown: str,
    files: Callable[[], Sequence[str]],
) -> Problem:
    """Return a failure as a problem.

    `at` maps a token to its place on the failure's line. `shown` is the folder of templates in messages, and `files`
    lists them.
    """
    message = failure.message if len(failure.message) <= _LONGEST else failure.message[:_LONGEST] + "…"
    token = failure.token if len(failure.token) <= _LONGEST else ""
    if failure.found is not None:  # if it has no place, show what names the file
        return failure.found if failure.found.place else replace(failure.found, place=at(token))
    if failure.kind == "deep":
        return Problem(_TOO_DEEP, at(token), facts=[f"here: {message}"] if message else (), name="template-limits")
    if failure.kind == "syntax":
        return Problem(
            f"template syntax: {message}", at(token), hint=_syntax_hint(message, environment), name="jinja-syntax"
        )
    if failure.kind == "missing":
        known = files()
        facts = [f"in {shown}/: {listing(known) or 'no templates'}"]
        inside = message.removeprefix(f"{shown}/")
        hint = f'did you mean "{inside}"?' if inside in known else did_you_mean(message, known)
        return Problem(f'no template "{message}"', at(token), facts=facts, hint=hint, name="no-template")
    if failure.kind == "undefined":
        return undefined(message, at, values)
    if failure.kind == "steps":
        hint = "make loops inside loops shorter, or keep their result in the data"
        return Problem(f"template failed: {message}", at(token), facts=[_STEPS], hint=hint, name="template-limits")
    return Problem(f"template failed: {message}", at(token), hint=failure.hint, name="template-failed")


def undefined(message: str, at: Callable[[str], Place], values: Mapping[str, Any]) -> Problem:
    """Return the problem of Jinja's message about something undefined; `values` are what the template sees."""
    if name := _first(r"^'([^']+)' is undefined", message):
        facts = [f"defined: {listing(sorted(values))}"]
        hint = did_you_mean(name, values)
        if name in values:
            hint = 'a macro sees only its arguments: pass it, or import the macro "with context"'
        elif name == "lipsum":
            hint = "it would give another text in each run"
        elif habit := habits.of_variable(name, at(name).source, [*values]):
            hint = habit
        elif hint is None and name not in SET:
            hint = f"declare it under [vars], or give it: --var {name}=VALUE"
        return Problem(f'undefined variable "{name}"', at(name), facts=facts, hint=hint, name="undefined-variable")
    if name := _first(r'has no field "(.+)"$', message):
        place = at(name)
        before = re.search(rf"(\w+)(?:\.|\[[\"']){re.escape(name)}(?!\w)", place.source)
        owner = values.get(before[1]) if before else None
        if before and isinstance(owner, Mapping):
            claim = f'"{before[1]}" has no field "{name}"'
            return Problem(
                claim,
                place,
                facts=[f"fields: {listing(owner)}"],
                hint=did_you_mean(name, map(str, owner)),
                name="undefined-variable",
            )
        hint = habits.of_text(before[1], owner) if before else None
        return Problem(f'undefined field "{name}"', place, hint=hint, name="undefined-variable")
    return Problem(f"undefined: {message}", at(_first(r"'([^']+)'", message)), name="undefined-variable")


def _syntax_hint(message: str, environment: jinja2.Environment) -> str | None:
    if name := _first(r"No filter named '([^']+)'", message):
        return NOT_HERE.get(name) or did_you_mean(name, environment.filters)
    if name := _first(r"No test named '([^']+)'", message):
        return did_you_mean(name, environment.tests)
    if name := _first(r"unknown tag '([^']+)'", message):
        tags = ("block", "call", "else", "elif", "endblock", "endcall", "endfilter", "endfor", "endif", "endmacro",
                "endraw", "endset", "endwith", "extends", "filter", "for", "from", "if", "import", "include",
                "macro", "raw", "set", "with")  # fmt: skip
        near = nearest(name, tags)
        return f'did you mean "{near}"?' if near else None
    return None


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else ""
