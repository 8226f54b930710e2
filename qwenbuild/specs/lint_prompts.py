"""Lint of rendered prompts: template syntax that is left as text, and quoted texts that are too long for the size."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from qwenbuild import quoted_texts
from qwenbuild.errors import ProjectError
from qwenbuild.files.paths import as_spelled
from qwenbuild.files.text import find_token, line_of, read_text, whole_line
from qwenbuild.problems import Place, Problem, columns, plain

from .action import Action
from .declaration import Declaration
from .lint_rules import LONG_TEXT, TEMPLATE_SYNTAX
from .project import Project
from .row_places import RowPlaces
from .template import Templates

COLUMN_PX = 5000
"""The least area of an image, in pixels, for one column of a quoted text. A letter takes one column, a Chinese
character two. The vendor states no limit. The longest text that it shows (blog "Qwen-Image", 2025-08-04: a handwritten
paragraph on a glass plate) takes 264 columns; an image of the default size, 1664*928, has room for 308. The longest
quoted text of OneIG-Bench (2025), on which the vendor reports its scores, takes 293."""

_SYNTAX = re.compile(r"\{{2,}.*?\}{2,}|\{%.*?%\}|\{\{|\{%|[{}]")
_RENDERED = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_STRAIGHT = '"＂'  # the same sign opens and closes
_APOSTROPHES = "‘'"  # they also stand in words, so a text between two of them may be no quotation
_MOST_SHOWN = 40  # characters of a text in a claim


class _Spot(NamedTuple):
    """Something wrong in a text. `token` is a part of it, by which its place is found; `words` is all of it."""

    rule: str
    claim: str
    label: str
    token: str
    words: str
    facts: tuple[str, ...]
    hint: str

    def is_from(self, value: Any) -> bool:
        """Return whether a value, or one inside of it, holds the text or is a large part of it."""
        if isinstance(value, str):
            if self.rule == TEMPLATE_SYNTAX:
                return _bare(self.token) in [_bare(spot.token) for spot in _left_syntax(value)]
            return self.token in value or (len(value) > _MOST_SHOWN and " ".join(value.split()) in self.words)
        if isinstance(value, Mapping):
            return any(map(self.is_from, value.values()))
        return isinstance(value, list | tuple) and any(map(self.is_from, value))


class PromptRules:
    """The rules about the prompts of one project."""

    def __init__(self, project: Project, templates: Templates) -> None:
        self._project, self._templates = project, templates
        self._origins: dict[int, _Origins] = {}  # by the declaration

    def remarks(self, actions: Iterable[Action]) -> Iterator[tuple[str, Problem]]:
        """Yield (rule, problem) for the prompts of these actions: one for each text, and for each line."""
        counted: Counter[tuple[int, _Spot]] = Counter()
        first: dict[tuple[int, _Spot], Action] = {}
        for action in actions:
            request = action.request
            for text, size in ((request.prompt, request.size), (request.negative_prompt, None)):
                spots = [*_left_syntax(text), *(_long_texts(text, *size) if size else ())]
                for spot in spots:
                    at = id(action.declaration), spot
                    counted[at] += 1
                    first.setdefault(at, action)
        told: set[tuple[str, int]] = set()  # one finding is enough for a line that holds a whole template
        for (_, spot), action in first.items():
            place = self._place(action, spot)
            if place is not None and not (spot.rule == TEMPLATE_SYNTAX and (place.path, place.line) in told):
                told.add((place.path, place.line))
                others = counted[id(action.declaration), spot] - 1
                more = f" and {others:,} more" if others else ""
                facts = [*spot.facts, f"cell: {action.name}{more}"]
                yield spot.rule, Problem(spot.claim, place, spot.label, facts=facts, hint=spot.hint, name=spot.rule)

    def _place(self, action: Action, spot: _Spot) -> Place | None:
        """Return where a text comes from; None if the template itself wants template syntax in its prompt."""
        at = id(action.declaration)
        if at not in self._origins:
            self._origins[at] = _Origins(self._project, self._templates, action.declaration)
        # A template can only give `{{` on purpose: from a `raw` block, or as a text in an expression.
        is_meant = spot.rule == TEMPLATE_SYNTAX and spot.token.startswith("{")
        place = self._origins[at].value(action, spot)
        return place or (None if is_meant else self._origins[at].template(spot.token))


class _Origins:
    """Where the texts in the prompts of one image come from."""

    def __init__(self, project: Project, templates: Templates, declaration: Declaration) -> None:
        self._project, self._templates, self._declaration = project, templates, declaration
        self._rows = RowPlaces(declaration)
        self._numbers: dict[str, dict[str, int]] = {}  # by axis and label: the number of the value
        self._read: dict[str, str] = {}  # texts of data files

    def value(self, action: Action, spot: _Spot) -> Place | None:
        """Return the place of the axis value or variable that a text comes from; None if it comes from none."""
        declaration = self._declaration
        for number, axis in enumerate(declaration.axes):
            if spot.is_from(action.values[number].value):
                return self._axis_value(action, number, axis, spot.token)
        for layer in declaration.layers:
            for name, value in layer.fields.vars.items():
                if name not in declaration.axes and spot.is_from(value):
                    return layer.place_in("vars", name)(1, spot.token)
        return None

    def template(self, token: str) -> Place:
        """Return the place in the image's template that holds `token`, else the place that names the template."""
        image, source, keys = self._declaration.image, self._declaration.spec.source, self._declaration.keys
        if image.template is None:
            line, column, context = _found(image.prompt or "", token)
            place = source.place_in((*keys, "prompt"), line or 1, context)
            is_exact = line > 0 and place.width == len(context)
            return replace(place, column=place.column + column, width=len(token)) if is_exact else place
        names: set[str] = {image.template}
        self._templates.reads(self._templates.text(image.template) or "", names)
        for name in sorted(names - {""}, key=lambda name: (name != image.template, name)):
            text = self._templates.text(name) or ""
            line, column, context = _found(text, token)
            if line:
                place = _at(f"{self._project.config.templates}/{name}", line, text, context)
                return replace(place, column=place.column + column, width=len(token))
        return source.place((*keys, "template"))

    def _axis_value(self, action: Action, number: int, axis: str, token: str) -> Place:
        declaration, label = self._declaration, action.values[number].label
        for row in self._rows.of(action.values):
            if row.cell == f"{axis}={label}" and row.line:
                return self._row(row.path, row.line, token)
        if axis not in self._numbers:
            self._numbers[axis] = {plain(value): at for at, value in enumerate(declaration.axes[axis])}
        at = self._numbers[axis].get(label)
        if at is None:
            return declaration.place("include")
        place = declaration.written[axis].place(at)
        return find_token(place.path, place.line, place.source, token, place.column - 1) or place

    def _row(self, shown: str, line: int, token: str) -> Place:
        """Return the place of `token` in a row of a data file. A row may have several lines."""
        if shown not in self._read:
            try:
                self._read[shown] = read_text(as_spelled(self._project.root, shown), shown)
            except (ProjectError, OSError):
                self._read[shown] = ""
        text = self._read[shown]
        return _at(shown, line, text, token)


def _left_syntax(text: str) -> Iterator[_Spot]:
    """Yield what a prompt holds of templates: `{{ … }}`, `{% … %}`, and a `}}` or `%}` that nothing opens."""
    if "{{" not in text and "{%" not in text and "}}" not in text and "%}" not in text:
        return
    told: set[str] = set()
    depth = 0
    for match in _SYNTAX.finditer(text):
        found, hint = match[0], "values are not rendered: write the text itself, or move the template into the prompt"
        if found in "{}":
            depth += 1 if found == "{" else -1
            if depth >= 0:
                continue
            depth, at = 0, match.start()
            around = text[max(0, at - 1) : at + 2]
            found = "}}" if "}}" in around else "%}" if around.startswith("%}") else ""
            hint = "templates open with {{ or {%"
        if found and found not in told:
            told.add(found)
            shown = found if len(found) <= _MOST_SHOWN else f"{found[:_MOST_SHOWN]}…"
            claim = f"the prompt holds `{shown}` as text"
            label = "this is not rendered" if found[0] == "{" else "nothing opens this"
            yield _Spot(TEMPLATE_SYNTAX, claim, label, found, found, (), hint)


def _long_texts(prompt: str, width_px: int, height_px: int) -> Iterator[_Spot]:
    """Yield the quoted texts that have more columns than an image of this size has room for."""
    most = width_px * height_px // COLUMN_PX
    if 2 * len(prompt) <= most or _is_json(prompt):
        return
    for quoted in quoted_texts.find(prompt):
        if 2 * len(quoted.words) <= most or (wide := columns(quoted.words)) <= most:
            continue
        mark, inside = prompt[quoted.start], prompt[quoted.start + 1 : quoted.end - 1]
        is_sure = mark not in _APOSTROPHES and not (mark in _STRAIGHT and inside != inside.strip())
        around = prompt[: quoted.start] + prompt[quoted.end :]
        if not is_sure or not re.search(r"\w", around):  # a prompt that is all in quotes is no text to write
            continue
        claim = f"a quoted text of {len(quoted.words):,} characters is too long for {width_px}x{height_px}"
        facts = (f"it takes {wide:,} columns, and about {most:,} fit (a Chinese character takes two)",)
        hint = "shorten it, spread it over several texts or images, or choose a larger size"
        token = inside.strip().split("\n")[0][:_MOST_SHOWN]
        yield _Spot(LONG_TEXT, claim, "", token, quoted.words, facts, hint)


def _is_json(prompt: str) -> bool:
    """Return whether a prompt is JSON: there, quotes are around every text."""
    if prompt[:1] not in "{[":
        return False
    try:
        json.loads(prompt)
    except (ValueError, RecursionError):
        return False
    return True


def _found(template: str, token: str) -> tuple[int, int, str]:
    """Return where the text of a template holds `token`, apart from what is rendered.

    That is the line, the text in which it stands there, and its column in this text, from 0; line 0 if it is nowhere.
    """
    at = _RENDERED.sub(lambda match: re.sub(r"[^\n]", "\0", match[0]), template).find(token)
    if at < 0:
        return 0, 0, ""
    line_start = template.rfind("\n", 0, at) + 1
    start = max(line_start, at - _MOST_SHOWN)
    return template.count("\n", 0, at) + 1, at - start, template[start : at + len(token)]


def _bare(text: str) -> str:
    """Return a text without what filters change most: upper case and white space."""
    return "".join(text.split()).casefold()


def _at(shown: str, line: int, text: str, token: str) -> Place:
    source = line_of(text, line)
    return find_token(shown, line, source, token) or whole_line(shown, line, source)
