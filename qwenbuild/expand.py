"""Specs become actions: every cell of every matrix as one concrete request with a key and an output path.

Expansion is pure: the same files give the same actions in the same order. Every problem of every
spec is collected before anything is spent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .catalogue import Catalogue, Model
from .errors import Findings, Problem, ProjectError
from .matrix import Cells, Declaration, Value, size_of
from .names import cell_name, clash_key, path_fault
from .request import Request, Size, derived_seed
from .spec import FIELDS
from .template import Template, Templates
from .tomlfile import Keys


class Action(NamedTuple):
    """One output to be: its request, the request's key, its path under out/, and its cell."""

    output: str
    key: str
    request: Request
    declaration: Declaration
    labels: tuple[str, ...]  # of the axes, in the order of the matrix

    @property
    def name(self) -> str:
        """The cell's name, such as `puppies/poster[seed=1,size=1328x1328]`."""
        return cell_name(self.declaration.name, dict(zip(self.declaration.axes, self.labels, strict=True)))

    @property
    def cell(self) -> dict[str, str]:
        """The label of each axis."""
        return dict(zip(self.declaration.axes, self.labels, strict=True))


def expand(
    catalogue: Catalogue,
    templates: Templates,
    declarations: Iterable[Declaration],
    family: str,
    labelled: bool,
    findings: Findings,
) -> list[Action]:
    """Return the actions of all declarations; problems go into `findings`.

    `family` and `labelled` are the provider's.
    """
    actions: list[Action] = []
    for declaration in declarations:
        try:
            expander = _Expander(templates, declaration, family, labelled)
            for cell in Cells(declaration, catalogue):
                try:
                    actions.append(expander.action(cell))
                except ProjectError as error:
                    findings.add(error.problems, declaration.name)
        except ProjectError as error:
            findings.add(error.problems)
    findings.add(_clashes(actions))
    return actions


class _Expander:
    """Makes the actions of one image."""

    def __init__(self, templates: Templates, declaration: Declaration, family: str, labelled: bool) -> None:
        self._it = declaration
        self._family, self._labelled = family, labelled
        image, file = declaration.image, declaration.spec.content
        self._base = {**file.vars, **image.vars, "spec": declaration.spec.name, "image": declaration.image_name}
        self._prompt_keys: Keys = (*declaration.keys, "prompt" if image.prompt is not None else "template")
        if image.template is not None:
            source, keys = declaration.spec.source, self._prompt_keys
            self._prompt = templates.named(image.template, lambda line, token: source.place(keys))
        else:
            self._prompt = self._inline(templates, self._prompt_keys, image.prompt or "")
        self._fields = {
            name: getattr(image, name) if getattr(image, name) is not None else getattr(file, name) for name in FIELDS
        }
        self._negative = self._maybe_inline(templates, "negative_prompt")
        self._output = self._maybe_inline(templates, "output")
        self._sizes: dict[str, Size] = {}
        self._canvases: dict[tuple[str, Size], dict[str, object]] = {}
        self._stem = f"{declaration.spec.name}/"
        seed = self._fields["seed"]
        self._seed = derived_seed(declaration.name) if seed is None else seed
        self._prompt_extend = self._fields["prompt_extend"] or False
        self._watermark = self._fields["watermark"] or False

    def _keys_of(self, name: str) -> Keys:
        """Return where a field is set: in the image, else at the top of the file."""
        return (*self._it.keys, name) if getattr(self._it.image, name) is not None else (name,)

    def _maybe_inline(self, templates: Templates, name: str) -> Template | None:
        keys = self._keys_of(name)
        text = getattr(self._it.image if len(keys) > 1 else self._it.spec.content, name)
        return None if text is None else self._inline(templates, keys, text)

    def _inline(self, templates: Templates, keys: Keys, text: str) -> Template:
        source = self._it.spec.source
        return templates.inline(text, lambda line, token: source.place_in(keys, line, token))

    def action(self, cell: tuple[tuple[Value, ...], Model]) -> Action:
        """Return the action of one cell; raises ProjectError."""
        items, model = cell
        chosen = {axis: item.value for axis, item in zip(self._it.axes, items, strict=True)}
        size = chosen.get("size") or self._size(model)
        seed = chosen.get("seed", self._seed)
        canvas = self._canvases.get((model.name, size)) or self._canvas(model, size)
        values = {**self._base, **chosen, **canvas, "seed": seed}
        prompt = self._prompt.render(values)
        if "negative_prompt" in chosen:
            negative = chosen["negative_prompt"].strip()
        else:
            negative = self._negative.render(values) if self._negative else ""
        request = Request(
            self._family, model.name, prompt, negative, size, seed,
            chosen.get("prompt_extend", self._prompt_extend), chosen.get("watermark", self._watermark),
        )  # fmt: skip
        labels = tuple([item.label for item in items])
        if self._labelled:
            request = request._replace(label=self._name(labels))
        self._check(request, model, labels)
        output = self._output.render(values) if self._output else self._stem + "-".join(
            [self._it.image_name, *(item.path_part for item in items)]
        ) + ".png"  # fmt: skip
        if fault := path_fault(output):
            facts = [f"path: {output}", f"cell: {self._name(labels)}"]
            place = self._it.spec.source.place(self._keys_of("output") if self._output else self._it.keys)
            raise ProjectError([Problem(f"not an output path: {fault}", place, facts=facts)])
        try:
            return Action(output, request.key, request, self._it, labels)
        except UnicodeEncodeError:
            raise self._prompt_problem(f"the prompt of {self._name(labels)} holds an unpaired surrogate") from None

    def _name(self, labels: Sequence[str]) -> str:
        return cell_name(self._it.name, dict(zip(self._it.axes, labels, strict=True)))

    def _canvas(self, model: Model, size: Size) -> dict[str, object]:
        """Return what templates see of a model and a size."""
        canvas = {"model": model.name, "size": str(size), "width": size.width, "height": size.height,
                  "ratio": model.ratio(size)}  # fmt: skip
        return self._canvases.setdefault((model.name, size), canvas)

    def _size(self, model: Model) -> Size:
        if model.name not in self._sizes:
            text = self._fields["size"]
            keys = self._keys_of("size")

            def wrong(reason: str) -> ProjectError:
                return ProjectError([Problem(f'size "{text}"', self._it.spec.source.place(keys), reason)])

            self._sizes[model.name] = model.default_size if text is None else size_of(text, model, wrong)
        return self._sizes[model.name]

    def _check(self, request: Request, model: Model, labels: Sequence[str]) -> None:
        """Refuse what the service would cut or refuse, before anything is spent."""
        if not request.prompt:
            raise self._prompt_problem(f"the prompt of {self._name(labels)} is empty")
        over = len(request.prompt) - model.prompt_limit
        if over > 0:
            name = self._name(labels)
            raise self._prompt_problem(
                f"the prompt of {name} is {over:,} character{'s' * (over > 1)} too long",
                f"it has {len(request.prompt):,}; {model.name} takes {model.prompt_limit:,} and cuts the rest silently",
            )
        over = len(request.negative_prompt) - model.negative_prompt_limit
        if over > 0:
            name = self._name(labels)
            limit = model.negative_prompt_limit
            keys = self._keys_of("negative_prompt") if self._negative else (*self._it.keys, "matrix", "negative_prompt")
            raise ProjectError([
                Problem(
                    f"the negative prompt of {name} is {over:,} character{'s' * (over > 1)} too long",
                    self._it.spec.source.place(keys),
                    facts=[f"it has {limit + over:,}; {model.name} takes {limit:,} and cuts the rest silently"],
                )
            ])  # fmt: skip

    def _prompt_problem(self, claim: str, *facts: str) -> ProjectError:
        place = self._it.spec.source.place(self._prompt_keys)
        return ProjectError([Problem(claim, place, facts=facts)])


def _clashes(actions: Iterable[Action]) -> list[Problem]:
    """Return a problem for each two cells whose outputs are one path, or where one is a folder of the other."""
    problems = []
    owners: dict[str, Action] = {}
    folders: dict[str, Action] = {}
    for action in actions:
        path = clash_key(action.output)
        other = owners.get(path) or folders.get(path)
        parent = path.rpartition("/")[0]
        while not other and parent:
            other = owners.get(parent)
            parent = parent.rpartition("/")[0]
        if other:
            it = action.declaration
            keys = (*it.keys, "output") if it.image.output is not None else it.keys
            same = (
                "the same output"
                if other.output == action.output
                else "outputs that some file systems can't tell apart"
            )
            if clash_key(other.output) != path:
                same = "outputs of which one is a folder of the other"
            problems.append(
                Problem(
                    f"two cells have {same}: {action.output}",
                    it.spec.source.place(keys),
                    facts=[other.name, action.name],
                    hint="name what tells them apart in `output`",
                )
            )
            continue
        owners[path] = action
        parent = path.rpartition("/")[0]
        while parent and parent not in folders:
            folders[parent] = action
            parent = parent.rpartition("/")[0]
    return problems
