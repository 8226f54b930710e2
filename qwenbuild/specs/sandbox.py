"""The Jinja sandbox: what templates can reach, what they can print, and their filters.

A text depends only on the template and its values. Templates can reach nothing that is random or tells the time.
They can print only texts, numbers, truth values, dates and rows.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, MutableMapping
from datetime import date, time
from typing import Any

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace, missing

from .rows import Row

MAX_CHARACTERS = 100_000
"""The longest text that a template may produce: far above every prompt limit, far below what exhausts memory."""

_WIDENING = frozenset({"center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill"})
_OF_DATES = frozenset({"year", "month", "day", "hour", "minute", "second", "isoformat", "isoweekday", "weekday"})


class _Template(jinja2.Template):
    """A template whose module keeps no state between two texts that import it."""

    environment: _Environment

    def _get_default_module(self, ctx: jinja2.runtime.Context | None = None) -> Any:
        """Return the module. Jinja keeps it for all texts; this method does not if it holds a changeable value."""
        made = self.environment.changeable
        module = super()._get_default_module(ctx)
        if self.environment.changeable != made:
            self._module = None
        return module


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox with limits on memory, and without everything that differs between runs."""

    template_class = _Template
    intercepted_binops = frozenset({"*", "**", "%"})
    changeable = 0  # how many values were made that change with use, such as a `cycler`

    def counted(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that calls `make` and counts the result as changeable."""

        def made(*arguments: Any, **named: Any) -> Any:
            self.changeable += 1
            return make(*arguments, **named)

        return made

    def make_globals(self, d: MutableMapping[str, Any] | None) -> dict[str, Any]:
        """Return the globals of a template as a plain dictionary, which Jinja copies faster for each text."""
        return {**self.globals, **(d or {})}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a table's field rather than its method of the same name: a column may be named `items`."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr in _WIDENING:
            return False
        if isinstance(obj, date | time):  # every date has the methods today(), now() and timestamp()
            return attr in _OF_DATES
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """Do nothing: `is_safe_attribute` refuses `"…".format`, because the width of a field has no limit."""

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for text, times in ((left, right), (right, left)):
                if isinstance(text, str | list | tuple) and isinstance(times, int):
                    if len(text) * times > MAX_CHARACTERS:
                        raise SecurityError(f"the result of * is longer than {MAX_CHARACTERS:,}")
                    break
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "**" and numbers and (abs(left) > 10**6 or abs(right) > 64):
            raise SecurityError("the result of ** is too large")
        if operator == "%" and isinstance(left, str):
            raise SecurityError('write "{{ a }} {{ b }}" instead of formatting with %')
        return super().call_binop(context, operator, left, right)


class _Undefined(jinja2.StrictUndefined):
    """A missing value. Its message names the owner in plain words; Jinja's own message names Python classes."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        name, owner = self._undefined_name, self._undefined_obj
        if self._undefined_hint or owner is missing:
            return super()._undefined_message
        if isinstance(name, str):
            return f'{_named(owner)} has no field "{name}"'
        return f"{_named(owner)} has no {f'element {name}' if isinstance(name, int | float) else 'such element'}"


def _named(value: object) -> str:
    """Return the words for a value in a message."""
    if isinstance(value, Row):
        return f'the row "{value}"'
    kinds: dict[type, str] = {
        dict: "the table", list: "the list", tuple: "the list", str: "the text", int: "the number",
        float: "the number", bool: "the truth value", type(None): "null",
    }  # fmt: skip
    return kinds.get(type(value), "the value")


def _bounded(pieces: Iterable[str]) -> str:
    """Return the joined pieces of a text; raises SecurityError if it is longer than `MAX_CHARACTERS`."""
    rest = iter(pieces)
    text = "".join(itertools.islice(rest, 256))  # nearly every text ends here, at full speed
    for piece in rest:
        text += piece
        if len(text) > MAX_CHARACTERS:
            break
    if len(text) > MAX_CHARACTERS:
        raise SecurityError(f"the text is longer than {MAX_CHARACTERS:,} characters")
    return text


_HEXADECIMAL = re.compile(r"0[xX]")
_ADDRESS = re.compile(r"\b(?:object|method|function)\b.{0,200}?\Wat\W0x[0-9a-f]{6,}", re.IGNORECASE)


def pure(text: str) -> str:
    """Return `text`; raises TypeError if it holds the memory address of an object, which differs between runs.

    A filter that turns an object into a text, such as `upper`, puts the address there.
    """
    if "0" in text and _HEXADECIMAL.search(text) and _ADDRESS.search(text):  # the fastest test comes first
        raise TypeError("this prints a function or an iterator: call it with (), or use | join")
    return text


_PRINTED = (str, int, float, Row, date, time, jinja2.Undefined)


def _printable(value: Any) -> Any:
    """Return `value`; raises TypeError if it would print as `[…]`, `None` or an address."""
    if isinstance(value, _PRINTED):
        return value
    kinds: dict[type, str] = {list: "a list (use | join)", dict: "a table (name one of its fields)", type(None): "null"}
    raise TypeError(f"can't print {kinds.get(type(value), 'this: it has no text')}")


def environment(loader: jinja2.BaseLoader, compiled: jinja2.BytecodeCache | None = None) -> jinja2.Environment:
    """Return the environment that compiles and renders all templates of a project; `compiled` caches their code."""
    sandbox = _Environment(
        loader=loader,
        bytecode_cache=compiled,
        undefined=_Undefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
        cache_size=-1,
        auto_reload=False,
        autoescape=False,  # prompts are plain text
    )
    sandbox.concat = _bounded  # type: ignore[method-assign]
    # These filters differ between runs, or take a width without a limit, or escape for the web.
    for name in ("random", "pprint", "format", "center", "indent", "batch", "slice", "filesizeformat",
                 "urlencode", "urlize", "xmlattr"):  # fmt: skip
        sandbox.filters.pop(name, None)
    sandbox.globals.pop("lipsum", None)
    changeable: dict[str, Callable[..., Any]] = {"cycler": Cycler, "joiner": Joiner, "namespace": Namespace}
    sandbox.globals.update({name: sandbox.counted(make) for name, make in changeable.items()})
    sandbox.filters.update(slug=slug, quoted=quoted, typographic=typographic, oneline=oneline, listed=listed)
    return sandbox


# --- filters ---

_ELIDED = r"\d0s|(?:tis|twas|twere|twill|til|em|n|cause)\b"  # words that begin with an apostrophe for omitted letters


def _text(value: object) -> str:
    return str(_printable(value))


def slug(text: object, length: int = 60) -> str:
    """Return `text` in lower case, with hyphens between runs of letters and digits, at most `length` characters."""
    out = ""
    for ch in unicodedata.normalize("NFC", _text(text)).casefold():
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
    return f"{', '.join(texts[:-1])} {word} {texts[-1]}"
