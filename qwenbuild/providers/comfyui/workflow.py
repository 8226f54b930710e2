"""Workflows: reads a workflow of ComfyUI in API form, finds its holes, and fills them.

A workflow is a table of nodes by id. A node has a class and inputs; an input is a value, or a link such as `["4", 0]`
to an output of another node. A hole is an input whose whole value is a text such as `"$prompt"`.

Invariant: a workflow that `read` returns has the holes that every workflow needs, and all its links lead to nodes.

Source: ComfyUI's documentation, "Workflow API format" of 2026-10, and its `execution.py` of 2026-11.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from qwenbuild.digest import canonical_json, sha256
from qwenbuild.errors import ProjectError, UsageError
from qwenbuild.files.text import line_of, read_text
from qwenbuild.problems import Place, Problem, did_you_mean, listing

MAX_BYTES: Final = 8 * 2**20
"""The most bytes of a workflow's file. Large ones have some hundred nodes, and a few hundred kilobytes."""

FIELDS: Final = ("prompt", "negative_prompt", "seed", "width", "height", "model")
"""The holes that qwenbuild fills from a request's own fields. Every other hole takes a parameter of that name."""

NEEDED: Final = ("prompt", "seed")
"""The holes that a workflow must have: without them, all images would be the same."""

EXPORT: Final = "in ComfyUI's editor, choose File > Export (API), and save that file here"

_HOLE: Final = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)
_INSIDE: Final = re.compile(rf"\$(?:{'|'.join(FIELDS)})(?![A-Za-z0-9_])", re.ASCII)
_LIKELY: Final = {  # names of inputs that workflows of public repositories have
    "prompt": ("text", "prompt", "positive", "positive_prompt", "clip_l", "t5xxl", "text_g", "text_l", "value"),
    "seed": ("seed", "noise_seed", "rand_seed"),
}
_DEEPEST: Final = 50  # lists and tables within each other in the value of an input
_DIGITS: Final = 32  # of a digest: nobody finds two workflows with one digest, and a plan shows both in a line
_MOST_SHOWN: Final = 3
_LONGEST_SHOWN: Final = 60  # characters of a value


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow as its file has it. `digest` covers classes and inputs, with the holes unfilled: they make pixels."""

    nodes: Mapping[str, Mapping[str, Any]] = field(repr=False)
    digest: str
    holes: Sequence[str]  # the names, without the sign, in the order of the file

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the nodes with a value in each hole. `values` has one for each of `holes`."""
        return {
            number: {**node, "inputs": {name: _filled(value, values) for name, value in node["inputs"].items()}}
            for number, node in self.nodes.items()
        }

    def is_filled(self, number: str, name: str) -> bool:
        """Return whether an input of a node has a hole. An input without a name may have one."""
        return not name or any(map(is_hole, _texts(self.nodes.get(number, {}).get("inputs", {}).get(name))))

    def node(self, number: str) -> str:
        """Return a node as messages name it, such as `node 9 (SaveImage)`."""
        kind = self.nodes.get(number, {}).get("class_type")
        return f"node {number} ({kind})" if kind else f"node {number}"


def find(root: Path, written: str) -> Path:
    """Return the path of a workflow's file below the project's folder `root`; the file may be missing.

    Raises UsageError if it lies elsewhere, also through a link: a stranger's project must not send your files.
    """
    hint = "a workflow is part of the project: copy it into the repository"
    try:
        path, real_root = root / os.path.normpath(written), os.path.realpath(root)
        # A way out and in again leads elsewhere on a worker, where the project's folder has another name.
        is_out = os.path.isabs(written) or Path(os.path.normpath(written)).parts[:1] == ("..",)
        is_inside = not is_out and Path(os.path.realpath(path)).is_relative_to(real_root)
    except (OSError, ValueError):  # NUL, or a name that no file can have
        raise UsageError(
            f'"{written}" is not the path of a file', hint='such as "workflows/poster.json"', name="outside-project"
        ) from None
    if not is_inside:
        raise UsageError(f"{written} lies outside the project", hint=hint, name="outside-project")
    return path


def read(path: Path, shown: str) -> Workflow:
    """Return the workflow in a file; `shown` names the file in messages. Raises ProjectError with all mistakes."""
    text = read_text(path, shown, MAX_BYTES)
    try:
        return _read(text, shown)
    except RecursionError:
        raise ProjectError(
            [Problem(f"{shown} can't be read: it is nested too deep", Place(shown), name="workflow-form")]
        ) from None
    except UnicodeEncodeError:
        raise ProjectError(
            [Problem(f"{shown} holds an unpaired surrogate", Place(shown), hint=EXPORT, name="workflow-form")]
        ) from None
    except ValueError as error:  # a number that is infinite, or has thousands of digits
        raise ProjectError([Problem(f"{shown} can't be read: {error}", Place(shown), name="workflow-form")]) from None


def _read(text: str, shown: str) -> Workflow:
    place = partial(_place, text, shown)
    nodes = _parsed(text, shown)
    _check_form(nodes, shown)
    if problems := list(_wrong_nodes(nodes, place)):
        raise ProjectError(problems)
    holes: list[str] = []
    for number, node in nodes.items():
        for name, value in _values(node["inputs"]):
            if (hole := _HOLE.fullmatch(value)) is not None:
                holes.append(hole[1])
            elif (inside := _INSIDE.search(value)) is not None:
                problems.append(_partial_hole(number, node, name, inside[0], place))
    found = tuple(dict.fromkeys(holes))
    problems += [_missing(name, found, nodes, shown, place) for name in NEEDED if name not in found]
    if problems:
        raise ProjectError(problems)
    pixels = {number: {"class_type": it["class_type"], "inputs": it["inputs"]} for number, it in nodes.items()}
    return Workflow(nodes, sha256(canonical_json(pixels))[:_DIGITS], found)


def _parsed(text: str, shown: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        place = Place(shown, error.lineno, error.colno, 1, line_of(text, error.lineno))
        raise ProjectError(
            [Problem(f"{shown} is not JSON: {error.msg}", place, hint=EXPORT, name="workflow-form")]
        ) from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _check_form(nodes: Any, shown: str) -> None:
    """Raise ProjectError if the file holds something else than nodes by id."""
    claim, facts, hint = f"{shown} is not a workflow in API form", ["expected: nodes by id"], EXPORT
    if isinstance(nodes, dict) and nodes and all(map(_looks_like_a_node, nodes.values())):
        return
    if isinstance(nodes, dict):
        if isinstance(nodes.get("nodes"), list) and ("links" in nodes or "last_node_id" in nodes):
            claim = f"{shown} is a workflow in the editor's own form, which no server runs"
            facts = ['found: "nodes" and "links", as the editor saves them']
        else:
            within = [name for name in ("prompt", "workflow", "output") if _is_workflow(nodes.get(name))]
            if within:
                facts = [f'found: a whole request; the workflow stands in it at "{within[0]}"']
                hint = f'keep only what stands at "{within[0]}"'
            elif odd := [name for name, node in nodes.items() if not _looks_like_a_node(node)]:
                facts = [f"no node: {listing(map(repr, odd), most=_MOST_SHOWN)}"]
    raise ProjectError([Problem(claim, Place(shown), facts=facts, hint=hint, name="workflow-form")])


def _is_workflow(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(_looks_like_a_node, value.values()))


def _looks_like_a_node(node: object) -> bool:
    return isinstance(node, dict) and "class_type" in node


def _wrong_nodes(nodes: Mapping[str, Any], place: Any) -> Iterator[Problem]:
    for number, node in nodes.items():
        kind, inputs = node["class_type"], node.get("inputs")
        if not isinstance(kind, str) or not kind or not isinstance(inputs, dict):
            yield Problem(
                f"node {number} has no class or no inputs", place(f'"{number}"'), hint=EXPORT, name="workflow-form"
            )
            continue
        for name, value in inputs.items():
            if _is_deep(value):
                claim = f"node {number} ({kind}): {name} is nested too deep"
                yield Problem(claim, place(f'"{number}"'), hint=EXPORT, name="workflow-form")
            if _is_link(value) and value[0] not in nodes:
                claim = f"node {number} ({kind}): {name} is a link to node {value[0]}, which is not in the workflow"
                yield Problem(
                    claim, place(f'"{number}"'), hint=did_you_mean(value[0], nodes) or EXPORT, name="workflow-form"
                )


def _is_deep(value: object) -> bool:
    """Return whether lists and tables stand within each other more than `_DEEPEST` times."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            part
            for it in level
            if isinstance(it, dict | list)
            for part in (it.values() if isinstance(it, dict) else it)
        ]
    return any(isinstance(it, dict | list) for it in level)


def _is_link(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int


def is_hole(value: str) -> bool:
    """Return whether a text is a hole."""
    return _HOLE.fullmatch(value) is not None


def _values(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each input that is a text, or that has texts within."""
    for name, value in inputs.items():
        if not _is_link(value):
            yield from ((name, text) for text in _texts(value))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        hole = _HOLE.fullmatch(value)
        return values[hole[1]] if hole else value
    if isinstance(value, dict):
        return {name: _filled(each, values) for name, each in value.items()}
    if isinstance(value, list) and not _is_link(value):
        return [_filled(each, values) for each in value]
    return value


def _place(text: str, shown: str, token: str) -> Place:
    """Return the place at which a token stands first; of the whole file if it is written with escapes."""
    if (at := text.find(token)) < 0:
        return Place(shown)
    line, start = text.count("\n", 0, at) + 1, text.rfind("\n", 0, at) + 1
    return Place(shown, line, at - start + 1, len(token), line_of(text, line))


def _partial_hole(number: str, node: Mapping[str, Any], name: str, hole: str, place: Any) -> Problem:
    return Problem(
        f'a hole is a whole value, but "{hole}" stands inside a longer text',
        place(hole),
        facts=[f"node {number} ({node['class_type']}): {name}"],
        hint=f'write only "{hole}" there, and the other words into the prompts of your specs',
        name="workflow-hole",
    )


def _short(value: object) -> object:
    is_long = isinstance(value, str) and len(value) > _LONGEST_SHOWN
    return f"{str(value)[:_LONGEST_SHOWN]}…" if is_long else value


def _missing(hole: str, found: Sequence[str], nodes: Mapping[str, Any], shown: str, place: Any) -> Problem:
    """Return the problem that a needed hole is missing, with the nearest one or with where it may belong."""
    claim = f'the workflow has no "${hole}"'
    if near := next((name for name in found if name not in FIELDS and did_you_mean(name, [hole])), None):
        return Problem(claim, place(f'"${near}"'), f'did you mean "${hole}"?', name="workflow-hole")
    wanted: type[object] = str if hole == "prompt" else int
    likely = [
        f"node {number} ({node['class_type']}): {name} = {_short(value)!r}"
        for number, node in nodes.items()
        for name, value in node["inputs"].items()
        if name in _LIKELY[hole] and type(value) is wanted and not (isinstance(value, str) and is_hole(value))
    ]
    hint = f'write "${hole}" in place of the value that each image should have of its own'
    return Problem(
        claim, Place(shown), facts=[f"perhaps {it}" for it in likely[:_MOST_SHOWN]], hint=hint, name="workflow-hole"
    )
