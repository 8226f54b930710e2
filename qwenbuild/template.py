"""Prompts and output patterns as Jinja templates, in a sandbox that makes them pure.

The same template and values give the same text on every run and machine: nothing random is
reachable, and only texts, numbers, truth values and rows can be printed. Includes, macros and
inheritance find files inside the templates folder and nowhere else.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .errors import Place, Problem, ProjectError, did_you_mean, listing, nearest
from .tomlfile import find_token, line_of, read_text

MAX_CHARACTERS = 100_000
"""The longest text a template may produce; far over every prompt limit, far under what exhausts memory."""

_INLINE = "<inline>"

Locate = Callable[[int, str], Place]
"""Returns the place of a token on a line (from 1) of a template's text."""


class Row(dict[str, Any]):
    """A row of data bound by an axis; prints as its id."""

    def __init__(self, values: Mapping[str, Any], label: str) -> None:
        super().__init__(values)
        self.label = label

    def __str__(self) -> str:
        return self.label


class Template:
    """One compiled template: a text of its own, or a file of the templates folder."""

    def __init__(self, owner: Templates, compiled: jinja2.Template, locate: Locate) -> None:
        self._owner = owner
        self._compiled = compiled
        self._locate = locate

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the text for `values`, without white space at its ends.

        Raises ProjectError with the place of the mistake.
        """
        try:
            return self._compiled.render(values).strip()
        except Exception as error:  # templates can raise anything that Python can
            raise ProjectError([self._owner.problem(error, self._locate, values)]) from None


class Templates:
    """The templates of one project. `shown` is the folder's path as messages name it."""

    def __init__(self, folder: Path, shown: str) -> None:
        self._folder = folder
        self._shown = shown
        self._texts: dict[str, str] = {}  # every file read so far, by template name
        self._missing: set[str] = set()
        self._environment = _environment(jinja2.FunctionLoader(self._load))

    @property
    def paths(self) -> list[Path]:
        """The files that were read, or looked for in vain, so far."""
        return [self._folder / name for name in (*self._texts, *self._missing)]

    def named(self, name: str, locate: Locate) -> Template:
        """Return the template file `name`, relative to the folder; `locate` finds where it is named.

        Raises ProjectError.
        """
        try:
            compiled = self._environment.get_template(name)
        except Exception as error:
            raise ProjectError([self.problem(error, locate, {})]) from None
        return Template(self, compiled, locate)

    def inline(self, text: str, locate: Locate) -> Template:
        """Return the template that `text` is; `locate` finds its lines in the file where it stands."""
        try:
            code = self._environment.compile(text, filename=_INLINE)
        except Exception as error:
            raise ProjectError([self.problem(error, locate, {})]) from None
        globals_ = self._environment.make_globals(None)
        return Template(self, jinja2.Template.from_code(self._environment, code, globals_), locate)

    def names(self) -> list[str]:
        """Return the names of all files in the folder."""
        if not self._folder.is_dir():
            return []
        found = (path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*") if path.is_file())
        return sorted(found)

    def _load(self, name: str) -> tuple[str, str, Callable[[], bool]] | None:
        pure = PurePosixPath(name)
        path = self._folder / pure
        # resolve() follows symlinks, so one that leaves the folder is caught with "..".
        if pure.is_absolute() or "\\" in name or not path.resolve().is_relative_to(self._folder.resolve()):
            raise SecurityError(f'template "{name}" lies outside {self._shown}/')
        if not path.exists():
            self._missing.add(name)
            return None
        self._texts[name] = read_text(path, f"{self._shown}/{name}")
        return self._texts[name], name, lambda: True

    def _place(self, name: str, line: int, token: str) -> Place:
        text = self._texts.get(name)
        if text is None:
            return Place(f"{self._shown}/{name}")
        return find_token(f"{self._shown}/{name}", line, line_of(text, line), token)

    def problem(self, error: Exception, locate: Locate, values: Mapping[str, Any]) -> Problem:
        """Return what `error`, raised while compiling or rendering, means to the user."""
        if isinstance(error, ProjectError):
            return error.problems[0]
        at = self._locator(error, locate)
        if isinstance(error, jinja2.TemplateSyntaxError):
            message = error.message or "syntax error"
            token = _first(r"'([^']+)'", message)
            hint = _syntax_hint(message, self._environment)
            return Problem(f"template syntax: {message.rstrip('.')}", at(token), hint=hint)
        if isinstance(error, jinja2.TemplatesNotFound | jinja2.TemplateNotFound):
            name = str(error.name or error)
            known = self.names()
            facts = [f"in {self._shown}/: {listing(known) or 'no templates'}"]
            return Problem(f'no template "{name}"', at(name), facts=facts, hint=did_you_mean(name, known))
        if isinstance(error, jinja2.UndefinedError):
            return _undefined(str(error), at, values)
        if isinstance(error, RecursionError):
            return Problem("template includes or calls itself without end", at(""))
        what = str(error) or type(error).__name__
        return Problem(f"template failed: {what}", at(_first(r"'([^']+)'", what)))

    def _locator(self, error: Exception, locate: Locate) -> Callable[[str], Place]:
        """Return a function from a token to its place on the line of a template that `error` came from."""
        name, line = _INLINE, 1
        if isinstance(error, jinja2.TemplateSyntaxError):
            name, line = error.name or _INLINE, error.lineno
        else:
            trace = error.__traceback__
            while trace is not None:  # the innermost frame that is a template's
                filename = trace.tb_frame.f_code.co_filename
                if filename == _INLINE or filename in self._texts:
                    name, line = filename, trace.tb_lineno
                trace = trace.tb_next
        if name == _INLINE:
            return lambda token: locate(line, token)
        return lambda token: self._place(name, line, token)


def _undefined(message: str, at: Callable[[str], Place], values: Mapping[str, Any]) -> Problem:
    if name := _first(r"^'([^']+)' is undefined", message):
        facts = [f"defined: {listing(sorted(values))}"]
        return Problem(f'undefined variable "{name}"', at(name), facts=facts, hint=did_you_mean(name, values))
    if name := _first(r"has no attribute '([^']+)'", message):
        place = at(name)
        before = re.search(rf"(\w+)\.{re.escape(name)}(?!\w)", place.source)
        owner = values.get(before[1]) if before else None
        if before and isinstance(owner, Mapping):
            claim = f'"{before[1]}" has no field "{name}"'
            return Problem(claim, place, facts=[f"fields: {listing(owner)}"], hint=did_you_mean(name, map(str, owner)))
        return Problem(f'undefined field "{name}"', place)
    return Problem(f"undefined: {message}", at(_first(r"'([^']+)'", message)))


def _syntax_hint(message: str, environment: jinja2.Environment) -> str | None:
    if name := _first(r"No filter named '([^']+)'", message):
        return did_you_mean(name, environment.filters)
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


# --- the environment ---


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with the operators that can exhaust memory bounded."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for text, times in ((left, right), (right, left)):
                if isinstance(text, str | list | tuple) and isinstance(times, int):
                    if len(text) * times > MAX_CHARACTERS:
                        raise SecurityError(f"the result of * is longer than {MAX_CHARACTERS:,}")
                    break
        if operator == "**" and (abs(left) > 10**6 or abs(right) > 64):
            raise SecurityError("the result of ** is too large")
        if operator == "%" and isinstance(left, str):
            raise SecurityError('write "{{ a }} {{ b }}" instead of formatting with %')
        return super().call_binop(context, operator, left, right)


def _bounded(pieces: Iterable[str]) -> str:
    """Join what a template yields; raises SecurityError where it is longer than a prompt could ever be."""
    rest = iter(pieces)
    text = "".join(itertools.islice(rest, 256))  # nearly every template, at full speed
    for piece in rest:
        text += piece
        if len(text) > MAX_CHARACTERS:
            break
    if len(text) > MAX_CHARACTERS:
        raise SecurityError(f"the text is longer than {MAX_CHARACTERS:,} characters")
    return text


def _printable(value: Any) -> Any:
    """Refuse to print what has no text of its own: it would put `[…]`, `None` or an address into a prompt."""
    if isinstance(value, str | int | float | Row | jinja2.Undefined):
        return value
    kinds: dict[type, str] = {list: "a list (use | join)", dict: "a table (name one of its fields)", type(None): "null"}
    raise TypeError(f"can't print {kinds.get(type(value), 'this: it has no text')}")


def _environment(loader: jinja2.BaseLoader) -> jinja2.Environment:
    environment = _Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
        cache_size=-1,
        auto_reload=False,
        autoescape=False,  # prompts are plain text
    )
    environment.concat = _bounded  # type: ignore[method-assign]
    # Whatever would give another text on another run, or a text of unbounded width.
    for name in ("random", "pprint", "format", "center", "filesizeformat", "urlize", "xmlattr"):
        environment.filters.pop(name, None)
    environment.globals.pop("lipsum", None)
    environment.filters.update(slug=slug, quoted=quoted, typographic=typographic, oneline=oneline, listed=listed)
    return environment


# --- filters ---


def slug(text: object, length: int = 60) -> str:
    """Return `text` in lower case, hyphens for all but letters and digits, cut at `length` characters."""
    folded = unicodedata.normalize("NFC", str(text)).casefold()
    return re.sub(r"[\W_]+", "-", folded).strip("-")[:length].rstrip("-")


def quoted(text: object) -> str:
    """Return `text` in “double quotation marks”, as Qwen-Image expects the words that it is to write."""
    return f"“{str(text).strip()}”"


def typographic(text: object) -> str:
    """Return `text` with straight quotes, double hyphens and three dots as “curly”, – and …"""
    out = re.sub(r'(^|[\s(\[{—–-])"', r"\1“", str(text))
    out = out.replace('"', "”")
    out = re.sub(r"(^|[\s(\[{“—–-])'(?!\d0s)", r"\1‘", out)
    return out.replace("'", "’").replace("...", "…").replace("---", "—").replace("--", "–")


def oneline(text: object) -> str:
    """Return `text` with every run of white space, line ends included, as one space."""
    return " ".join(str(text).split())


def listed(items: Iterable[object], word: str = "and") -> str:
    """Return items as running text: `a, b and c`."""
    texts = [str(item) for item in items]
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} {word} {texts[-1]}"
