"""Vendor parameters: what a project adds to the `parameters` of its requests, as it is, and what may not stand there.

Nothing in them is a template. A name for which qwenbuild has a field is refused: two places for one value would
contradict each other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from .digest import canonical_json

MOST: Final = 100
"""The most parameters of a request."""

LONGEST: Final = 10_000
"""The most characters of a request's parameters, as canonical JSON."""

_DEEPEST: Final = 100  # as in TOML files

FIELDS: Final = {
    "model": "model", "prompt": "prompt", "messages": "prompt", "negative_prompt": "negative_prompt", "size": "size",
    "seed": "seed", "prompt_extend": "prompt_extend", "watermark": "watermark", "n": "n",
    "num_images_per_prompt": "n",
}  # fmt: skip
"""The fields of the service's requests that qwenbuild writes, with the field of a spec that sets each.

Sources: Qwen-Image API reference of 2026-02-10; the service's own messages call `n` also `num_images_per_prompt`.
"""

_BY_LETTERS: Final = {name.replace("_", ""): field for name, field in FIELDS.items()}


def field_of(name: str) -> str | None:
    """Return the field of a spec that a parameter's name means, in whatever spelling: `promptExtend`, `Prompt-Extend`.

    None if qwenbuild has no field for it.
    """
    return _BY_LETTERS.get(re.sub(r"[\s_-]", "", name).lower())


def name_fault(name: str) -> str:
    """Return why a parameter can't have this name; empty if it can."""
    if not name.strip():
        return "a parameter needs a name"
    match field_of(name):
        case None:
            return ""
        case "n":
            return "n is always 1, because one request makes one image; several seeds give several images"
        case "prompt":
            return "qwenbuild has a field for it: write prompt or template in the image"
        case field:
            return f"qwenbuild has a field for it: write {field} in the image, at the top of the spec, or in [defaults]"


def value_fault(value: object, depth: int = 1) -> str:
    """Return why JSON can't hold a value as it is; empty if it can."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} can't be sent, because JSON has no such number"
    if isinstance(value, str | bool | int | float):
        return ""
    if not isinstance(value, dict | list):
        return f"{value} can't be sent, because JSON has no dates and times; write it as a text in quotes"
    if depth > _DEEPEST:
        return f"tables and lists are nested more than {_DEEPEST} deep"
    within = value.values() if isinstance(value, dict) else value
    return next(filter(None, (value_fault(each, depth + 1) for each in within)), "")


def size_fault(table: Mapping[str, Any]) -> str:
    """Return why a table of valid parameters is too large; empty if it is not."""
    if len(table) > MOST:
        return f"{len(table):,} parameters; at most {MOST}"
    if (length := len(as_text(table))) > LONGEST:
        return f"as JSON, the parameters have {length:,} characters; at most {LONGEST:,}"
    return ""


def as_text(table: Mapping[str, Any]) -> str:
    """Return valid parameters as canonical JSON; empty for none. Equal texts stand for equal parameters."""
    return canonical_json(table).decode() if table else ""


def recorded(table: object) -> str:
    """Return the text of parameters that a record holds; raises ValueError if it holds anything else.

    A record may come from a stranger, and the names that are refused may change: any name is accepted.
    """
    if not isinstance(table, dict) or not table:
        raise ValueError("the parameters are no table")
    if fault := value_fault(table) or size_fault(table):
        raise ValueError(fault)
    return as_text(table)
