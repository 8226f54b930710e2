"""Conditions: which cells `-w` chooses, such as `axis=glob`, `axis=one,two` and `axis!=glob`.

- A text that is a value, or that fits one as a glob, means this value, even if the text holds commas.
- In all other texts, commas separate alternatives. In an alternative, quotes have the same meaning as in a cell's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from fnmatch import translate
from typing import NamedTuple

from qwenbuild.errors import UsageError
from qwenbuild.files.text import nfc
from qwenbuild.problems import did_you_mean, listing

from .action import Action
from .cell_names import split_labels

_FIELDS = ("model", "size", "seed", "ratio")  # conditions may name these fields even if no image has such an axis
_GLOB = frozenset("*?[")


class _Condition(NamedTuple):
    axis: str
    is_not: bool
    text: str  # behind the sign

    def __str__(self) -> str:
        return f"{self.axis}{'!=' if self.is_not else '='}{self.text}"


def narrowed(chosen: Sequence[Action], where: Iterable[str], actions: Sequence[Action]) -> list[Action]:
    """Return those of the `chosen` actions that fit the conditions `where`.

    Conditions with `=` on one axis are alternatives. All others must hold together. A cell without the axis fits `!=`.
    `actions` are all actions of the project: the values that a condition can mean. Raises UsageError if a condition is
    malformed or names no axis, if one of several alternatives or an excluded value fits nothing, and if no action fits.
    """
    conditions = [_parsed(text) for text in where]
    for axis in dict.fromkeys(condition.axis for condition in conditions):
        of, some = reader(axis, actions), [condition for condition in conditions if condition.axis == axis]
        values = {nfc(value) for action in actions for value in of(action)}
        if unwanted := [glob for each in some if each.is_not for glob in _meant(each, values, of, actions)]:
            fits = any_of(unwanted)
            chosen = [action for action in chosen if not any(map(fits, of(action)))]
        if wanted := [glob for each in some if not each.is_not for glob in alternatives(each.text, values)]:
            if len(wanted) > 1:  # a single one that fits nothing chooses nothing
                wanted = [glob for each in some if not each.is_not for glob in _meant(each, values, of, actions)]
            fits = any_of(wanted)
            chosen = [action for action in chosen if any(map(fits, of(action)))]
    if conditions and not chosen:
        known = {value for each in conditions for value in _labels(reader(each.axis, actions), actions)}
        raise UsageError(
            f"no cell matches {listing(map(str, conditions))}",
            facts=[f"values: {listing(sorted(known))}"],
            name="no-cell-left",
        )
    return list(chosen)


def alternatives(text: str, values: Collection[str]) -> list[str]:
    """Return the globs that a condition's text stands for; `values` are those of the axis, in Unicode's form NFC."""
    is_one = ("," not in text and '"' not in text) or _fits(text, values)
    return [text] if is_one else [*split_labels(text)]


def _fits(text: str, values: Collection[str]) -> bool:
    """Return whether a text is one of the values, or fits one as a glob."""
    whole = nfc(text)
    return whole in values or (not _GLOB.isdisjoint(whole) and any(map(any_of([whole]), values)))


def any_of(globs: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a value fits one of the globs, or is the same text."""
    exact = {*map(nfc, globs)}  # a value may itself contain characters such as * or [
    patterns = "|".join(translate(glob) for glob in exact if not _GLOB.isdisjoint(glob))
    matches = re.compile(patterns).match if patterns else None

    def fits(value: str) -> bool:
        value = nfc(value)
        return value in exact or bool(matches and matches(value))

    return fits


def reader(axis: str, actions: Iterable[Action] | None = None) -> Callable[[Action], list[str]]:
    """Return a function that returns an action's value for `axis` in every spelling; none if it has no such axis.

    With all `actions` of the project, it raises UsageError if none of them has the axis.
    """
    if actions is not None:
        known = {name for action in actions for name in action.declaration.axes} | set(_FIELDS)
        if nfc(axis) not in {*map(nfc, known)}:
            facts = [f"axes: {listing(sorted(known))}"]
            raise UsageError(
                f'no image has an axis "{axis}"', facts=facts, hint=did_you_mean(axis, known), name="unknown-axis"
            )

    def values(action: Action) -> list[str]:
        match axis:
            case "size" | "ratio":
                ratio = action.model.ratio(action.size)
                return [ratio] if axis == "ratio" else [str(action.size), ratio, action.size.wire]
            case "seed":
                return ["random"] if action.is_seed_random else [str(action.seed)]
            case "model":
                return [action.model.name]
            case _:
                return [label for name, label in action.cell.items() if name == axis or nfc(name) == nfc(axis)]

    return values


def _parsed(text: str) -> _Condition:
    axis, equals, value = text.partition("=")
    name = axis.removesuffix("!").strip()
    if not equals or not name:
        hint = 'write -w AXIS=VALUE, such as -w seed=1 or -w "size=16:9"'
        raise UsageError(f'not a condition: "{text}"', hint=hint, name="wrong-condition")
    return _Condition(name, axis.endswith("!"), value)


def _meant(
    condition: _Condition, values: Collection[str], of: Callable[[Action], list[str]], actions: Sequence[Action]
) -> list[str]:
    """Return the globs of a condition; raises UsageError if one of them fits no value."""
    globs = alternatives(condition.text, values)
    for glob in globs:
        if not _fits(glob, values):
            known = sorted(_labels(of, actions))
            claim = f"no cell has {condition.axis}={glob}" + f": {condition} excludes nothing" * condition.is_not
            raise UsageError(
                claim, facts=[f"values: {listing(known)}"], hint=did_you_mean(glob, known), name="unknown-value"
            )
    return globs


def _labels(of: Callable[[Action], list[str]], actions: Iterable[Action]) -> set[str]:
    return {value for action in actions for value in of(action)[:1]}
