"""Cell problems: what the service would cut or refuse in the request of a cell, and what is wrong with its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from qwenbuild.catalogue import Model
from qwenbuild.errors import UsageError
from qwenbuild.files.paths import path_fault
from qwenbuild.files.toml_positions import Keys
from qwenbuild.problems import Problem
from qwenbuild.request import Request

from .control_characters import first_control, named
from .declaration import Declaration, Value


def problems_of(
    declaration: Declaration, request: Request, model: Model, output: str, values: Sequence[Value]
) -> list[Problem]:
    """Return what is wrong with the request and the output path of a cell."""
    found: list[Problem] = []
    name = declaration.cell_name(values)
    if not request.prompt.strip():
        found.append(prompt_problem(declaration, f"the prompt of {name} is empty", name="empty-prompt"))
    if (at := first_control(request.prompt)) is not None:
        claim, before = f"the prompt of {name} holds {named(request.prompt[at])}", request.prompt[:at]
        fact = f"it is character {at + 1} of the prompt, after: {before[-30:]}"
        found.append(prompt_problem(declaration, claim, fact, name="control-character"))
    if (at := first_control(request.negative_prompt)) is not None:
        claim = f"the negative prompt of {name} holds {named(request.negative_prompt[at])}"
        found.append(Problem(claim, declaration.place_of("negative_prompt"), name="control-character"))
    over = len(request.prompt) - model.prompt_limit
    if over > 0:
        claim = f"the prompt of {name} is {_too_long(over)}"
        cut = _is_cut(len(request.prompt), model.prompt_limit, model)
        found.append(prompt_problem(declaration, claim, cut, name="prompt-too-long"))
    over = len(request.negative_prompt) - model.negative_prompt_limit
    if over > 0:
        claim = f"the negative prompt of {name} is {_too_long(over)}"
        facts = [_is_cut(len(request.negative_prompt), model.negative_prompt_limit, model)]
        found.append(Problem(claim, declaration.place_of("negative_prompt"), facts=facts, name="prompt-too-long"))
    if fault := path_fault(output):
        facts = [f"path: {output}", f"cell: {name}"]
        found.append(
            Problem(
                f"not an output path: {fault}", declaration.place_of("output"), facts=facts, name="wrong-output-path"
            )
        )
    return found


def refusals(declaration: Declaration, refused: Mapping[str, UsageError], values: Sequence[Value]) -> Iterator[Problem]:
    """Yield what the provider has against the request of a cell; `refused` are the errors by field."""
    cell = f"cell: {declaration.cell_name(values)}"
    for field, error in refused.items():
        place = declaration.spec.source.place(prompt_keys(declaration))
        place = place if field == "prompt" else declaration.place_of(field)
        yield Problem(error.claim, place, facts=[*error.facts, cell], hint=error.hint, name=error.name)


def prompt_keys(declaration: Declaration) -> Keys:
    """Return the keys of the prompt or of the template's name in the spec."""
    return (*declaration.keys, "prompt" if declaration.image.prompt is not None else "template")


def prompt_problem(declaration: Declaration, claim: str, *facts: str, name: str) -> Problem:
    """Return a problem of a prompt, with the name of its error, at the place of the prompt in the spec."""
    return Problem(claim, declaration.spec.source.place(prompt_keys(declaration)), facts=facts, name=name)


def _too_long(over: int) -> str:
    return f"{over:,} character{'s' * (over > 1)} too long"


def _is_cut(length: int, limit: int, model: Model) -> str:
    return f"it has {length:,}; {model.name} takes {limit:,} and cuts the rest silently"
