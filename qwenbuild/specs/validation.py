"""Validation: turns pydantic's errors into problems with places."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from qwenbuild.errors import in_order
from qwenbuild.files.toml import TomlFile
from qwenbuild.files.toml_positions import Keys
from qwenbuild.problems import Problem, did_you_mean, listing

from . import habits

_EXPECTED: dict[str, str] = {
    "string_type": "a text in quotes",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "list_type": "a list",
    "decimal_parsing": "a number",
    "decimal_type": "a number",
}


def problems(
    error: ValidationError, source: TomlFile, known_keys: Callable[[Keys], list[str]], prefix: Keys = (),
    elsewhere: Mapping[Keys, str] | None = None,
) -> dict[Keys, Problem]:  # fmt: skip
    """Return pydantic's errors as problems, by the keys that they are about, in the order of the file.

    `prefix` are the keys of the validated table in the file. `known_keys` maps the keys of a table, relative to
    `prefix`, to the names that the table may have. `elsewhere` has hints for keys that belong into another table.
    """
    found: dict[Keys, Problem] = {}
    for detail in error.errors(include_url=False):
        keys = _real_keys(source.table, (*prefix, *detail["loc"]), missing=detail["type"] == "missing")
        if keys in found:
            continue
        name = next((str(key) for key in reversed(keys) if isinstance(key, str)), source.shown)
        match detail["type"]:
            case "extra_forbidden":
                known = known_keys(keys[len(prefix) : -1])
                hint = did_you_mean(name, known) or (f"known: {listing(known, most=20)}" if known else None)
                hint = (elsewhere or {}).get(keys[len(prefix) :], habits.KEYS.get(name, hint))
                if len(keys) == 1 and "image" in known and habits.is_image(source.table[name]):
                    hint = f"an image is declared as [image.{name}]"
                if name in known:  # the table may have one of two forms, and each form has keys of its own
                    hint = "it can't stand beside the other keys of this table"
                where = f" in [{'.'.join(map(str, keys[:-1]))}]" if keys[:-1] else ""
                place = source.place(keys, key=True)
                place = replace(place, source="") if name in habits.SECRET else place
                found[keys] = Problem(f'unknown key "{name}"{where}', place, hint=hint, name="unknown-key")
            case "missing":
                found[keys] = Problem(f'"{name}" is missing', source.place(keys[:-1]), name="missing-key")
            case "value_error":
                text = str(detail["ctx"]["error"])
                is_name = detail["loc"][-1:] == ("[key]",)  # so pydantic says that a name is wrong, not its value
                found[keys] = Problem(
                    f"{name}: {text}" if keys else text, source.place(keys, key=is_name), name="wrong-value"
                )
            case "greater_than_equal" | "less_than_equal":
                limit = detail["ctx"].get("ge", detail["ctx"].get("le"))
                word = "at least" if "ge" in detail["ctx"] else "at most"
                claim = f"{name} is {detail['input']!r}"
                found[keys] = Problem(claim, source.place(keys), f"expected {word} {limit}", name="wrong-value")
            case "literal_error" | "finite_number":
                expected = detail["ctx"]["expected"] if detail["type"] == "literal_error" else "a number"
                claim = f"{name} is {json.dumps(detail['input'], ensure_ascii=False)}"
                found[keys] = Problem(claim, source.place(keys), f"expected {expected}", name="wrong-value")
            case "string_too_short":
                found[keys] = Problem(f"{name} is empty", source.place(keys), name="wrong-value")
            case kind:
                expected = _EXPECTED.get(kind, "a value of another type")
                if detail["loc"] and detail["loc"][-1] in ("str", "int", "float", "bool"):  # a member of Scalar
                    expected = "a text, a number or true/false"
                expected = habits.VALUES.get((name, type(detail["input"])), expected)
                claim = f"{name}: wrong type, {_type_name(detail['input'])}"
                found[keys] = Problem(claim, source.place(keys), f"expected {expected}", name="wrong-type")
    return dict(sorted(found.items(), key=lambda item: in_order(item[1])))


def _real_keys(table: object, loc: Sequence[str | int], *, missing: bool) -> Keys:
    """Return the parts of pydantic's location that are keys of the file. The other parts name members of unions."""
    keys: list[str | int] = []
    at: Any = table
    for index, part in enumerate(loc):
        try:
            at = at[part]
        except (LookupError, TypeError):
            if not (missing and index == len(loc) - 1):
                continue
        keys.append(part)
    return tuple(keys)


def _type_name(value: object) -> str:
    names: dict[type, str] = {str: "a text", bool: "true/false", int: "a whole number", float: "a number",
                              list: "a list", dict: "a table"}  # fmt: skip
    return names.get(type(value), f"a {type(value).__name__}")
