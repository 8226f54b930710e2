"""Diagnosis: the checks of `doctor` for the servers, and for the nodes and files that the workflow needs there.

Invariant: nothing is queued, and nothing is changed at a server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from qwenbuild.errors import QwenbuildError
from qwenbuild.finding import Finding, Level
from qwenbuild.problems import Problem, did_you_mean

from ..addresses import Address
from .client import Client
from .fleet import facts_of
from .workflow import Workflow, is_hole

_PATIENCE_S: Final = 15.0  # longest wait for one server
_MOST: Final = 10  # facts of a finding
_SUBJECT: Final = "comfyui"


async def diagnose(
    addresses: Sequence[Address], workflow: Workflow | None, problems: Sequence[Problem], *, is_own: bool
) -> Sequence[Finding]:
    """Return findings about the workflow's file, and about each server.

    `problems` are those of the file. A problem has the level FAIL only if the project renders here.
    """
    level = Level.FAIL if is_own else Level.WARN
    found = [Finding(_SUBJECT, level, it.claim, _facts(it), it.hint, it.name) for it in problems]
    for findings in await asyncio.gather(*(_server(address, workflow, level) for address in addresses)):
        found += findings
    return found


def _facts(problem: Problem) -> tuple[str, ...]:
    return (*([f"at {problem.place}"] if problem.place else []), *problem.facts)


async def _server(address: Address, workflow: Workflow | None, level: Level) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(_PATIENCE_S), Client(address) as client:
            facts = facts_of(await client.get("/system_stats"))
            nodes = await client.get("/object_info") if workflow else {}
    except TimeoutError:
        return [
            Finding(_SUBJECT, level, f"{address.origin} did not answer within {_PATIENCE_S:g} s", name="unreachable")
        ]
    except QwenbuildError as error:
        return [Finding.of_error(_SUBJECT, error, level)]
    answers = Finding(_SUBJECT, Level.OK, f"{address.origin} answers", tuple(f"{k}: {v}" for k, v in facts.items()))
    return [answers, *(_compared(address, workflow, nodes, level) if workflow else [])]


def _compared(address: Address, workflow: Workflow, known: Mapping[str, Any], level: Level) -> Iterator[Finding]:
    """Yield what of a workflow a server lacks; `known` are its nodes by class."""
    kinds = {number: str(node["class_type"]) for number, node in workflow.nodes.items()}
    lacking = [workflow.node(number) for number, kind in kinds.items() if kind not in known]
    if lacking:
        hint = "install the custom nodes, such as with ComfyUI-Manager, or update ComfyUI"
        yield Finding(
            _SUBJECT, level, f"{address.origin} lacks nodes of the workflow", _shown(lacking), hint, "comfyui-lacks"
        )
    values = list(_unknown_values(workflow, known))
    if values:
        claim = f"{address.origin} does not know values of the workflow"
        hint = "copy the model files to the server, or choose others in the workflow"
        yield Finding(_SUBJECT, level, claim, _shown(values), hint, "comfyui-lacks")
    if not (lacking or values):
        yield Finding(_SUBJECT, Level.OK, f"{address.origin} has all {len(kinds)} nodes of the workflow")


def _unknown_values(workflow: Workflow, known: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values that are in no list of the server's, such as names of model files."""
    for number, node in workflow.nodes.items():
        about = known.get(node["class_type"])
        stated = about.get("input") if isinstance(about, dict) else None
        for name, value in node["inputs"].items():
            choices = _choices(stated, name)
            if choices and isinstance(value, str) and not is_hole(value) and value not in choices:
                near = did_you_mean(value, [it for it in choices if isinstance(it, str)])
                yield f'{workflow.node(number)}: {name} = "{value}"{f"; {near}" if near else ""}'


def _choices(stated: object, name: str) -> Sequence[object]:
    """Return the values that an input of a node can have; empty if any, or if nobody knows."""
    for kind in ("required", "optional"):
        table = stated.get(kind) if isinstance(stated, dict) else None
        spec = table.get(name) if isinstance(table, dict) else None
        if not isinstance(spec, list) or not spec:
            continue
        choices = spec[0]
        if choices == "COMBO" and len(spec) > 1 and isinstance(spec[1], dict):  # as newer nodes write it
            choices = spec[1].get("options")
        if isinstance(choices, list) and all(isinstance(it, str | int | float) for it in choices):
            return choices
    return ()


def _shown(facts: Sequence[str]) -> tuple[str, ...]:
    over = len(facts) - _MOST
    return (*facts[:_MOST], f"and {over} more") if over > 0 else tuple(facts)
