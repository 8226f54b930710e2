"""Templates: finds, compiles and renders the Jinja templates of prompts and output paths.

The same template and values give the same text on every run and machine. Includes, macros and inheritance find
files only in the templates folder. Each mistake is reported with its place in the template or in the spec.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import CodeType
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import meta, nodes

from qwenbuild.errors import ProjectError
from qwenbuild.files.paths import as_spelled, is_gits
from qwenbuild.files.text import find_token, line_of, read_text, whole_line
from qwenbuild.problems import Place, Problem

from .control_characters import in_text
from .limits import EASY_STEPS, MAX_CHARACTERS, MAX_STEPS, MAX_STEPS_TOGETHER, OutOfSteps
from .sandbox import Sandbox, environment
from .template_code import MAX_SOURCE, variables
from .template_problems import INLINE, Failure, problem_of

if TYPE_CHECKING:
    from .guarded import Answer, Guard

_WORTH_PARSING = 200  # renders of one template; for fewer, parsing it again costs more than it saves
_PLAIN = (nodes.Output, nodes.If, nodes.Expr, nodes.Keyword, nodes.Pair)
_MOST_PIECES = 256  # of a template that is joined without counting
_BYTES_OF_CHARACTER = 4  # at most, in UTF-8

Locate = Callable[[int, str], Place]
"""Maps (line of a template's text from 1, token on that line) to the token's place."""


def tidied(text: str) -> str:
    """Return a text without white space at its ends; a text of white space alone stays as it is."""
    return text.strip() or text


class Template:
    """One compiled template: a file of the templates folder, or a text in a spec."""

    def __init__(self, owner: Templates, compiled: Any, locate: Locate, source: str, name: str | None) -> None:
        """`name` is the file; None for a text in a spec."""
        self._owner = owner
        self._compiled = compiled
        self._locate = locate
        self._source = source
        self._name = name
        self._rendered = 0
        self._contexts: list[jinja2.runtime.Context] | None = None  # those not in use; None: can't be used again
        self._runaway: ProjectError | None = None  # set by the first text that passed a limit: no other one is tried
        self._guarded: dict[bytes, str] = {}  # texts that took many steps, by a digest of the values
        self._steps_together = 0

    def reads(self) -> frozenset[str] | None:
        """Return the variables that the text can depend on, including those of the templates that it uses.

        Returns None if the variables are known only while it renders. This takes about as long as compiling.
        """
        return self._owner.reads(self._source, set())

    def render(self, values: dict[str, Any]) -> str:
        """Return the text for `values`, tidied.

        Raises ProjectError with the place of the mistake.
        """
        if self._runaway:
            raise self._runaway
        try:
            return tidied(self._text(values))
        except OutOfSteps as error:
            if self._owner.easy_steps < MAX_STEPS:
                return self._by_worker(values)
            failed = ProjectError([self._owner.problem(error, self._locate, values)])
        except Exception as error:  # a template can raise any Python exception
            failed = ProjectError([self._owner.problem(error, self._locate, values)])
        raise failed from None

    def counted(self, values: dict[str, Any]) -> tuple[str, int]:
        """Return (the text for `values`, the steps that it took); raises any error."""
        return self._counted(values), self._compiled.environment.meter.spent

    def _counted(self, values: dict[str, Any]) -> str:
        return self._compiled.text(self._compiled.new_context(values), self._owner.easy_steps)  # type: ignore[no-any-return]

    def _text(self, values: dict[str, Any]) -> str:
        # A context that no text can change is used again: row cold-plan takes 15 % less, one-change 0.03 s less.
        self._rendered += 1
        if self._rendered == _WORTH_PARSING and self._owner.is_plain(self._source):
            self._contexts = []
        if self._contexts is None:
            return self._counted(values)
        try:
            context = self._contexts.pop()  # no other thread has it now
        except IndexError:
            context = self._compiled.new_context()
        context.vars = values  # these take precedence over Jinja's own names
        try:
            text = "".join(self._compiled.plain_root(context))  # few pieces, because the template has no loops
        except Exception:
            text = None
        if text is None or len(text) > MAX_CHARACTERS:
            # Render again: now Jinja reports the line that fails.
            return self._counted(values)
        self._contexts.append(context)
        return text

    def _by_worker(self, values: dict[str, Any]) -> str:
        """Return the text for `values`, made by the guarded worker; raises ProjectError."""
        digest = hashlib.sha256(pickle.dumps(sorted(values.items()))).digest()
        if digest in self._guarded:
            return self._guarded[digest]
        answer = self._owner.by_worker(self._name, self._source, values)
        failure = answer.failure
        self._steps_together += answer.steps
        if failure is None and self._steps_together > MAX_STEPS_TOGETHER:
            claim = f"the texts of the template take more than {MAX_STEPS_TOGETHER:,} steps together"
            failure = Failure("steps", claim, self._name or INLINE)
        if failure is not None:
            failed = ProjectError([self._owner.told(failure, self._locate, values)])
            if failure.is_final:
                self._runaway = failed
            raise failed
        self._guarded[digest] = tidied(answer.text)
        return self._guarded[digest]


class Templates:
    """The templates of one project. Each file is read at most once."""

    def __init__(
        self,
        folder: Path,
        shown: str,
        sandbox: Callable[[jinja2.BaseLoader], Sandbox] = environment,
        easy_steps: int = EASY_STEPS,
    ) -> None:
        """`shown` is the folder's path in messages. `sandbox` makes the Jinja environment of the templates.

        Texts that take more than `easy_steps` are made by the guarded worker.
        """
        self._folder = folder
        self.easy_steps = easy_steps
        self._guard: Guard | None = None
        self._shown = shown
        self._texts: dict[str, str] = {}  # every file read so far, by template name
        self._missing: set[str] = set()
        self._inline: dict[str, CodeType] = {}  # the code of texts in specs: images may inherit one text
        self._environment = sandbox(jinja2.FunctionLoader(self._load))

    @property
    def paths(self) -> list[Path]:
        """The files that were read so far, and those that were looked for and do not exist."""
        return [as_spelled(self._folder, name) for name in (*self._texts, *self._missing)]

    @property
    def texts(self) -> dict[str, str | None]:
        """The texts of the files in `paths`, by template name; None for a file that does not exist."""
        return {**self._texts, **dict.fromkeys(self._missing)}

    def text(self, name: str) -> str | None:
        """Return the text of the file `name`; None if there is no such file. Raises ProjectError."""
        self._load(name)
        return self._texts.get(name)

    def named(self, name: str, locate: Locate) -> Template:
        """Return the template file `name`, a path relative to the folder. Raises ProjectError.

        `locate` finds the place that names the file.
        """
        self._environment.meter.begin(MAX_STEPS)
        try:
            compiled = self._environment.get_template(name)
        except Exception as error:
            raise ProjectError([self.problem(error, locate, {})]) from None
        return Template(self, compiled, locate, self._texts[name], name)

    def inline(self, text: str, locate: Locate) -> Template:
        """Return `text`, a text in a spec, as a template. Raises ProjectError.

        `locate` finds the lines of the text in the spec.
        """
        try:
            if (code := self._inline.get(text)) is None:
                code = self._inline[text] = self._environment.compile(text, filename=INLINE)
        except Exception as error:
            raise ProjectError([self.problem(error, locate, {})]) from None
        globals_ = self._environment.make_globals(None)
        compiled = self._environment.template_class.from_code(self._environment, code, globals_)
        return Template(self, compiled, locate, text, None)

    def by_worker(self, name: str | None, source: str, values: dict[str, Any]) -> Answer:
        """Return the text of the file `name`, or else of `source`, from the guarded worker."""
        from .guarded import Answer, Guard, Job

        self._guard = self._guard or Guard()
        try:
            answer = self._guard.make(Job(self._folder, self._shown, name, source, values, self.texts))
        except OSError as error:
            return Answer("", 0, Failure("steps", f"no process could be started: {error.strerror}", name or INLINE), {})
        self._learn(answer.texts)
        return answer

    def work(
        self, name: str | None, source: str, values: dict[str, Any], texts: Mapping[str, str | None]
    ) -> tuple[str, int, Failure | None]:
        """Return (text, steps, failure) of a job: what the worker does. `texts` are files that were read before."""
        self._learn(texts)
        nowhere = lambda line, token: Place("", line)  # noqa: E731 - the parent knows where the text stands
        try:
            template = self.inline(source, nowhere) if name is None else self.named(name, nowhere)
            return (*template.counted(values), None)
        except Exception as error:
            return "", self._environment.meter.spent, Failure.of(error, self._texts)

    def _learn(self, texts: Mapping[str, str | None]) -> None:
        """Take over files that another process has read."""
        for name, text in texts.items():
            if text is None:
                self._missing.add(name)
            else:
                self._texts.setdefault(name, text)

    def reads(self, text: str, met: set[str]) -> frozenset[str] | None:
        """Return the variables that a text reads, including those of the files that it includes, imports or extends.

        `met` are the files that were counted already. Returns None if the name of a file is computed or a file does
        not exist: only rendering shows whether the file is needed.
        """
        try:
            tree = self._environment.parse(text)
            found = variables(tree)
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

    def may_read(self, text: str) -> frozenset[str]:
        """Return what a text can read: if it computes the name of a file, what any file of the folder reads."""
        found = self.reads(text, set())
        return self._own(text) | self._all_read if found is None else found

    @cached_property
    def _all_read(self) -> frozenset[str]:
        """The variables that the files of the folder read."""
        found: frozenset[str] = frozenset()
        for name in self.names:
            with contextlib.suppress(ProjectError):
                found |= self._own(self.text(name) or "")
        return found

    def _own(self, text: str) -> frozenset[str]:
        """Return the variables that a text itself reads; none if it can't be parsed."""
        with contextlib.suppress(jinja2.TemplateError, RecursionError):
            return variables(self._environment.parse(text))
        return frozenset()

    def is_plain(self, text: str) -> bool:
        """Return whether a text leaves its context unchanged: it has few parts, and sets and includes nothing."""
        found = list(self._environment.parse(text).find_all(nodes.Node))
        pieces = sum(len(node.nodes) for node in found if isinstance(node, nodes.Output))
        return pieces <= _MOST_PIECES and all(issubclass(kind, _PLAIN) for kind in set(map(type, found)))

    @property
    def escaped(self) -> int:
        """How many texts were made so far that filters of earlier versions would have escaped for HTML."""
        return self._environment.texts.differing

    @contextlib.contextmanager
    def escaping(self) -> Iterator[None]:
        """Make texts as earlier versions did, whose filters escaped for HTML."""
        self._environment.texts.is_escaping = True
        try:
            yield
        finally:
            self._environment.texts.is_escaping = False

    @cached_property
    def names(self) -> Sequence[str]:
        """The names of all files in the folder, sorted, as they were when they were first asked for."""
        files = (path for path in self._folder.rglob("*") if path.is_file()) if self._folder.is_dir() else ()
        return sorted(path.relative_to(self._folder).as_posix() for path in files)

    def _load(self, name: str) -> tuple[str, str, Callable[[], bool]] | None:
        if name in self._missing:
            return None
        if name in self._texts:
            return self._texts[name], name, lambda: True
        try:
            path = as_spelled(self._folder, name)
            # resolve() follows links, so this also refuses a link that leads out of the folder.
            real, folder = path.resolve(), self._folder.resolve()
            inside = real.is_relative_to(folder)
            exists = path.exists()
        except (OSError, RuntimeError, ValueError):  # the name is too long or contains NUL; links form a circle
            return None
        if PurePosixPath(name).is_absolute() or "\\" in name or not inside:
            raise ProjectError([Problem(f'template "{name}" lies outside {self._shown}/', name="outside-project")])
        if any(map(is_gits, real.relative_to(folder).parts)):  # `.git/config` may hold a password
            raise ProjectError([Problem(f'template "{name}" lies in git\'s own folder', name="outside-project")])
        if not exists:
            self._missing.add(name)
            return None
        if path.is_file() and path.stat().st_size > MAX_SOURCE * _BYTES_OF_CHARACTER:
            claim = f"{self._shown}/{name} is longer than {MAX_SOURCE:,} characters"
            raise ProjectError([Problem(claim, name="template-limits")])
        text = read_text(path, f"{self._shown}/{name}")
        if wrong := list(in_text(text, f"{self._shown}/{name}")):
            raise ProjectError(wrong)
        self._texts[name] = text
        return text, name, lambda: True

    def place(self, name: str, line: int, token: str) -> Place:
        """Return the place of a token on a line of the file `name`; without the token, that of the whole line."""
        shown = f"{self._shown}/{name}"
        if (text := self._texts.get(name)) is None:
            return Place(shown)
        return find_token(shown, line, source := line_of(text, line), token) or whole_line(shown, line, source)

    def problem(self, error: Exception, locate: Locate, values: Mapping[str, Any]) -> Problem:
        """Return the problem behind `error`, which was raised while compiling or rendering."""
        return self.told(Failure.of(error, self._texts), locate, values)

    def told(self, failure: Failure, locate: Locate, values: Mapping[str, Any]) -> Problem:
        """Return a failure as a problem with its place."""

        def at(token: str) -> Place:
            if failure.name == INLINE:
                return locate(failure.line, token)
            return self.place(failure.name, failure.line, token)

        return problem_of(failure, at, values, self._environment, self._shown, lambda: self.names)
