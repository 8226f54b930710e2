"""The sandbox that templates render in: what they may reach, what they may print, and the filters they have.

A text depends on the template and its values alone: nothing that is random or tells the time is
reachable, and only texts, numbers, truth values, dates and rows can be printed.
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
from jinja2.utils import Cycler, Joiner, Namespace

from .rows import Row

MAX_CHARACTERS = 100_000
"""The longest text a template may produce; far over every prompt limit, far under what exhausts memory."""


_WIDENING = frozenset({"center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill"})
_OF_DATES = frozenset({"year", "month", "day", "hour", "minute", "second", "isoformat", "isoweekday", "weekday"})


class _Template(jinja2.Template):
    """A template whose module, when others import it, remembers nothing of the texts before."""

    environment: _Environment

    def _get_default_module(self, ctx: jinja2.runtime.Context | None = None) -> Any:
        """Return the module; Jinja keeps it for all texts, which is right unless it holds what changes with use."""
        made = self.environment.changeable
        module = super()._get_default_module(ctx)
        if self.environment.changeable != made:
            self._module = None
        return module


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with what exhausts memory bounded, and what differs between runs out of reach."""

    template_class = _Template
    intercepted_binops = frozenset({"*", "**", "%"})
    changeable = 0  # how many things were made that change with their use

    def counted(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that makes what `make` does, and counts it as changeable."""

        def made(*arguments: Any, **named: Any) -> Any:
            self.changeable += 1
            return make(*arguments, **named)

        return made

    def make_globals(self, d: MutableMapping[str, Any] | None) -> dict[str, Any]:
        """Return the globals of a template, as a plain dictionary: Jinja copies them for each text."""
        return {**self.globals, **(d or {})}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a field of a table before a method of that name: a column may be named `items`."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr in _WIDENING:
            return False
        if isinstance(obj, date | time):  # today(), now() and timestamp() are methods of every date
            return attr in _OF_DATES
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """Leave `"…".format` to `is_safe_attribute`: a width of its fields has no bound."""

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


_HEXADECIMAL = re.compile(r"0[xX]")
_ADDRESS = re.compile(r"\b(?:object|method|function)\b.{0,200}?\Wat\W0x[0-9a-f]{6,}", re.IGNORECASE)


def pure(text: str) -> str:
    """Return `text`; raises TypeError where it would differ between runs: a filter took an object for a text."""
    if "0" in text and _HEXADECIMAL.search(text) and _ADDRESS.search(text):  # the quickest first
        raise TypeError("this prints a function or an iterator: call it with (), or use | join")
    return text


_PRINTED = (str, int, float, Row, date, time, jinja2.Undefined)  # as a tuple: made once


def _printable(value: Any) -> Any:
    """Refuse to print what has no text of its own: it would put `[…]`, `None` or an address into a prompt."""
    if isinstance(value, _PRINTED):
        return value
    kinds: dict[type, str] = {list: "a list (use | join)", dict: "a table (name one of its fields)", type(None): "null"}
    raise TypeError(f"can't print {kinds.get(type(value), 'this: it has no text')}")


def environment(loader: jinja2.BaseLoader, compiled: jinja2.BytecodeCache | None = None) -> jinja2.Environment:
    """Return the environment in which all templates of a project compile and render; `compiled` remembers files."""
    sandbox = _Environment(
        loader=loader,
        bytecode_cache=compiled,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
        cache_size=-1,
        auto_reload=False,
        autoescape=False,  # prompts are plain text
    )
    sandbox.concat = _bounded  # type: ignore[method-assign]
    # Whatever would give another text on another run, or has a width without a bound, or is for the web.
    for name in ("random", "pprint", "format", "center", "indent", "batch", "slice", "filesizeformat",
                 "urlencode", "urlize", "xmlattr"):  # fmt: skip
        sandbox.filters.pop(name, None)
    sandbox.globals.pop("lipsum", None)
    changeable: dict[str, Callable[..., Any]] = {"cycler": Cycler, "joiner": Joiner, "namespace": Namespace}
    sandbox.globals.update({name: sandbox.counted(make) for name, make in changeable.items()})
    sandbox.filters.update(slug=slug, quoted=quoted, typographic=typographic, oneline=oneline, listed=listed)
    return sandbox


# --- filters ---

_ELIDED = r"\d0s|(?:tis|twas|twere|twill|til|em|n|cause)\b"  # words whose apostrophe stands for what is left out


def _text(value: object) -> str:
    return str(_printable(value))


def slug(text: object, length: int = 60) -> str:
    """Return `text` in lower case, hyphens for all but letters and digits, cut at `length` characters."""
    out = ""
    for ch in unicodedata.normalize("NFC", _text(text)).casefold():
        within = out[-1:] not in ("", "-")
        # A mark belongs to the letter before it: many scripts write vowels with them.
        if ch.isalnum() or (within and unicodedata.category(ch)[0] == "M"):
            out += ch
        elif within:
            out += "-"
    return out[:length].rstrip("-")


def quoted(text: object) -> str:
    """Return `text` in “double quotation marks”, as Qwen-Image expects the words that it is to write."""
    return f"“{_text(text).strip()}”"


def typographic(text: object) -> str:
    """Return `text` with straight quotes, double hyphens and three dots as “curly”, – and …"""
    out = re.sub(r"""((?:^|[\s(\[{—–-])['‘]?)\"""", r"\1“", _text(text))
    out = out.replace('"', "”")
    out = re.sub(rf"(^|[\s(\[{{“—–-])'(?!{_ELIDED})", r"\1‘", out, flags=re.IGNORECASE)
    return out.replace("'", "’").replace("...", "…").replace("---", "—").replace("--", "–")


def oneline(text: object) -> str:
    """Return `text` with every run of white space, line ends included, as one space."""
    return " ".join(_text(text).split())


def listed(items: Iterable[object], word: str = "and") -> str:
    """Return items as running text: `a, b and c`."""
    texts = [items] if isinstance(items, str) else [_text(item) for item in items]
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} {word} {texts[-1]}"
