"""The view of `ls`: outputs as a table on a terminal, as paths in a pipe, or as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from qwenbuild.plan.plan import Plan, Step, Verdict
from qwenbuild.problems import visible

from . import screen
from .style import label, outputs, write


def show(plan: Plan, out: Path, *, as_json: bool, null: bool) -> None:
    """Write the plan's outputs; `out` is the output folder as paths begin with it.

    A table has all outputs. Paths are those of files that are there, so that other programs can read them. Standard
    error says how many are not there.
    """
    if as_json:
        write(json.dumps(_output_dict(step, plan, out), ensure_ascii=False) for step in plan.steps)
    elif sys.stdout.isatty() and not null:
        write(_rows(plan, out))
    else:
        there = [os.path.join(out, step.action.output) for step in plan.steps if step.seen is not None]
        if null:
            sys.stdout.buffer.write(b"".join(os.fsencode(path) + b"\0" for path in there))
            sys.stdout.buffer.flush()
        else:
            write(there)
        if lack := len(plan.steps) - len(there):
            click.echo(f"{outputs(lack)} {'has' if lack == 1 else 'have'} no file yet", err=True)


def _rows(plan: Plan, out: Path) -> Iterator[str]:
    width = screen.width(sys.stdout)
    facts = [(str(step.action.size), _seed(step)) for step in plan.steps]
    size, seed = (max((len(row[at]) for row in facts), default=0) for at in (0, 1))
    for step, (its_size, its_seed) in zip(plan.steps, facts, strict=True):
        room = None if width is None else max(width - size - seed - 16, 20)
        name = screen.shortened(visible(os.path.join(out, step.action.output)), room)
        yield f"{label(step.verdict)}  {its_size:>{size}}  {its_seed:>{seed}}  {name}"


def _seed(step: Step) -> str:
    return "random" if step.action.is_seed_random else str(step.action.seed)


def _output_dict(step: Step, plan: Plan, out: Path) -> dict[str, Any]:
    action, record = step.action, plan.records.get(step.action.output)
    known = step.adopted or (record.image if record else "")
    return {
        "event": "output", "name": action.name, "path": action.output, "file": os.path.join(out, action.output),
        "exists": step.seen is not None, "verdict": step.verdict.value, "model": action.model.name,
        "size": str(action.size), "seed": None if action.is_seed_random else action.seed, "key": action.key,
        "image": known if known and step.verdict is Verdict.UP_TO_DATE else None,
    }  # fmt: skip
