"""Cell problems: what the service would cut or refuse in the request of a cell, and what is wrong with its path."""

from __future__ import annotations

from collections.abc import Sequence

from qwenbuild.catalogue import Model
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
        found.append(prompt_problem(declaration, f"the prompt of {name} is empty"))
    if (at := first_control(request.prompt)) is not None:
        claim, before = f"the prompt of {name} holds {named(request.prompt[at])}", request.prompt[:at]
        fact = f"it is character {at + 1} of the prompt, after: {before[-30:]}"
        found.append(prompt_problem(declaration, claim, fact))
    if (at := first_control(request.negative_prompt)) is not None:
        claim = f"the negative prompt of {name} holds {named(request.negative_prompt[at])}"
        found.append(Problem(claim, declaration.place_of("negative_prompt")))
    over = len(request.prompt) - model.prompt_limit
    if over > 0:
        claim = f"the prompt of {name} is {_too_long(over)}"
        found.append(prompt_problem(declaration, claim, _is_cut(len(request.prompt), model.prompt_limit, model)))
    over = len(request.negative_prompt) - model.negative_prompt_limit
    if over > 0:
        claim = f"the negative prompt of {name} is {_too_long(over)}"
        facts = [_is_cut(len(request.negative_prompt), model.negative_prompt_limit, model)]
        found.append(Problem(claim, declaration.place_of("negative_prompt"), facts=facts))
    if fault := path_fault(output):
        facts = [f"path: {output}", f"cell: {name}"]
        found.append(Problem(f"not an output path: {fault}", declaration.place_of("output"), facts=facts))
    return found


def prompt_keys(declaration: Declaration) -> Keys:
    """Return the keys of the prompt or of the template's name in the spec."""
    return (*declaration.keys, "prompt" if declaration.image.prompt is not None else "template")


def prompt_problem(declaration: Declaration, claim: str, *facts: str) -> Problem:
    """Return a problem of a prompt, at the place of the prompt in the spec."""
    return Problem(claim, declaration.spec.source.place(prompt_keys(declaration)), facts=facts)


def _too_long(over: int) -> str:
    return f"{over:,} character{'s' * (over > 1)} too long"


def _is_cut(length: int, limit: int, model: Model) -> str:
    return f"it has {length:,}; {model.name} takes {limit:,} and cuts the rest silently"
