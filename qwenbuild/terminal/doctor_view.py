"""The view of `doctor`: findings about the environment, and how many need attention."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click

from qwenbuild.finding import Finding, Level
from qwenbuild.problems import visible

from .style import PROBLEM_STYLES, more_about, styled

_STYLES: dict[Level, dict[str, Any]] = {
    Level.OK: {"fg": "green"},
    Level.WARN: {"fg": "yellow"},
    Level.FAIL: {"fg": "red", "bold": True},
}
_INDENT = " " * 17  # below the claim


def show(findings: Iterable[Finding], *, as_json: bool) -> int:
    """Write each finding as soon as it is made, then the counts; return the exit code, 1 if something must be fixed."""
    counts: Counter[Level] = Counter()
    names: list[str] = []
    for finding in findings:
        counts[finding.level] += 1
        name = "" if finding.level is Level.OK else finding.name
        names.append(name)
        if as_json:
            table = {"event": "finding", **asdict(finding)}
            if not name:
                del table["name"]
            click.echo(json.dumps(table, ensure_ascii=False))
        else:
            _show(finding)
    failures, warnings = counts[Level.FAIL], counts[Level.WARN]
    if as_json:
        click.echo(json.dumps({"event": "examined", **{level.value: counts[level] for level in Level}}))
    else:
        more = f", {warnings} to look at" if warnings else ""
        click.echo(f"{failures or 'nothing'} to fix{more}")
        if line := more_about(names, sys.stdout):
            click.echo(line)
    return 1 if failures else 0


def _show(finding: Finding) -> None:
    level = finding.level
    word = styled("FAIL" if level is Level.FAIL else f"{level:>4}", sys.stdout, **_STYLES[level])
    click.echo(f"{word}  {finding.subject:<9}  {visible(finding.claim)}")
    for fact in finding.facts:
        click.echo(f"{_INDENT}{styled(visible(fact), sys.stdout, dim=True)}")
    if finding.hint:
        click.echo(f"{_INDENT}{styled('hint: ' + visible(finding.hint), sys.stdout, **PROBLEM_STYLES['hint'])}")
