"""Expansion: turns each cell of each matrix into an action with request, key and output path.

Expansion is pure: the same files give the same actions in the same order. The problems of all specs are collected
before anything is paid for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from qwenbuild.catalogue import Catalogue, Model
from qwenbuild.errors import Findings, ProjectError
from qwenbuild.files.paths import path_fault
from qwenbuild.files.text import nfc
from qwenbuild.files.toml_positions import Keys
from qwenbuild.problems import Place, Problem
from qwenbuild.request import Request, Size, derived_seed

from .action import Action
from .control_characters import first_control, named
from .declared_names import FIELDS
from .matrix import Cells, Declaration, Value, size_of
from .output_paths import Recorded, default_path, has_default_path, marked_path, settled
from .row_places import RowPlaces
from .template import Template, Templates, tidied

_CANVAS = frozenset({"model", "size", "width", "height", "ratio"})  # names that depend on the model or the size

_WORTH_SHARING = 200  # cells; for fewer, rendering is faster than finding out what a template reads


def expand(
    catalogue: Catalogue,
    templates: Templates,
    declarations: Collection[Declaration],
    family: str,
    labelled: bool,
    recorded: Recorded,
    findings: Findings,
) -> list[Action]:
    """Return the actions of all declarations. Problems go into `findings`.

    `family` and `labelled` are attributes of the provider. `recorded` is that of `settled`.
    """
    actions = [
        action
        for declaration in declarations
        for action in cells(catalogue, templates, declaration, family, labelled, findings)
    ]
    return settled(actions, recorded, findings)


def cells(
    catalogue: Catalogue,
    templates: Templates,
    declaration: Declaration,
    family: str,
    labelled: bool,
    findings: Findings,
    *,
    keep: bool = False,
) -> Iterator[Action]:
    """Yield the actions of one declaration. Problems go into `findings`.

    With `keep`, actions hold their requests. Otherwise they make a request again each time that it is read.
    """
    try:
        expander, places = _Expander(templates, declaration, family, labelled), RowPlaces(declaration)
        for values, model in Cells(declaration, catalogue):
            try:
                yield expander.action(values, model, keep=keep)
            except ProjectError as error:
                findings.add(error.problems, declaration.name, declaration.cell_name(values), places.of(values))
    except ProjectError as error:
        findings.add(error.problems, declaration.name)


def prompts(
    catalogue: Catalogue, templates: Templates, declaration: Declaration, wanted: Collection[tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], str, set[str]]]:
    """Yield (labels, prompt, names that the template saw) of each cell whose labels are in `wanted`.

    `templates` render the prompts. Raises ProjectError if a prompt can't be rendered.
    """
    expander = _Expander(templates, declaration, "", labelled=False)
    for values, model in Cells(declaration, catalogue):
        labels = tuple([value.label for value in values])
        if labels in wanted:
            seen = expander.seen(values, model)
            yield labels, expander.prompt(seen), set(seen)


# These make the same objects as the classes, from a tuple of all fields. They take a third of the time, which
# matters for a plan of 1,000,000 cells.
_action, _request_of = partial(tuple.__new__, Action), partial(tuple.__new__, Request)


class _Text(NamedTuple):
    """A template of an image, and the texts that it rendered so far."""

    name: str  # prompt, negative_prompt or output
    template: Template
    axes: Sequence[int] | None  # the numbers of the axes that it reads; None: all
    known: dict[tuple[int, ...], str]  # the texts; a key holds the `id()` of the value of each of these axes


class _Expander:
    """Makes the actions of one image."""

    def __init__(self, templates: Templates, declaration: Declaration, family: str, labelled: bool) -> None:
        self._declaration = declaration
        self._family, self._labelled, self._owner = family, labelled, templates
        self.is_escaped = False  # whether a text of the image would have been escaped for HTML by earlier versions
        image, file = declaration.image, declaration.spec.content
        self._base = {nfc(name): value for name, value in {**file.vars, **image.vars}.items()}
        self._base |= {"spec": declaration.spec.name, "image": declaration.image_name}
        self._axes = tuple(declaration.axes)
        self._prompt_keys: Keys = (*declaration.keys, "prompt" if image.prompt is not None else "template")
        self._fields = {
            name: getattr(image, name) if getattr(image, name) is not None else getattr(file, name) for name in FIELDS
        }
        self._templates = self._compiled(templates)
        self._texts_of = [
            _Text(name, template, self._axes_read(template), {}) for name, template in self._templates.items()
        ]
        self._request_texts = [text for text in self._texts_of if text.name != "output"]
        self._sizes: dict[str, Size] = {}
        self._by_canvas: dict[tuple[str, Size], dict[str, object]] = {}
        # The numbers of the axes that set a field of the request, and of those whose values templates see unchanged.
        self._size_at = self._axes.index("size") if "size" in self._axes else None
        self._fields_at = [(axis, number) for number, axis in enumerate(self._axes) if axis in FIELDS]
        self._seen_at = [(nfc(axis), number) for number, axis in enumerate(self._axes) if axis not in _CANVAS]
        self._has_default_path = has_default_path(declaration)
        self._stem = declaration.name  # kept here, because the property builds a new text at each access
        seed = self._fields["seed"]
        self._base["seed"] = self._seed = derived_seed(declaration.name) if seed is None else seed
        self._prompt_extend = self._fields["prompt_extend"] or False
        self._watermark = self._fields["watermark"] or False

    def _keys_of(self, name: str) -> Keys:
        """Return the keys that set a field: those of the image, else those at the top of the file."""
        return (*self._declaration.keys, name) if getattr(self._declaration.image, name) is not None else (name,)

    def _compiled(self, templates: Templates) -> dict[str, Template]:
        """Return the templates of `prompt`, `negative_prompt` and `output`, as far as they are set."""
        declaration = self._declaration
        compiled: dict[str, Template] = {}
        problems: list[Problem] = []
        for name in ("prompt", "negative_prompt", "output"):
            keys = self._prompt_keys if name == "prompt" else self._keys_of(name)
            text = getattr(declaration.image if len(keys) > 1 else declaration.spec.content, str(keys[-1]))
            if text is None or name in declaration.axes:
                continue
            try:
                if keys[-1] == "template":
                    compiled[name] = templates.named(text, partial(_place_of, declaration, keys))
                else:
                    compiled[name] = templates.inline(text, partial(declaration.spec.source.place_in, keys))
            except ProjectError as error:
                problems += error.problems
        if problems:
            raise ProjectError(problems)
        return compiled

    def action(self, values: tuple[Value, ...], model: Model, *, keep: bool) -> Action:
        """Return the action of one cell; raises ProjectError with all problems of the cell."""
        texts = self._rendered(values, model, self._texts_of)
        request = self._request(values, model, texts)
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
            raise ProjectError(self._problems(request, model, output, self._declaration.cell_name(values)))
        try:
            return _action((
                output, request.key, self._declaration, values, model, request.size, request.seed,
                request if keep and not self.is_escaped else self, None,
            ))  # fmt: skip
        except UnicodeEncodeError:
            claim = f"the prompt of {self._declaration.cell_name(values)} holds an unpaired surrogate"
            raise ProjectError([self._prompt_problem(claim)]) from None

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
        return _request_of((
            self._family, model.name, texts["prompt"], negative, chosen.get("size") or self._size(model),
            chosen.get("seed", self._seed), chosen.get("prompt_extend", self._prompt_extend),
            chosen.get("watermark", self._watermark), self._declaration.cell_name(values) if self._labelled else "",
        ))  # fmt: skip

    def seen(self, values: tuple[Value, ...], model: Model) -> dict[str, object]:
        """Return the values that the templates of a cell see, by name."""
        size = values[self._size_at].value if self._size_at is not None else self._size(model)
        seen = (self._by_canvas.get((model.name, size)) or self._seen_on_canvas(model, size)).copy()
        for axis, number in self._seen_at:
            seen[axis] = values[number].value
        return seen

    def prompt(self, seen: dict[str, object]) -> str:
        """Return the prompt for the values that its template sees; raises ProjectError."""
        return self._templates["prompt"].render(seen)

    def _rendered(self, values: tuple[Value, ...], model: Model, texts: Iterable[_Text]) -> dict[str, str]:
        """Return the rendered texts by name; raises ProjectError with the problems of all templates.

        Cells with the same values for the axes that a template reads share one text.
        """
        rendered: dict[str, str] = {}
        problems: list[Problem] = []
        escaped = self._owner.escaped
        for name, template, axes, known in texts:
            try:
                if axes is None:
                    rendered[name] = template.render(self.seen(values, model))
                    continue
                # The key holds identities, because a row of an `include` may have the label of another row. They stay
                # unique, because the values live longer than this object.
                at = tuple([id(values[number]) for number in axes])
                if at not in known:
                    known[at] = template.render(self.seen(values, model))
                rendered[name] = known[at]
            except ProjectError as error:
                problems += error.problems
        if self._owner.escaped != escaped:
            self.is_escaped = True
        if problems:
            raise ProjectError(problems)
        return rendered

    def _axes_read(self, template: Template) -> list[int] | None:
        """Return the numbers of the axes that a template's text can depend on; None if they may be all axes."""
        reads = template.reads() if self._declaration.cells >= _WORTH_SHARING else None
        if reads is None:
            return None
        if reads & _CANVAS:  # a ratio such as 16:9 means another size for another model
            reads |= {"model", "size"}
        found = [number for number, axis in enumerate(self._declaration.axes) if nfc(axis) in reads]
        return found if len(found) < len(self._declaration.axes) else None

    def _seen_on_canvas(self, model: Model, size: Size) -> dict[str, object]:
        """Return the values that templates see in all cells of a model and a size."""
        canvas = {"model": model.name, "size": str(size), "width": size.width, "height": size.height,
                  "ratio": model.ratio(size)}  # fmt: skip
        return self._by_canvas.setdefault((model.name, size), {**self._base, **canvas})

    def _size(self, model: Model) -> Size:
        if model.name not in self._sizes:
            text = self._fields["size"]
            keys = self._keys_of("size")

            def wrong(reason: str) -> ProjectError:
                return ProjectError([Problem(f'size "{text}"', self._declaration.spec.source.place(keys), reason)])

            self._sizes[model.name] = model.default_size if text is None else size_of(text, model, wrong)
        return self._sizes[model.name]

    def _problems(self, request: Request, model: Model, output: str, name: str) -> list[Problem]:
        """Return what the service would cut or refuse in a request, and what is wrong with the output path."""
        found: list[Problem] = []
        if not request.prompt.strip():
            found.append(self._prompt_problem(f"the prompt of {name} is empty"))
        if (at := first_control(request.prompt)) is not None:
            claim, before = f"the prompt of {name} holds {named(request.prompt[at])}", request.prompt[:at]
            found.append(self._prompt_problem(claim, f"it is character {at + 1} of the prompt, after: {before[-30:]}"))
        if (at := first_control(request.negative_prompt)) is not None:
            claim = f"the negative prompt of {name} holds {named(request.negative_prompt[at])}"
            found.append(Problem(claim, self._declaration.spec.source.place(self._keys_of("negative_prompt"))))
        over = len(request.prompt) - model.prompt_limit
        if over > 0:
            claim = f"the prompt of {name} is {_too_long(over)}"
            found.append(self._prompt_problem(claim, _is_cut(len(request.prompt), model.prompt_limit, model)))
        over = len(request.negative_prompt) - model.negative_prompt_limit
        if over > 0:
            inline = "negative_prompt" in self._templates
            keys = (
                self._keys_of("negative_prompt") if inline else (*self._declaration.keys, "matrix", "negative_prompt")
            )
            claim = f"the negative prompt of {name} is {_too_long(over)}"
            facts = [_is_cut(len(request.negative_prompt), model.negative_prompt_limit, model)]
            found.append(Problem(claim, self._declaration.spec.source.place(keys), facts=facts))
        if fault := path_fault(output):
            keys = self._keys_of("output") if "output" in self._templates else self._declaration.keys
            facts = [f"path: {output}", f"cell: {name}"]
            found.append(
                Problem(f"not an output path: {fault}", self._declaration.spec.source.place(keys), facts=facts)
            )
        return found

    def _prompt_problem(self, claim: str, *facts: str) -> Problem:
        return Problem(claim, self._declaration.spec.source.place(self._prompt_keys), facts=facts)


def _place_of(declaration: Declaration, keys: Keys, line: int, token: str) -> Place:
    return declaration.spec.source.place(keys)


def _too_long(over: int) -> str:
    return f"{over:,} character{'s' * (over > 1)} too long"


def _is_cut(length: int, limit: int, model: Model) -> str:
    return f"it has {length:,}; {model.name} takes {limit:,} and cuts the rest silently"
