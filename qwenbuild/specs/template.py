"""Templates: finds, compiles and renders the Jinja templates of prompts and output paths.

The same template and values give the same text on every run and machine. Includes, macros and inheritance find
files only in the templates folder. Each mistake is reported with its place in the template or in the spec.
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
_WORTH_PARSING = 200  # renders of one template; for fewer, parsing it again costs more than it saves
_PLAIN = (nodes.Output, nodes.If, nodes.Expr, nodes.Keyword, nodes.Pair)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # of an object in Python's messages; differs in each run

Locate = Callable[[int, str], Place]
"""Maps (line of a template's text from 1, token on that line) to the token's place."""


class Template:
    """One compiled template: a file of the templates folder, or a text in a spec."""

    def __init__(self, owner: Templates, compiled: jinja2.Template, locate: Locate, source: str) -> None:
        self._owner = owner
        self._compiled = compiled
        self._locate = locate
        self._source = source
        self._rendered = 0
        self._contexts: list[jinja2.runtime.Context] | None = None  # those not in use; None: can't be used again

    def reads(self) -> frozenset[str] | None:
        """Return the variables that the text can depend on, including those of the templates that it uses.

        Returns None if the variables are known only while it renders. This takes about as long as compiling.
        """
        return self._owner.reads(self._source, set())

    def render(self, values: dict[str, Any]) -> str:
        """Return the text for `values`, without white space at its ends.

        Raises ProjectError with the place of the mistake.
        """
        try:
            return pure(self._text(values)).strip()
        except Exception as error:  # a template can raise any Python exception
            raise ProjectError([self._owner.problem(error, self._locate, values)]) from None

    def _text(self, values: dict[str, Any]) -> str:
        # Making a context takes longer than rendering most prompts. A context that no text can change is used again.
        self._rendered += 1
        if self._rendered == _WORTH_PARSING and self._owner.is_plain(self._source):
            self._contexts = []
        if self._contexts is None:
            return self._compiled.render(values)
        try:
            context = self._contexts.pop()  # no other thread has it now
        except IndexError:
            context = self._compiled.new_context()
        context.vars = values  # these take precedence over Jinja's own names
        try:
            text = "".join(self._compiled.root_render_func(context))  # few pieces, because the template has no loops
        except Exception:
            text = None
        if text is None or len(text) > MAX_CHARACTERS:
            return self._compiled.render(values)  # render again: now Jinja reports the line that fails
        self._contexts.append(context)
        return text


class Templates:
    """The templates of one project. Each file is read at most once."""

    def __init__(
        self, folder: Path, shown: str, sandbox: Callable[[jinja2.BaseLoader], jinja2.Environment] = environment
    ) -> None:
        """`shown` is the folder's path in messages. `sandbox` makes the Jinja environment of the templates."""
        self._folder = folder
        self._shown = shown
        self._texts: dict[str, str] = {}  # every file read so far, by template name
        self._missing: set[str] = set()
        self._names: list[str] | None = None
        self._environment = sandbox(jinja2.FunctionLoader(self._load))

    @property
    def paths(self) -> list[Path]:
        """The files that were read so far, and those that were looked for and do not exist."""
        return [self._folder / name for name in (*self._texts, *self._missing)]

    @property
    def texts(self) -> dict[str, str | None]:
        """The texts of the files in `paths`, by template name; None for a file that does not exist."""
        return {**self._texts, **dict.fromkeys(self._missing)}

    def text(self, name: str) -> str | None:
        """Return the text of the file `name`; None if there is no such file. Raises ProjectError."""
        if name not in self._texts and name not in self._missing:
            self._load(name)
        return self._texts.get(name)

    def named(self, name: str, locate: Locate) -> Template:
        """Return the template file `name`, a path relative to the folder. Raises ProjectError.

        `locate` finds the place that names the file.
        """
        try:
            compiled = self._environment.get_template(name)
        except Exception as error:
            raise ProjectError([self.problem(error, locate, {})]) from None
        return Template(self, compiled, locate, self._texts[name])

    def inline(self, text: str, locate: Locate) -> Template:
        """Return `text`, a text in a spec, as a template. Raises ProjectError.

        `locate` finds the lines of the text in the spec.
        """
        try:
            code = self._environment.compile(text, filename=_INLINE)
        except Exception as error:
            raise ProjectError([self.problem(error, locate, {})]) from None
        globals_ = self._environment.make_globals(None)
        compiled = jinja2.Template.from_code(self._environment, code, globals_)
        return Template(self, compiled, locate, text)

    def reads(self, text: str, met: set[str]) -> frozenset[str] | None:
        """Return the variables that a text reads, including those of the files that it includes, imports or extends.

        `met` are the files that were counted already. Returns None if the name of a file is computed or a file does
        not exist: only rendering shows whether the file is needed.
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
        except (jinja2.TemplateError, ProjectError, RecursionError):  # rendering reports the mistake
            return None
        return found

    def is_plain(self, text: str) -> bool:
        """Return whether rendering a text leaves its context unchanged: the text sets and includes nothing."""
        kinds = {type(node) for node in self._environment.parse(text).find_all(nodes.Node)}
        return all(issubclass(kind, _PLAIN) for kind in kinds)

    def names(self) -> list[str]:
        """Return the names of all files in the folder at the time of the first call."""
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
            # resolve() follows links, so this also refuses a link that leads out of the folder.
            inside = path.resolve().is_relative_to(self._folder.resolve())
            exists = path.exists()
        except (OSError, RuntimeError, ValueError):  # the name is too long or contains NUL; links form a circle
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
        """Return the problem behind `error`, which was raised while compiling or rendering."""
        at = self._locator(error, locate)
        if isinstance(error, ProjectError):  # a file can't be read; if it has no place, show what names it
            found = error.problems[0]
            return found if found.place else replace(found, place=at(_first(r'"([^"]+)"', found.claim)))
        # Inside an {% if %}, Jinja looks for a filter or test only when it runs.
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
        """Return a function that maps a token to its place on the line that raised `error`."""
        name, line = _INLINE, 1
        if isinstance(error, jinja2.TemplateSyntaxError):
            name, line = error.name or _INLINE, error.lineno
        else:
            trace = error.__traceback__
            while trace is not None:  # keep the innermost frame of a template
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
    if name := _first(r'has no field "(.+)"$', message):
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
