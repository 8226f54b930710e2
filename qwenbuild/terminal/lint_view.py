"""The view of `lint`: what each rule found, as code frames, or as JSON."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from qwenbuild.specs.lint_rules import Remark

from .style import more_about, warning_lines, write

_MOST = 3  # remarks of a plan


def show(remarks: Sequence[Remark], *, as_json: bool) -> None:
    """Write the remarks to standard output, and how many there are of each rule."""
    counts = Counter(remark.rule for remark in remarks)
    if as_json:
        write(json.dumps(as_dict(remark), ensure_ascii=False) for remark in remarks)
        click.echo(json.dumps({"event": "linted", "findings": len(remarks), "rules": dict(counts)}))
        return
    write(line for it in remarks for line in (*warning_lines(it.problem, it.rule, sys.stdout), ""))
    many = ", ".join(f"{count:,} {rule}" for rule, count in counts.items())
    click.echo(f"{len(remarks):,} found: {many}" if remarks else "nothing found")
    if line := more_about(counts, sys.stdout):
        click.echo(line)


def show_first(remarks: Sequence[Remark]) -> int:
    """Write the first remarks of a plan to standard error as short warnings, and how many more; return the lines."""
    lines = []
    for remark in remarks[:_MOST]:
        place = remark.problem.place
        short = replace(remark.problem, place=place and replace(place, source=""), facts=(), label="")
        lines += warning_lines(short)
    if len(remarks) > _MOST:
        lines.append(f"{'…':>10}  {len(remarks) - _MOST:,} more: `qwenbuild lint`")
    for line in lines:
        click.echo(line, err=True)
    return len(lines)


def as_dict(remark: Remark) -> dict[str, Any]:
    """Return a remark as `lint --json` prints it."""
    problem, place = remark.problem, remark.problem.place
    where = {"path": place.path, "line": place.line, "column": place.column} if place else {}
    table = {"event": "finding", "rule": remark.rule, "claim": problem.claim, **where}
    return {**table, "facts": [*problem.facts], "hint": problem.hint}
