"""Field values: what the request fields of an image are in each cell, if no axis sets them.

A field that is a template, such as `size = "{{ row.size }}"`, sees the axes, the variables, and the names of spec and
image. Its text is validated as a written value would be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from qwenbuild import parameters
from qwenbuild.catalogue import DEFAULT_MODEL, Model
from qwenbuild.errors import ProjectError, WrongSettings
from qwenbuild.files.text import nfc
from qwenbuild.own_servers import Parametrised
from qwenbuild.problems import Place, Problem, did_you_mean, listing
from qwenbuild.request import RANDOM_SEED, SEED_MAX, Size, derived_seed

from . import layers
from .columns import model_of, size_of, toml
from .declaration import Declaration, Value
from .fields import RANDOM, is_template
from .shared_texts import SharedText
from .template import Templates

TEMPLATED = ("model", "size", "seed", "prompt_extend", "watermark")
"""Fields whose values are no texts, and that may be templates. A negative prompt is a template anyway."""

_NUMBER = re.compile(r"([0-9]{1,20})(?:\.0+)?", re.ASCII)  # a spreadsheet may write 42.0
_SIGN = re.compile(r"\s*([*xX×:])\s*")  # between the numbers of a size
_INSTEAD = {"model": DEFAULT_MODEL, "size": "1:1", "seed": "random", "prompt_extend": "false", "watermark": "false"}
_FLAGS = {"true": True, "false": False}


class FieldValues:
    """The fields of one image. `texts` are those that are templates, by name."""

    def __init__(
        self, declaration: Declaration, templates: Templates, parametrised: Parametrised | None = None
    ) -> None:
        """`parametrised` is the provider, if it has parameters. Raises ProjectError if a template can't be compiled."""
        self._declaration, self._parametrised = declaration, parametrised
        self._written = {name: declaration.setting(name) for name in TEMPLATED if name not in declaration.axes}
        self.texts: dict[str, SharedText] = {}
        problems: list[Problem] = []
        for name, written in self._written.items():
            layer = layers.setting(declaration.layers, name)
            if layer and is_template(written):
                try:
                    template = templates.inline(written, layer.place_in(name))
                    self.texts[name] = SharedText(name, template, declaration, {})
                except ProjectError as error:
                    problems += error.problems
        if problems:
            raise ProjectError(problems)
        self._base = layers.variables(declaration.layers)
        self._base |= {"spec": declaration.spec.name, "image": declaration.image_name}
        self._seen_at = [(nfc(axis), number) for number, axis in enumerate(declaration.axes)]
        self._sizes: dict[str, Size] = {}  # as written, by the model's name
        self._parameters: dict[str, str] = {}  # by the model's name
        self._checked: dict[tuple[str, str, str], Any] = {}  # by field, text and the model's name
        seed = self._written.get("seed")
        self._seed = derived_seed(declaration.name) if seed is None else RANDOM_SEED if seed == RANDOM else seed

    @property
    def base(self) -> Mapping[str, object]:
        """What the templates of all cells see: variables, and the names of spec and image."""
        return self._base

    @property
    def model_axes(self) -> Sequence[int] | None:
        """The numbers of the axes that choose the model; None: all."""
        return self.texts["model"].axes if "model" in self.texts else ()

    def model(self, values: Sequence[Value]) -> Model:
        """Return the model of a cell, if a template chooses it. Raises ProjectError."""
        found: Model = self._of_cell("model", values, "", self._as_model)
        return found

    def size(self, values: Sequence[Value], model: Model) -> Size:
        """Return the size of a cell whose size no axis sets. Raises ProjectError."""
        if "size" in self.texts:
            found: Size = self._of_cell("size", values, model.name, partial(self._as_size, model=model))
            return found
        if model.name not in self._sizes:
            text = self._written.get("size")
            self._sizes[model.name] = model.default_size if text is None else self._as_size(text, model)
        return self._sizes[model.name]

    def seed(self, values: Sequence[Value]) -> int:
        """Return the seed of a cell whose seed no axis sets; `RANDOM_SEED` for one to be drawn. Raises ProjectError."""
        return self._of_cell("seed", values, "", self._as_seed) if "seed" in self.texts else self._seed

    def flag(self, name: str, values: Sequence[Value]) -> bool:
        """Return `prompt_extend` or `watermark` of a cell, if no axis sets it. Raises ProjectError."""
        if name in self.texts:
            return bool(self._of_cell(name, values, "", partial(self._as_flag, name)))
        return self._written.get(name) or False

    def parameters(self, model: Model) -> str:
        """Return the vendor parameters of the cells with a model, as a request has them. Raises ProjectError."""
        if (text := self._parameters.get(model.name)) is None:
            own = self._parametrised.parameters if self._parametrised else {}
            table = {**own, **layers.parameters(self._declaration.layers, model)}
            if fault := parameters.size_fault(table):
                claim = f"the parameters of {self._declaration.name}, with those of all places: {fault}"
                raise ProjectError([Problem(claim, self._declaration.place("parameters"), name="value-too-long")])
            if problems := list(self._wrong_parameters(table, model)):
                raise ProjectError(problems)
            text = self._parameters[model.name] = parameters.as_text(self._checked_by_provider(table))
        return text

    def _wrong_parameters(self, table: Mapping[str, Any], model: Model) -> Iterator[Problem]:
        """Yield a problem for each vendor parameter with a value that the model is known not to take."""
        for name, value in table.items():
            known = model.parameter_values.get(name, [value])
            if not any(type(it) is type(value) and it == value for it in known):
                place = self._place_of_parameter(name)
                expected = f"expected {listing(map(toml, known))}"
                near = did_you_mean(str(value), [it for it in known if isinstance(it, str)])
                yield Problem(
                    f"{model.name} does not take {name} = {toml(value)}",
                    place,
                    expected,
                    hint=near,
                    name="parameter-not-taken",
                )

    def _checked_by_provider(self, table: Mapping[str, Any]) -> Mapping[str, Any]:
        if not self._parametrised:
            return table
        try:
            return self._parametrised.checked_parameters(table)
        except WrongSettings as wrong:
            found = [(self._place_of_parameter(name), it) for name, error in wrong.faults for it in error.problems]
            raise ProjectError([replace(it, place=place) for place, it in found]) from None

    def _place_of_parameter(self, name: str) -> Place:
        where = next((it for it in self._declaration.layers if name in it.fields.parameters), None)
        return where.place("parameters", name) if where else self._declaration.place()

    def problems(self, values: Sequence[Value], model: Model) -> list[Problem]:
        """Return the problems of all fields of a cell that are templates."""
        found: list[Problem] = []
        checks: Mapping[str, Callable[[], object]] = {
            "size": partial(self.size, values, model),
            "seed": partial(self.seed, values),
            **{name: partial(self.flag, name, values) for name in ("prompt_extend", "watermark")},
        }
        for name, check in checks.items():
            if name not in self.texts:
                continue
            try:
                check()
            except ProjectError as error:
                found += error.problems
        return found

    def _of_cell(self, name: str, values: Sequence[Value], model: str, check: Callable[[str], Any]) -> Any:
        text = self.texts[name].of(values, partial(self._seen, values))
        at = name, text, model
        if at not in self._checked:
            self._checked[at] = check(text)
        return self._checked[at]

    def _seen(self, values: Sequence[Value]) -> dict[str, object]:
        """Return what the templates of fields see. A size is a text, since only the model gives a ratio a size."""
        return {**self._base, **{
            axis: str(value) if isinstance(value := values[number].value, Size) else value
            for axis, number in self._seen_at
        }}  # fmt: skip

    def _as_model(self, text: str) -> Model:
        wrong = partial(self._wrong, "model", f'unknown model "{text}"', text, name="unknown-model")
        return model_of(text, self._declaration.catalogue, wrong)

    def _as_size(self, text: str, model: Model) -> Size:
        return size_of(
            _SIGN.sub(r"\1", text), model, partial(self._wrong, "size", f'size "{text}"', text, name="size-not-offered")
        )

    def _as_seed(self, text: str) -> int:
        if (number := _NUMBER.fullmatch(text)) and int(number[1]) <= SEED_MAX:
            return int(number[1])
        if text == RANDOM:
            return RANDOM_SEED
        raise self._wrong(
            "seed", f'seed "{text}"', text, f'a whole number from 0 to {SEED_MAX}, or "random"', name="wrong-seed"
        )

    def _as_flag(self, name: str, text: str) -> bool:
        if text.lower() in _FLAGS:  # spreadsheets write TRUE
            return _FLAGS[text.lower()]
        raise self._wrong(name, f'{name} "{text}"', text, "true or false", name="wrong-type")

    def _wrong(self, field: str, claim: str, text: str, reason: str, *, name: str) -> ProjectError:
        hint = None
        if field == "seed" and text == "-1":  # many tools' sign for a random seed
            hint = "\"random\" draws one: seed = \"{{ 'random' if … == '-1' else … }}\""
        elif not text:
            hint = f"a default for empty cells: {field} = \"{{{{ … or '{_INSTEAD[field]}' }}}}\""
        return ProjectError([Problem(claim, self._declaration.place_of(field), reason, hint=hint, name=name)])
