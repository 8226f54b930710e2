"""Prompts and output patterns as Jinja templates, found, compiled and rendered.

The same template and values give the same text on every run and machine. Includes, macros and
inheritance find files inside the templates folder and nowhere else. Whatever a template does
wrong is told with its place, in the template or in the spec.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import jinja2
from jinja2 import nodes

from qwenbuild.errors import ProjectError
from qwenbuild.files.text import find_token, line_of, read_text, whole_line
from qwenbuild.problems import Place, Problem, did_you_mean, listing, nearest

from .sandbox import MAX_CHARACTERS, environment, pure

_INLINE = "<inline>"
_WORTH_PARSING = 200  # renders of one template: in fewer it does not pay to find out how they could be quicker
_PLAIN = (nodes.Output, nodes.If, nodes.Expr, nodes.Keyword, nodes.Pair)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # of an object, in Python's words: another one in each run

Locate = Callable[[int, str], Place]
"""Returns the place of a token on a line (from 1) of a template's text."""


class Template:
    """One compiled template: a text of its own, or a file of the templates folder."""

    def __init__(self, owner: Templates, compiled: jinja2.Template, locate: Locate, source: str) -> None:
        self._owner = owner
        self._compiled = compiled
        self._locate = locate
        self._source = source
        self._rendered = 0
        self._contexts: list[jinja2.runtime.Context] | None = None  # in which this renders, for whatever values

    def reads(self) -> frozenset[str] | None:
        """Return the variables that the text can depend on, those of all templates that it goes through included.

        None where that is known only when it renders. Takes about as long as compiling.
        """
        return self._owner.reads(self._source, set())

    def render(self, values: dict[str, Any]) -> str:
        """Return the text for `values`, without white space at its ends.

        Raises ProjectError with the place of the mistake.
        """
        try:
            return pure(self._text(values)).strip()
        except Exception as error:  # templates can raise anything that Python can
            raise ProjectError([self._owner.problem(error, self._locate, values)]) from None

    def _text(self, values: dict[str, Any]) -> str:
        # Making a context takes longer than most prompts: where no text can change it, it is used again.
        self._rendered += 1
        if self._rendered == _WORTH_PARSING and self._owner.is_plain(self._source):
            self._contexts = []
        if self._contexts is None:
            return self._compiled.render(values)
        try:
            context = self._contexts.pop()  # nobody else has it, in whatever thread
        except IndexError:
            context = self._compiled.new_context()
        context.vars = values  # which come before Jinja's own names
        try:
            text = "".join(self._compiled.root_render_func(context))  # a few pieces: there are no loops
        except Exception:
            text = None
        if text is None or len(text) > MAX_CHARACTERS:
            return self._compiled.render(values)  # once more: Jinja finds out where it fails
        self._contexts.append(context)
        return text


class Templates:
    """The templates of one project.

    `shown` is the folder's path as messages name it; `sandbox` makes the environment that they run in.
    """

    def __init__(
        self, folder: Path, shown: str, sandbox: Callable[[jinja2.BaseLoader], jinja2.Environment] = environment
    ) -> None:
        self._folder = folder
        self._shown = shown
        self._texts: dict[str, str] = {}  # every file read so far, by template name
        self._missing: set[str] = set()
        self._names: list[str] | None = None
        self._environment = sandbox(jinja2.FunctionLoader(self._load))

    @property
    def paths(self) -> list[Path]:
        """The files that were read, or looked for in vain, so far."""
        return [self._folder / name for name in (*self._texts, *self._missing)]

    @property
    def texts(self) -> dict[str, str | None]:
        """What was read so far, by name; None for what was looked for in vain."""
        return {**self._texts, **dict.fromkeys(self._missing)}

    def text(self, name: str) -> str | None:
        """Return the text of the file `name`, None where there is none; each is read once. Raises ProjectError."""
        if name not in self._texts and name not in self._missing:
            self._load(name)
        return self._texts.get(name)

    def named(self, name: str, locate: Locate) -> Template:
        """Return the template file `name`, relative to the folder; `locate` finds where it is named.

        Raises ProjectError.
        """
        try:
            compiled = self._environment.get_template(name)
        except Exception as error:
            raise ProjectError([self.problem(error, locate, {})]) from None
        return Template(self, compiled, locate, self._texts[name])

    def inline(self, text: str, locate: Locate) -> Template:
        """Return the template that `text` is; `locate` finds its lines in the file where it stands."""
        try:
            code = self._environment.compile(text, filename=_INLINE)
        except Exception as error:
            raise ProjectError([self.problem(error, locate, {})]) from None
        globals_ = self._environment.make_globals(None)
        compiled = jinja2.Template.from_code(self._environment, code, globals_)
        return Template(self, compiled, locate, text)

    def reads(self, text: str, met: set[str]) -> frozenset[str] | None:
        """Return what a text, and what it includes, imports or extends, reads; `met` are files that are in it already.

        None where a name is computed, or a file is not there: whether it is needed only rendering tells.
        """
        from jinja2 import meta

        try:
            tree = self._environment.parse(text)
            found = frozenset(meta.find_undeclared_variables(tree))
            for name in meta.find_referenced_templates(tree):
                if name in met:
                    continue
                within = None if name is None else self.text(name)
                met.add(name or "")
                more = None if within is None else self.reads(within, met)
                if more is None:
                    return None
                found |= more
        except (jinja2.TemplateError, ProjectError, RecursionError):  # what it is about is told when it renders
            return None
        return found

    def is_plain(self, text: str) -> bool:
        """Whether rendering a text leaves its context as it was: it neither sets nor includes anything."""
        kinds = {type(node) for node in self._environment.parse(text).find_all(nodes.Node)}
        return all(issubclass(kind, _PLAIN) for kind in kinds)

    def names(self) -> list[str]:
        """Return the names of all files in the folder, as they were when they were first asked for."""
        if self._names is None:
            files = (path for path in self._folder.rglob("*") if path.is_file()) if self._folder.is_dir() else ()
            self._names = sorted(path.relative_to(self._folder).as_posix() for path in files)
        return self._names

    def _load(self, name: str) -> tuple[str, str, Callable[[], bool]] | None:
        if name in self._missing:
            return None
        pure = PurePosixPath(name)
        path = self._folder / pure
        try:
            # resolve() follows symlinks, so one that leaves the folder is caught with "..".
            inside = path.resolve().is_relative_to(self._folder.resolve())
            exists = path.exists()
        except (OSError, RuntimeError, ValueError):  # a name too long, a circle of links, a NUL
            return None
        if pure.is_absolute() or "\\" in name or not inside:
            raise ProjectError([Problem(f'template "{name}" lies outside {self._shown}/')])
        if not exists:
            self._missing.add(name)
            return None
        self._texts[name] = read_text(path, f"{self._shown}/{name}")
        return self._texts[name], name, lambda: True

    def _place(self, name: str, line: int, token: str) -> Place:
        text = self._texts.get(name)
        if text is None:
            return Place(f"{self._shown}/{name}")
        shown, source = f"{self._shown}/{name}", line_of(text, line)
        return find_token(shown, line, source, token) or whole_line(shown, line, source)

    def problem(self, error: Exception, locate: Locate, values: Mapping[str, Any]) -> Problem:
        """Return what `error`, raised while compiling or rendering, means to the user."""
        at = self._locator(error, locate)
        if isinstance(error, ProjectError):  # of a file that can't be read: shown where it is named, if nowhere else
            found = error.problems[0]
            return found if found.place else replace(found, place=at(_first(r'"([^"]+)"', found.claim)))
        # Inside of an {% if %}, a filter or test is looked for only when it is needed.
        late = isinstance(error, jinja2.TemplateRuntimeError) and re.match("No (filter|test) named", str(error))
        if isinstance(error, jinja2.TemplateSyntaxError) or late:
            message = str(getattr(error, "message", None) or "syntax error").removesuffix(" found.")
            token = _first(r"'([^']+)'", message)
            hint = _syntax_hint(message, self._environment)
            return Problem(f"template syntax: {message.rstrip('.')}", at(token), hint=hint)
        if isinstance(error, jinja2.TemplatesNotFound | jinja2.TemplateNotFound):
            name = str(error.name or error)
            known = self.names()
            facts = [f"in {self._shown}/: {listing(known) or 'no templates'}"]
            return Problem(f'no template "{name}"', at(name), facts=facts, hint=did_you_mean(name, known))
        if isinstance(error, jinja2.UndefinedError):
            return _undefined(_ADDRESS.sub("", str(error)), at, values)
        if isinstance(error, RecursionError):
            return Problem("template is nested too deeply, or includes or calls itself without end", at(""))
        what = (error.msg if isinstance(error, SyntaxError) else str(error)).rstrip(".") or type(error).__name__
        what = _ADDRESS.sub("", what)
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
        hint = did_you_mean(name, values)
        if name in values:
            hint = 'a macro sees only its arguments: pass it, or import the macro "with context"'
        return Problem(f'undefined variable "{name}"', at(name), facts=facts, hint=hint)
    if name := _first(r"has no attribute '([^']+)'", message):
        place = at(name)
        before = re.search(rf"(\w+)(?:\.|\[[\"']){re.escape(name)}(?!\w)", place.source)
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
