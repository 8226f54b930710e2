"""What a person reads: problems, plans, status, provenance, tasks; on a terminal or in a pipe.

Colour is off in pipes and where NO_COLOR is set. Names and prompts are shown through `visible`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from qwenbuild.problems import visible

from .style import (
    OUTCOME_STYLES,
    PROBLEM_STYLES,
    byte_size,
    label,
    outputs,
    styled,
)

if TYPE_CHECKING:
    from qwenbuild.finding import Finding
    from qwenbuild.provider import ServiceTask
    from qwenbuild.request import Submission
    from qwenbuild.storage.gc import Collected, Collection
    from qwenbuild.storage.verify import Mismatch


def show_provenance(provenance: Mapping[str, Any]) -> None:
    """Write an image's provenance as aligned facts, the prompt last."""
    request = provenance.get("request")
    fields: dict[str, Any] = dict(request) if isinstance(request, Mapping) else {}
    prompt = fields.pop("prompt", "")
    rest = {key: value for key, value in provenance.items() if key not in ("request", "generator")}
    facts = {**fields, **rest}
    width = max((len(str(name)) for name in facts), default=0)
    for name, value in facts.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if text:
            shown = styled(f"{visible(str(name)).replace('_', ' '):>{width}}", sys.stdout, dim=True)
            click.echo(f"{shown}  {visible(text)}")
    click.echo()
    click.echo(visible(str(prompt), keep="\n"))


def show_garbage(planned: Collection, done: Collected | None) -> None:
    """Write what a collection of garbage would remove, or removed, and what is left."""
    if done is None:
        for removal in planned.removals:
            what = removal.key[:12] or "stray file"
            click.echo(f"{byte_size(removal.bytes_freed):>10}  {what:<12}  {visible(removal.why)}")
        would = (
            f"would remove {planned.entries:,} images, {byte_size(planned.bytes_freed)}; " if planned.removals else ""
        )
        click.echo(f"{would}{planned.kept_entries:,} images, {byte_size(planned.kept_bytes)} are kept")
    else:
        left = planned.kept_entries + planned.entries - done.entries
        left_bytes = planned.kept_bytes + planned.bytes_freed - done.bytes_freed
        click.echo(f"removed {done.entries:,} images, {byte_size(done.bytes_freed)}")
        click.echo(f"{left:,} images, {byte_size(left_bytes)} are left")
    if planned.spared:
        click.echo(f"{planned.spared:,} that projects still use are among them; --used would remove these too")


def show_findings(findings: Iterable[Finding], *, as_json: bool) -> int:
    """Write what `doctor` finds, as it is found, and a count; return 1 where something must be fixed, else 0."""
    counts = {"ok": 0, "warn": 0, "fail": 0}
    styles: dict[str, dict[str, Any]] = {
        "ok": {"fg": "green"},
        "warn": {"fg": "yellow"},
        "fail": OUTCOME_STYLES["failed"],
    }
    for finding in findings:
        level = finding.level.value
        counts[level] += 1
        if as_json:
            click.echo(json.dumps({"event": "finding", **asdict(finding)}, ensure_ascii=False))
            continue
        word = styled("FAIL" if level == "fail" else f"{level:>4}", sys.stdout, **styles[level])
        click.echo(f"{word}  {finding.subject:<9}  {visible(finding.claim)}")
        for fact in finding.facts:
            click.echo(f"{'':>17}{styled(visible(fact), sys.stdout, dim=True)}")
        if finding.hint:
            click.echo(f"{'':>17}{styled('hint: ' + visible(finding.hint), sys.stdout, **PROBLEM_STYLES['hint'])}")
    if as_json:
        click.echo(json.dumps({"event": "examined", **counts}))
    else:
        warnings = f", {counts['warn']} to look at" if counts["warn"] else ""
        click.echo(f"{counts['fail'] or 'nothing'} to fix{warnings}")
    return min(1, counts["fail"])


def show_tasks(in_flight: Sequence[Submission], tasks: Iterable[ServiceTask], *, whole: bool, as_json: bool) -> None:
    """Write the account's tasks, marking those of the project's submissions in flight; where `whole`, these first."""
    mine = {submission.handle for submission in in_flight if submission.handle}
    in_flight = in_flight if whole else ()
    if as_json:
        for submission in in_flight:
            table = {"event": "in_flight", "key": submission.key, "handle": submission.handle.partition(":")[0],
                     "intended_at_s": submission.intended_at_s, "prompt": submission.request.prompt}  # fmt: skip
            click.echo(json.dumps(table, ensure_ascii=False))
        for task in tasks:
            table = {"event": "task", "id": task.id, "status": task.status, "model": task.model,
                     "created_at_s": task.created_at_s, "ours": task.handle in mine}  # fmt: skip
            click.echo(json.dumps(table, ensure_ascii=False))
        return
    for submission in in_flight:
        what = "to collect" if submission.handle else "unknown"
        when = datetime.fromtimestamp(submission.intended_at_s).astimezone().isoformat(" ", "seconds")
        request, most = submission.request, 50
        prompt = request.prompt if len(request.prompt) <= most else f"{request.prompt[:most].rstrip()}…"
        click.echo(f"{what:>10}  {when}  {request.size} seed {request.seed}  {visible(prompt)}")
    for task in tasks:
        when = (
            ""
            if task.created_at_s is None
            else datetime.fromtimestamp(task.created_at_s).astimezone().isoformat(" ", "seconds")
        )
        ours = "  this project's" if task.handle in mine else ""
        click.echo(f"{visible(task.status):>10}  {when:<25}  {visible(task.id)}  {visible(task.model)}{ours}")
    if not in_flight and not tasks:
        click.echo("nothing is in flight")


def show_verified(pinned: int, mismatches: Sequence[Mismatch], strangers: Sequence[str], *, as_json: bool) -> None:
    """Write how the output folder differs from the lock."""
    if as_json:
        for it in mismatches:
            table = {"event": "mismatch", "path": it.pin.path, "name": it.pin.name, "fault": it.fault.value}
            click.echo(json.dumps({**table, "pinned": it.pin.image}, ensure_ascii=False))
        for path in strangers:
            click.echo(json.dumps({"event": "stranger", "path": path}, ensure_ascii=False))
        counts = {"pinned": pinned, "mismatches": len(mismatches), "strangers": len(strangers)}
        click.echo(json.dumps({"event": "verified", **counts}))
        return
    for it in mismatches:
        click.echo(f"{label(it.fault)}  {visible(it.pin.path)}")
    for path in strangers:
        click.echo(f"{label('unlocked')}  {visible(path)}")
    if mismatches:
        mend = "`qwenbuild build` brings back what is missing"
        if any(it.fault is it.fault.DIFFERS for it in mismatches):
            mend += ", `build --overwrite` also what differs"
        click.echo(f"{len(mismatches):,} of {outputs(pinned)} are not what the lock pins; {mend}")
    else:
        click.echo(f"all {pinned:,} outputs are what the lock pins")
