"""Columns: the values of an axis, checked and labelled for a model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from qwenbuild.catalogue import Catalogue, Model
from qwenbuild.errors import ProjectError
from qwenbuild.problems import Place, Problem, plain
from qwenbuild.request import SEED_MAX, Size

from .axes import WrittenAxis
from .declaration import Value
from .declared_names import FIELDS
from .rows import Rows

_LONGEST_LABEL = 10_000  # characters of a value, which stands in the name of each of its cells


def column(
    axis: str, values: Sequence[Any], written: WrittenAxis, model: Model | None, problems: list[Problem]
) -> list[Value]:
    """Return the values of an axis. Their problems go into `problems`. Without a model, sizes are as written."""
    rows = values if isinstance(values, Rows) and axis not in FIELDS else None  # then all models have the same
    if rows is not None and rows.column is not None:
        return rows.column
    before = len(problems)
    column: list[Value] = []
    known: set[str] = set()
    for index, value in enumerate(values):
        place = partial(written.place, index)
        try:
            item = checked(axis, value, model, place)
            if item.label in known:
                raise wrong(f'axis {axis} has the value "{item.label}" twice', place, name="value-twice")
        except ProjectError as error:
            problems += error.problems
            if isinstance(values, range):  # all other numbers would be reported at the same place
                break
            continue
        known.add(item.label)
        column.append(item)
    if rows is not None and len(problems) == before:
        rows.column = column
    return column


def checked(axis: str, value: Any, model: Model | None, place: Callable[[], Place]) -> Value:
    """Return a value of an axis; raises ProjectError if the request field of that name can't take it.

    Without a model, a size is as written.
    """
    if len(label := plain(value)) > _LONGEST_LABEL:
        hint = "put long texts into [vars], or into a column of a row"
        raise wrong(f"axis {axis}: a value of {len(label):,} characters", place, hint, name="value-too-long")
    if axis == "size":
        if not isinstance(value, str):
            raise wrong(f"size: {toml(value)} is not a text", place, name="wrong-type")
        if model is None:
            return Value.of(label, value)
        size = size_of(value, model, lambda reason: wrong(f'size "{value}"', place, reason, name="size-not-offered"))
        return Value.of(str(size), size)
    if axis == "seed" and (type(value) is not int or not 0 <= value <= SEED_MAX):
        is_several = isinstance(value, str) and re.search(r"\d\s*[,;-]\s*\d", value)
        many = "; several are [1, 2] or { start = 1, count = 10 }" if is_several else ""
        raise wrong(f"seed: {toml(value)}", place, f"a whole number from 0 to {SEED_MAX}{many}", name="wrong-seed")
    if axis in ("prompt_extend", "watermark") and not isinstance(value, bool):
        raise wrong(f"{axis}: {toml(value)}", place, "true or false", name="wrong-type")
    if axis == "negative_prompt" and not isinstance(value, str):
        raise wrong(f"negative_prompt: {toml(value)} is not a text", place, name="wrong-type")
    return Value.of(label, value)


def size_label(value: object, model: Model) -> str:
    """Return the label of a size in any spelling, such as `1328x1328` for `1:1`."""
    text = plain(value)
    return str(model.ratios.get(text) or Size.parse(text) or text)


def size_of(text: str, model: Model, wrong: Callable[[str], ProjectError]) -> Size:
    """Return the size that a text names for a model; raises what `wrong` makes of the reason."""
    try:
        return model.size(text)
    except ValueError as error:
        raise wrong(str(error)) from None


def model_of(name: str, catalogue: Catalogue, wrong: Callable[[str], ProjectError]) -> Model:
    """Return the model with a name; raises what `wrong` makes of the reason."""
    try:
        return catalogue.model(name)
    except ValueError as error:
        raise wrong(str(error)) from None


def wrong(claim: str, place: Callable[[], Place], label: str = "", *, name: str) -> ProjectError:
    """Return the error with this claim and name. Finding a place takes time, so it is found only here."""
    return ProjectError([Problem(claim, place(), label, name=name)])


def toml(value: object) -> str:
    """Return a value about as the user wrote it."""
    return json.dumps(value, ensure_ascii=False, default=str)
