"""Holes: which values fill the holes of a workflow, and what has no hole, or no value.

Nothing is left out without a word: a value for which the workflow has no hole is refused before anything is sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from qwenbuild.errors import UsageError
from qwenbuild.problems import did_you_mean, listing
from qwenbuild.request import Request

from .workflow import FIELDS, Workflow

OWN: Final = ("workflow", "output_node")
"""The parameters of a request that follow from the provider's settings, and fill no hole."""

_NAME: Final = "workflow-hole"


def values_of(request: Request) -> dict[str, Any]:
    """Return the value of each hole that a request fills, by the hole's name."""
    parameters = json.loads(request.parameters) if request.parameters else {}
    fields = {name: getattr(request, name) for name in ("prompt", "negative_prompt", "seed", "model")}
    return {**parameters, **fields, "width": request.size.width, "height": request.size.height}


def wrong_parameters(
    workflow: Workflow, shown: str, own: Mapping[str, Any], table: Mapping[str, Any]
) -> Iterator[tuple[str, UsageError]]:
    """Yield a name and what is wrong with it, for the parameters `table` of a request.

    Each parameter fills a hole, and each hole gets a value. `own` are those that follow from the settings; `shown`
    names the workflow's file.
    """
    holes = [hole for hole in workflow.holes if hole not in FIELDS]
    for name, value in table.items():
        if name in OWN:
            if value != own.get(name):
                hint = f"write {name} under [providers.comfyui]"
                yield name, UsageError(f"an image can't choose its {name}", hint=hint, name=_NAME)
        elif name not in holes:
            hint = did_you_mean(name, holes) or f'write "${name}" in {shown}, in place of the value'
            facts = [f"holes that take parameters: {listing(holes) or 'none'}"]
            yield name, UsageError(f'the workflow has no "${name}"', facts=facts, hint=hint, name=_NAME)
        elif not isinstance(value, str | int | float):
            hint = "a hole takes a text, a number, true or false"
            yield name, UsageError(f'"${name}" can\'t be filled with a table or a list', hint=hint, name=_NAME)
    for hole in holes:
        if hole not in table:
            near = did_you_mean(hole, [*FIELDS, *(it for it in table if it not in (*OWN, *holes))])
            hint = near or f"write parameters = {{ {hole} = … }} in the image, or under [defaults]"
            yield hole, UsageError(f'nothing fills "${hole}" in {shown}', hint=hint, name=_NAME)


def wrong_fields(workflow: Workflow, shown: str, request: Request, no_model: str) -> Iterator[tuple[str, UsageError]]:
    """Yield a field of a request and what is wrong with it. `no_model` is the model of images that name none."""
    if request.negative_prompt and "negative_prompt" not in workflow.holes:
        hint = f'write "$negative_prompt" in {shown}, or leave the negative prompt out'
        yield "negative_prompt", UsageError('the workflow has no "$negative_prompt"', hint=hint, name=_NAME)
    if request.model == no_model and "model" in workflow.holes:
        hint = 'model = "…" in the image, at the top of the spec, or under [defaults]'
        yield "model", UsageError(f'nothing fills "$model" in {shown}', hint=hint, name=_NAME)
    for name in ("prompt_extend", "watermark"):
        if getattr(request, name):
            yield name, UsageError(f"a workflow has no {name}", hint=f"{name} = false", name=_NAME)
