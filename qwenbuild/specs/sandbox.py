"""The Jinja sandbox: what templates can reach, what they can print, and their filters.

A text depends only on the template and its values. Templates can reach nothing that is random or tells the time.
They can print only texts, numbers, truth values, dates and rows. What they take is counted (see `limits`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from functools import partial
from threading import Lock
from typing import Any

import jinja2
from jinja2.environment import TemplateModule
from jinja2.exceptions import TemplateSyntaxError
from jinja2.lexer import TokenStream
from jinja2.runtime import Context, TemplateReference
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Cycler, Joiner, Namespace, missing

from qwenbuild.files.text import nfc

from .limits import LONG, MAX_CHARACTERS, MAX_STEPS, Meter
from .list_filters import ListFilters
from .members import CountedMacro, Members, Refused
from .operators import Operators
from .plain_values import TABLES, key_of, named, printable
from .template_code import MAX_SOURCE, Counting, check_tree, checked_nesting, checked_tokens
from .template_tests import TemplateTests
from .text_filters import TextFilters, metered

__all__ = ["MAX_CHARACTERS", "environment", "listed", "oneline", "quoted", "slug", "typographic"]

_LOADING_STEPS = 50  # of finding a template that is loaded already, and of its context

NOT_HERE: Mapping[str, str] = {
    "random": "it would give another image in each run; use an axis or the seed",
    "pprint": "it prints Python's objects; use | join or | tojson",
    **dict.fromkeys(("urlencode", "urlize", "xmlattr"), "it writes HTML, but a prompt is plain text"),
    "zfill": "use format: {{ \"%03d\" | format(n) }}", "rjust": "use format: {{ \"%8s\" | format(word) }}",
    "ljust": "use format: {{ \"%-8s\" | format(word) }}",
}  # fmt: skip
"""Filters that templates may expect, and what to use instead."""


class _Template(jinja2.Template):
    """A template whose module keeps no state between two texts that import it."""

    environment: Sandbox
    plain_root: Callable[[Context], Iterator[str]]  # renders the template as the outermost one
    _module_steps = 0

    @classmethod
    def _from_namespace(
        cls,
        environment: jinja2.Environment,
        namespace: MutableMapping[str, Any],
        globals: MutableMapping[str, Any],  # noqa: A002 - Jinja's name
    ) -> _Template:
        assert isinstance(environment, Sandbox)
        namespace.update(environment.runtime)
        template = super()._from_namespace(environment, namespace, globals)
        assert isinstance(template, cls)
        root, steps, meter = template.root_render_func, namespace["steps"], environment.meter

        def within(context: Context) -> Iterator[str]:
            """Render the template inside of another one."""
            meter.enter(steps)
            yield from root(context)
            meter.leave()

        template.plain_root, template.root_render_func = root, within
        return template

    def render(self, *args: Any, **kwargs: Any) -> str:
        """Return the text for these values, with as many steps as a text may take."""
        return self.text(self.new_context(dict(*args, **kwargs)), MAX_STEPS)

    def text(self, context: Context, steps: int) -> str:
        """Return the text of a context; raises OutOfSteps if it takes more than `steps`, and any error."""
        environment = self.environment
        with environment.lock:
            environment.meter.begin(steps)
            try:
                return environment.meter.concatenated(self.plain_root(context))
            except Exception:
                environment.handle_exception()

    def _get_default_module(self, ctx: Context | None = None) -> TemplateModule:
        """Return the module. Jinja keeps it for all texts; this method does not if it holds a changeable value.

        Each text counts the steps of the module, whether it was made for this text or for an earlier one.
        """
        meter = self.environment.meter
        if self._module is not None:  # all templates have the same globals, so the module is the same for all
            meter.spend(self._module_steps)
            return self._module
        made, before = self.environment.changeable, meter.left
        module = super()._get_default_module(ctx)
        self._module_steps = before - meter.left
        if self.environment.changeable != made:
            self._module = None
        return module


class Sandbox(ImmutableSandboxedEnvironment, Operators):
    """Jinja's environment with limits on what a text takes, and without everything that differs between runs.

    Jinja's sandbox lists what is forbidden. `Members` lists what is allowed, and is asked instead.
    """

    template_class = _Template
    code_generator_class = Counting
    changeable = 0  # how many values were made that change with use, such as a `cycler`

    def __init__(self, loader: jinja2.BaseLoader, compiled: jinja2.BytecodeCache | None) -> None:
        ImmutableSandboxedEnvironment.__init__(
            self,
            loader=loader,
            bytecode_cache=compiled,
            undefined=_Undefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=printable,
            optimized=False,
            cache_size=-1,
            auto_reload=False,
            autoescape=False,  # prompts are plain text
        )
        self.meter = meter = Meter()
        self.lock = Lock()  # held while a text is made and counted
        self._loaded: dict[str, jinja2.Template] = {}
        Operators.__init__(self, meter)
        self._members = Members(meter, self)
        self.concat = meter.concatenated  # type: ignore[method-assign]
        self.key = partial(key_of, meter)
        self.runtime = {"str_join": self.joined, "Macro": CountedMacro}
        self.call = self._members.call  # type: ignore[method-assign]
        own: dict[str, Callable[..., Any]] = {"slug": self._slug, "listed": self._listed}
        own |= {make.__name__: metered(meter, make) for make in (quoted, typographic, oneline)}
        self.texts, lists = TextFilters(self, meter, self._members), ListFilters(self, meter, self, self._members)
        self.filters: dict[str, Callable[..., Any]] = {**self.texts.by_name(), **lists.by_name(), **own}
        self.tests = TemplateTests(self, meter, self).by_name()  # type: ignore[assignment]  # Jinja names no signature
        self.globals = {
            "range": partial(safe_range), "dict": self._dict, "cycler": partial(self._changeable, Cycler),
            "joiner": partial(self._changeable, Joiner), "namespace": partial(self._changeable, self._namespace),
        }  # fmt: skip

    # --- compiling ---

    def make_globals(self, d: MutableMapping[str, Any] | None) -> dict[str, Any]:
        """Return the globals of a template as a plain dictionary, which Jinja copies faster for each text."""
        return {**self.globals, **(d or {})}

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        if len(source) > MAX_SOURCE:
            raise TemplateSyntaxError(f"the template is longer than {MAX_SOURCE:,} characters", 1, name, filename)
        tokens = checked_tokens(self.lexer.tokeniter(source, name, filename, state), name, filename)
        return TokenStream(checked_nesting(self.lexer.wrap(tokens, name, filename), name, filename), name, filename)

    def _parse(self, source: str, name: str | None, filename: str | None) -> jinja2.nodes.Template:
        tree = super()._parse(source, name, filename)
        check_tree(tree, name, filename)
        return tree

    def get_template(
        self,
        name: Any,
        parent: str | None = None,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002 - Jinja names it so
    ) -> jinja2.Template:
        """Return the template `name`, which is loaded only once."""
        if type(name) is not str:
            raise TypeError(f"the name of a template is a text, not {named(name)}")
        self.meter.spend(_LOADING_STEPS)
        if name not in self._loaded:
            self._loaded[name] = super().get_template(name, parent, globals)
        return self._loaded[name]

    def select_template(
        self,
        names: Any,
        parent: str | None = None,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002 - Jinja names it so
    ) -> jinja2.Template:
        """Return the first template of `names` that exists."""
        for name in self.rounds(names, _LOADING_STEPS):
            try:
                return self.get_template(name, parent, globals)
            except jinja2.TemplateNotFound:
                pass
        raise jinja2.TemplatesNotFound(
            list(names), "none of these templates exists" if names else "no template is named"
        )

    # --- what compiled templates call ---

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a table's field rather than its method of the same name: a column may be named `items`."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return self._member(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an item, else the member of this name."""
        try:
            return obj[key_of(self.meter, argument)]
        except (TypeError, LookupError):
            if isinstance(argument, str):
                return self._member(obj, argument)
        return self.undefined(obj=obj, name=argument)

    def _member(self, obj: Any, name: str) -> Any:
        if isinstance(obj, dict) and not name.isascii():
            for key in self.rounds(obj):
                if isinstance(key, str) and nfc(key) == nfc(name):
                    return obj[key]
        try:
            return self._members.of(obj, name)
        except Refused as refused:
            return self.undefined(f"{refused}\n{refused.hint or ''}", obj=obj, name=name, exc=Refused)
        except AttributeError:
            if type(obj) is TemplateReference:  # `self.name` is a block
                try:
                    return obj[name]
                except KeyError:
                    pass
        return self.undefined(obj=obj, name=name)

    # --- globals and filters ---

    def _changeable(self, make: Callable[..., Any], *arguments: Any, **named_: Any) -> Any:
        self.changeable += 1
        return make(*arguments, **named_)

    def _namespace(self, *arguments: Any, **named_: Any) -> Namespace:
        return Namespace(self._dict(*arguments, **named_))

    def _dict(self, *arguments: Any, **named_: Any) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        if arguments:
            (source,) = arguments
            pairs = source.items() if type(source) in TABLES else source
            for key, value in self.rounds(pairs):
                made[key_of(self.meter, key, len(made))] = value
        return {**made, **named_}

    def _slug(self, value: Any, length: int = 60) -> str:
        if isinstance(value, str):
            self.meter.read(value)
            if len(value) > LONG and not value.isascii():  # Python takes the square of the marks on one letter
                self.meter.spend(len(value) + _longest_marks(value) ** 2)
        return slug(value, length)

    def _listed(self, items: Any, word: Any = "and") -> str:
        if isinstance(items, str):
            return self.meter.read(items)
        texts = [str(printable(item)) for item in self.rounds(items)]
        self.meter.produce(sum(map(len, texts)) + 2 * len(texts) + len(printable(word)))
        return listed(texts, word)


class _Undefined(jinja2.StrictUndefined):
    """A missing value. Its message names the owner in plain words; Jinja's own message names Python classes."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        name, owner = self._undefined_name, self._undefined_obj
        if self._undefined_hint or owner is missing:
            return super()._undefined_message
        if isinstance(name, str):
            return f'{named(owner)} has no field "{name}"'
        return f"{named(owner)} has no {f'element {name}' if isinstance(name, int | float) else 'such element'}"


def environment(loader: jinja2.BaseLoader, compiled: jinja2.BytecodeCache | None = None) -> Sandbox:
    """Return the environment that compiles and renders all templates of a project; `compiled` caches their code."""
    return Sandbox(loader, compiled)


# --- filters ---

_ELIDED = r"\d0s|(?:tis|twas|twere|twill|til|em|n|cause)\b"  # words that begin with an apostrophe for omitted letters


def _text(value: object) -> str:
    return value if type(value) is str else str(printable(value))


def slug(text: object, length: int = 60) -> str:
    """Return `text` in lower case, with hyphens between runs of letters and digits, at most `length` characters."""
    given, out = _text(text), ""
    if given.isascii() and given.isalnum():  # most ids of rows; row one-change: 25 ms of 10,000 cells
        return given.lower()[:length]
    for ch in unicodedata.normalize("NFC", given).casefold():
        within = out[-1:] not in ("", "-")
        # A mark belongs to the letter before it: many scripts write vowels as marks.
        if ch.isalnum() or (within and unicodedata.category(ch)[0] == "M"):
            out += ch
        elif within:
            out += "-"
    return out[:length].rstrip("-")


def quoted(text: object) -> str:
    """Return `text` in “double quotation marks”, in which Qwen-Image expects words that the image shows."""
    return f"“{_text(text).strip()}”"


def typographic(text: object) -> str:
    """Return `text` with “curly” quotes, with – and — instead of hyphens, and with … instead of three dots."""
    out = re.sub(r"""((?:^|[\s(\[{—–-])['‘]?)\"""", r"\1“", _text(text))
    out = out.replace('"', "”")
    out = re.sub(rf"(^|[\s(\[{{“—–-])'(?!{_ELIDED})", r"\1‘", out, flags=re.IGNORECASE)
    return out.replace("'", "’").replace("...", "…").replace("---", "—").replace("--", "–")


def oneline(text: object) -> str:
    """Return `text` on one line: each run of white space, including line ends, becomes one space."""
    return " ".join(_text(text).split())


def listed(items: Iterable[object], word: str = "and") -> str:
    """Return items as running text: `a, b and c`."""
    texts = [items] if isinstance(items, str) else [_text(item) for item in items]
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} {_text(word)} {texts[-1]}"


def _longest_marks(text: str) -> int:
    """Return the length of the longest run of marks that combine with a letter."""
    longest = run = 0
    for ch in text:
        run = run + 1 if unicodedata.combining(ch) else 0
        longest = max(longest, run)
    return longest
