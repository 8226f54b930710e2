"""Expansion: turns each cell of each matrix into an action with request, key and output path.

Expansion is pure: the same files give the same actions in the same order. The problems of all specs are collected
before anything is paid for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from qwenbuild.catalogue import Model
from qwenbuild.errors import ProjectError
from qwenbuild.files.paths import path_fault
from qwenbuild.files.text import nfc
from qwenbuild.files.toml_positions import Keys
from qwenbuild.own_servers import Choosy, choosy, parametrised
from qwenbuild.problems import Place, Problem
from qwenbuild.request import RANDOM_SEED, Request, Size
from qwenbuild.routes import Routes

from . import layers, undeclared
from .action import Action
from .axis_values import combinations
from .cell_problems import problems_of, prompt_keys, prompt_problem, refusals
from .control_characters import first_control
from .declaration import Declaration, Value
from .declared_names import FIELDS
from .field_values import FieldValues
from .findings import Findings
from .grid import COUNTED
from .matrix import Cells
from .output_paths import Before, Recorded, default_path, has_default_path, marked_path, settled
from .row_places import RowPlaces
from .shared_texts import CANVAS, SharedText
from .template import Template, Templates, tidied


def expand(
    templates: Templates,
    declarations: Collection[Declaration],
    routes: Routes,
    recorded: Recorded,
    findings: Findings,
) -> list[Action]:
    """Return the actions of all declarations. Problems go into `findings`.

    `routes` has the providers. `recorded` is that of `settled`.
    """
    actions = [action for declaration in declarations for action in cells(templates, declaration, routes, findings)]
    return settled(actions, before_only(templates), recorded, findings)


def before_only(templates: Templates) -> Before:
    """Return what gives the cells that an image would have without `only`. Above a million, it gives none."""

    def cells_of(declaration: Declaration) -> Iterator[Sequence[Value]]:
        whole = replace(declaration, image=declaration.image.model_copy(update={"only": []}))
        if combinations(whole.axes.values()) <= COUNTED:
            with contextlib.suppress(ProjectError):  # those of the image's own cells are reported
                yield from (values for values, _ in Cells(whole, FieldValues(whole, templates)))

    return cells_of


def cells(
    templates: Templates,
    declaration: Declaration,
    routes: Routes,
    findings: Findings,
    *,
    keep: bool = False,
) -> Iterator[Action]:
    """Yield the actions of one declaration. Problems go into `findings`.

    With `keep`, actions hold their requests. Otherwise they make a request again each time that it is read.
    """
    places = RowPlaces(declaration)

    def refuse(values: Sequence[Value], error: ProjectError) -> None:
        findings.add(error.problems, declaration.name, declaration.cell_name(values), places.of(values))

    try:
        provider = routes.provider(declaration.choice)
        fields = FieldValues(declaration, templates, parametrised(provider))
        expander = _Expander(templates, declaration, fields, provider.family, provider.labelled, choosy(provider))
        for values, model in Cells(declaration, fields, refuse):
            try:
                yield expander.action(values, model, keep=keep)
            except ProjectError as error:
                refuse(values, error)
    except ProjectError as error:
        findings.add(error.problems, declaration.name)


def sketch(templates: Templates, declaration: Declaration) -> Callable[[tuple[Value, ...], Model], Action]:
    """Return what makes actions without a key: of cells that may be left out. It raises ProjectError."""
    fields = FieldValues(declaration, templates)
    return _Expander(templates, declaration, fields, "", labelled=False).sketch


def prompts(
    templates: Templates,
    plain: Templates,
    declaration: Declaration,
    wanted: Collection[tuple[str, ...]],
) -> Iterator[tuple[tuple[str, ...], str, set[str]]]:
    """Yield (labels, prompt, names that the template saw) of each cell whose labels are in `wanted`.

    `templates` render the prompts, and `plain` all else. Raises ProjectError if a prompt can't be rendered.
    """
    fields = FieldValues(declaration, plain)
    expander = _Expander(templates, declaration, fields, "", labelled=False)
    for values, model in Cells(declaration, fields):
        labels = tuple([value.label for value in values])
        if labels in wanted:
            seen = expander.seen(values, model)
            yield labels, expander.prompt(seen), set(seen)


# These make the same objects as the classes, from a tuple of all fields: row cold-plan takes 5 % less.
_action, _request_of = partial(tuple.__new__, Action), partial(tuple.__new__, Request)


class _Expander:
    """Makes the actions of one image."""

    def __init__(
        self, templates: Templates, declaration: Declaration, fields: FieldValues, family: str, labelled: bool,
        choosy: Choosy | None = None,
    ) -> None:  # fmt: skip
        self._declaration, self._values_of = declaration, fields
        self._family, self._labelled, self._owner, self._choosy = family, labelled, templates, choosy
        self.is_escaped = False  # whether a text of the image would have been escaped for HTML by earlier versions
        self._axes = tuple(declaration.axes)
        self._prompt_keys = prompt_keys(declaration)
        self._templates = self._compiled(templates)
        self._texts_of = [
            SharedText(name, template, declaration, fields.texts) for name, template in self._templates.items()
        ]
        self._request_texts = [text for text in self._texts_of if text.name != "output"]
        self._by_canvas: dict[tuple[str, Size], dict[str, object]] = {}
        # The numbers of the axes that set a field of the request, and of those whose values templates see unchanged.
        self._size_at = self._axes.index("size") if "size" in self._axes else None
        self._fields_at = [(axis, number) for number, axis in enumerate(self._axes) if axis in FIELDS]
        self._seen_at = [(nfc(axis), number) for number, axis in enumerate(self._axes) if axis not in CANVAS]
        self._has_default_path = has_default_path(declaration)
        self._stem = declaration.name  # kept here, because the property builds a new text at each access
        # Values that are the same in all cells, so that they are not asked for in each.
        self._is_seed_fixed = "seed" not in fields.texts
        self._seed = fields.seed(()) if self._is_seed_fixed else None
        self._flags = None if {"prompt_extend", "watermark"} & fields.texts.keys() else self._flags_of(())

    def _compiled(self, templates: Templates) -> dict[str, Template]:
        """Return the templates of `prompt`, `negative_prompt` and `output`, as far as they are set."""
        declaration, source = self._declaration, self._declaration.spec.source
        compiled: dict[str, Template] = {}
        problems: list[Problem] = []
        in_spec = partial(source.place_in, self._prompt_keys)
        try:
            if declaration.image.template is not None:
                place = partial(_place_of, declaration, self._prompt_keys)
                compiled["prompt"] = templates.named(declaration.image.template, place)
            else:
                compiled["prompt"] = templates.inline(declaration.image.prompt or "", in_spec)
        except ProjectError as error:
            problems += error.problems
            problems += undeclared.of_prompt(declaration, templates, in_spec, problems[0])
        for name in ("negative_prompt", "output"):
            layer = layers.setting(declaration.layers, name)
            if layer is None or name in declaration.axes:
                continue
            try:
                compiled[name] = templates.inline(getattr(layer.fields, name), layer.place_in(name))
            except ProjectError as error:
                problems += error.problems
        if problems:
            raise ProjectError(problems)
        return compiled

    def action(self, values: tuple[Value, ...], model: Model, *, keep: bool) -> Action:
        """Return the action of one cell; raises ProjectError with all problems of the cell."""
        try:
            texts = self._rendered(values, model, self._texts_of)
            request = self._request(values, model, texts)
        except ProjectError as error:
            wrong = self._values_of.problems(values, model)
            raise ProjectError([*wrong, *(it for it in error.problems if it not in wrong)]) from None
        if (output := texts.get("output")) is None:
            output = default_path(self._stem, values)
        prompt, negative_prompt = request.prompt, request.negative_prompt
        fits = len(prompt) <= model.prompt_limit and len(negative_prompt) <= model.negative_prompt_limit
        fits = fits and first_control(prompt) is None and first_control(negative_prompt) is None
        if (fault := path_fault(output)) and self._has_default_path:
            marked = marked_path(self._stem, values, self._declaration.cell_name(values))
            if not path_fault(marked):
                output, fault = marked, None
        if not (prompt.strip() and fits) or fault:
            raise ProjectError(problems_of(self._declaration, request, model, output, values))
        if self._choosy and (refused := self._choosy.wrong_fields(request)):
            raise ProjectError(list(refusals(self._declaration, refused, values)))
        try:
            return _action((
                output, request.key, self._declaration, values, model, request.size, request.seed,
                request if keep and not self.is_escaped else self, None,
            ))  # fmt: skip
        except UnicodeEncodeError:
            claim = f"the prompt of {self._declaration.cell_name(values)} holds an unpaired surrogate"
            raise ProjectError([prompt_problem(self._declaration, claim, name="control-character")]) from None

    def sketch(self, values: tuple[Value, ...], model: Model) -> Action:
        """Return an action without a key, and with the path that the spec gives to the cell; raises ProjectError."""
        texts = self._rendered(values, model, [text for text in self._texts_of if text.name == "output"])
        output = texts["output"] if texts else default_path(self._stem, values)
        size = values[self._size_at].value if self._size_at is not None else self._values_of.size(values, model)
        seed = self._values_of.seed(values) if "seed" not in self._axes else values[self._axes.index("seed")].value
        return Action(output, "", self._declaration, values, model, size, seed, self)

    def request(self, values: tuple[Value, ...], model: Model) -> Request:
        """Return the request of a cell again, made of the same templates and data as the first time."""
        return self._request(values, model, self._rendered(values, model, self._request_texts))

    def earlier(self, values: tuple[Value, ...], model: Model) -> Request | None:
        """Return the request as earlier versions made it; None if that is the same one, or can't be made."""
        if not self.is_escaped:
            return None
        seen = self.seen(values, model)
        with self._owner.escaping(), contextlib.suppress(ProjectError):
            return self._request(values, model, {text.name: text.template.render(seen) for text in self._request_texts})
        return None

    def _request(self, values: tuple[Value, ...], model: Model, texts: Mapping[str, str]) -> Request:
        chosen: dict[str, Any] = {axis: values[number].value for axis, number in self._fields_at}
        negative = (
            tidied(chosen["negative_prompt"]) if "negative_prompt" in chosen else texts.get("negative_prompt", "")
        )
        extend, watermark = self._flags or self._flags_of(values)
        seed = chosen.get("seed", self._seed) if self._is_seed_fixed else self._values_of.seed(values)
        is_labelled = self._labelled or seed == RANDOM_SEED
        return _request_of((
            self._family, model.name, texts["prompt"], negative,
            chosen.get("size") or self._values_of.size(values, model), seed,
            chosen.get("prompt_extend", extend), chosen.get("watermark", watermark),
            self._declaration.cell_name(values) if is_labelled else "", self._values_of.parameters(model),
        ))  # fmt: skip

    def _flags_of(self, values: Sequence[Value]) -> tuple[bool, bool]:
        return self._values_of.flag("prompt_extend", values), self._values_of.flag("watermark", values)

    def seen(self, values: tuple[Value, ...], model: Model) -> dict[str, object]:
        """Return the values that the templates of a cell see, by name."""
        size = values[self._size_at].value if self._size_at is not None else self._values_of.size(values, model)
        seen = (self._by_canvas.get((model.name, size)) or self._seen_on_canvas(model, size)).copy()
        if not self._is_seed_fixed:
            seen["seed"] = self._values_of.seed(values)
        if seen["seed"] == RANDOM_SEED:  # no text can depend on it
            del seen["seed"]
        for axis, number in self._seen_at:
            seen[axis] = values[number].value
        return seen

    def prompt(self, seen: dict[str, object]) -> str:
        """Return the prompt for the values that its template sees; raises ProjectError."""
        return self._templates["prompt"].render(seen)

    def _rendered(self, values: tuple[Value, ...], model: Model, texts: Iterable[SharedText]) -> dict[str, str]:
        """Return the rendered texts by name; raises ProjectError with the problems of all templates."""
        rendered: dict[str, str] = {}
        problems: list[Problem] = []
        escaped = self._owner.escaped
        see = partial(self.seen, values, model)
        for text in texts:
            try:
                rendered[text.name] = text.of(values, see)
            except ProjectError as error:
                problems += error.problems
        if self._owner.escaped != escaped:
            self.is_escaped = True
        if problems:
            raise ProjectError(problems)
        return rendered

    def _seen_on_canvas(self, model: Model, size: Size) -> dict[str, object]:
        """Return the values that templates see in all cells of a model and a size."""
        canvas = {"model": model.name, "size": str(size), "width": size.width, "height": size.height,
                  "ratio": model.ratio(size)}  # fmt: skip
        return self._by_canvas.setdefault((model.name, size), {**self._values_of.base, "seed": self._seed, **canvas})


def _place_of(declaration: Declaration, keys: Keys, line: int, token: str) -> Place:
    return declaration.spec.source.place(keys)
