"""Jinja's filters of texts, counted: they take whatever has a text, and give plain texts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jinja2
from jinja2 import filters as jinjas
from jinja2.runtime import Undefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from .limits import LONG, MAX_DIGITS, LimitError, Meter, integer
from .members import Members
from .plain_values import text_of, weigh
from .printf import filled

_HYPHENS = re.compile("--+")
_MOST_DECIMALS = 1_000
_MOST_SPACES = 32
_ESCAPED = frozenset("<>&'\"")  # for HTML


class TextFilters:
    """The filters of texts and numbers."""

    def __init__(self, environment: jinja2.Environment, meter: Meter, members: Members) -> None:
        self._environment, self._meter, self._members = environment, meter, members
        self.differing = 0  # how many texts differ from what earlier versions made
        self.is_escaping = False  # True while a text is made as earlier versions made it

    def by_name(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by the names that they have in templates."""
        return {
            "abs": abs, "capitalize": self._capitalize, "center": self._center, "e": self._unescaped,
            "escape": self._unescaped, "filesizeformat": jinjas.do_filesizeformat, "float": self._float,
            "forceescape": self._unescaped, "format": self._format, "indent": self._indent, "int": self._int,
            "lower": self._lower, "replace": self._replace, "round": self._round, "safe": self._text,
            "string": self._text, "striptags": self._striptags, "title": self._title, "tojson": self._tojson,
            "trim": self._trim, "truncate": self._truncate, "upper": self._upper, "wordcount": self._wordcount,
            "wordwrap": self._wordwrap,
        }  # fmt: skip

    def _text(self, value: Any) -> str:
        """Return the text of a value; its characters are counted."""
        if type(value) is str and len(value) <= LONG:
            return value
        return text_of(self._meter, value)

    # Nearly all texts are short. Asking for that here, and not in `_text`, saves a fifth of a filter's time.

    def _upper(self, value: Any) -> str:
        return value.upper() if type(value) is str and len(value) <= LONG else self._text(value).upper()

    def _lower(self, value: Any) -> str:
        return value.lower() if type(value) is str and len(value) <= LONG else self._text(value).lower()

    def _capitalize(self, value: Any) -> str:
        return self._text(value).capitalize()

    def _title(self, value: Any) -> str:
        if type(value) is str and len(value) <= LONG:
            return jinjas.do_title(value)
        text = self._text(value)
        self._meter.spend(len(text) >> 4)
        return jinjas.do_title(text)

    def _trim(self, value: Any, chars: str | None = None) -> str:
        if type(value) is str and len(value) <= LONG:
            return value.strip(chars)
        return self._members.strip(self._text(value), chars)

    def _center(self, value: Any, width: int = 80) -> str:
        return self._members.center(self._text(value), width)

    def _replace(self, value: Any, old: Any, new: Any, count: int | None = None) -> str:
        if type(value) is type(old) is type(new) is str and len(value) * (len(new) + 1) <= LONG:
            return value.replace(old, new, -1 if count is None else count)
        text, old, new = self._text(value), self._text(old), self._text(new)
        return self._members.replace(text, old, new, -1 if count is None else count)

    def _format(self, value: Any, *values: Any, **by_name: Any) -> str:
        if values and by_name:
            raise jinja2.exceptions.FilterArgumentError("values are either in order or by name")
        return filled(self._meter, self._text(value), by_name or values)

    def _truncate(
        self, value: Any, length: int = 255, killwords: bool = False, end: str = "...", leeway: int | None = None
    ) -> str:
        return jinjas.do_truncate(self._environment, self._text(value), length, killwords, self._text(end), leeway)

    def _indent(self, value: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        text = self._text(value)
        wide = len(width) if isinstance(width, str) else width
        self._meter.produce(len(text) + max(0, wide) * (len(text.splitlines()) + 1))
        return jinjas.do_indent(text, width, first, blank)

    def _wordcount(self, value: Any) -> int:
        return jinjas.do_wordcount(self._text(value))

    def _wordwrap(
        self, value: Any, width: int = 79, break_long_words: bool = True, wrapstring: str | None = None,
        break_on_hyphens: bool = True,
    ) -> str:  # fmt: skip
        """Return a text in lines. Python's module `textwrap` takes the square of long words and of many hyphens."""
        text = self._text(value)
        if len(text) > LONG:
            longest = max(map(len, text.split()), default=0)
            hyphens = max((len(run) for run in _HYPHENS.findall(text)), default=0)
            self._meter.spend(len(text) + longest * longest // (16 * max(1, width)) + hyphens * hyphens)
        between = "\n" if wrapstring is None else self._text(wrapstring)
        lines = jinjas.do_wordwrap(self._environment, text, width, break_long_words, "\n", break_on_hyphens)
        return lines if between == "\n" else self._members.replace(lines, "\n", between)

    def _striptags(self, value: Any) -> str:
        text = self._text(value)
        # Some versions of markupsafe copy the whole text for each tag.
        self._meter.spend((len(text) >> 4) * (1 + (text.count("<") >> 4)))
        return str(Markup(text).striptags())  # noqa: S704 - tags are taken away, and the result is a plain text

    # A prompt is plain text: no filter escapes for HTML or script. Earlier versions did as Jinja does.

    def _unescaped(self, value: Any) -> str:
        text = self._text(value)
        return self._read(text, lambda: str(escape(text)))

    def _tojson(
        self, value: Any, indent: int | str | None = None, ensure_ascii: bool = False,
        separators: Sequence[str] | None = None, sort_keys: bool = True,
    ) -> str:  # fmt: skip
        """Return a value as JSON that people can read. The arguments are those of chat templates, too."""
        if isinstance(value, Undefined):
            str(value)  # reports what is undefined
        wide = len(indent) if isinstance(indent, str) else indent or 0
        if wide > _MOST_SPACES:
            raise LimitError(f"tojson indents by at most {_MOST_SPACES} spaces")
        pair = None if separators is None else tuple(map(self._text, separators))
        if pair is not None and (len(pair) != 2 or max(map(len, pair)) > _MOST_SPACES):
            raise TypeError(f"the separators of tojson are two texts of at most {_MOST_SPACES} characters")
        weigh(self._meter, value)
        dumps = partial(json.dumps, value, indent=indent, default=self._text)
        written = dumps(ensure_ascii=ensure_ascii, separators=pair, sort_keys=sort_keys)
        self._meter.produce(len(written))
        return self._read(written, lambda: str(htmlsafe_json_dumps(None, lambda *_, **__: dumps(sort_keys=True))))

    def _read(self, text: str, earlier: Callable[[], str]) -> str:
        """Return `text`, or what earlier versions made instead; it differs only if `text` has such characters."""
        if text.isascii() and not _ESCAPED.intersection(text):
            return text
        self.differing += 1
        if not self.is_escaping:
            return text
        old = earlier()
        self._meter.produce(len(old))
        return old

    def _int(self, value: Any, default: Any = 0, base: int = 10) -> Any:
        if isinstance(value, str):
            self._meter.read(value)
            if len(value) > MAX_DIGITS and value.strip().lstrip("+-").replace("_", "").isalnum():
                raise LimitError(f"a number has more than {MAX_DIGITS:,} digits")
        number = jinjas.do_int(value, default, base)
        return integer(number) if type(number) is int else number

    def _float(self, value: Any, default: Any = 0.0) -> Any:
        if isinstance(value, str):
            self._meter.read(value)
        return jinjas.do_float(value, default)

    def _round(self, value: Any, precision: int = 0, method: str = "common") -> float:
        if not isinstance(method, str):
            raise TypeError("the method of round is a text")
        if abs(precision) > _MOST_DECIMALS:
            raise LimitError(f"round takes at most {_MOST_DECIMALS:,} decimals")
        return jinjas.do_round(value, precision, method)  # type: ignore[arg-type]  # it checks the text


def metered(meter: Meter, make: Callable[..., str]) -> Callable[..., str]:
    """Return the filter `make`, whose text is counted before it runs, once for each 4 characters."""

    def filter_(value: Any) -> str:
        if type(value) is str and len(value) > LONG:
            meter.produce(len(value))
            meter.spend(len(value) >> 2)
        return make(value)

    return filter_
