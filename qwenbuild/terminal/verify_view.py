"""The view of `verify`: how the output folder differs from the lock."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import click

from qwenbuild.plan.lacking import after_verify
from qwenbuild.problems import visible
from qwenbuild.storage.verify import Fault, Mismatch

from .style import label, outputs, warnings, write

_MOST_LISTED = 1000  # files of one kind


def show(
    pinned: int, mismatches: Sequence[Mismatch], strangers: Sequence[str], *, as_json: bool, emulated: int = 0
) -> None:
    """Write the mismatches, the paths of images that no pin names (`strangers`), and a summary.

    `pinned` is the number of outputs that the lock pins; `emulated` of them are images of an emulator.
    """
    if as_json:
        _show_json(pinned, mismatches, strangers, emulated)
        return
    _list([(it.fault, it.pin.path) for it in mismatches])
    _list([("unlocked", path) for path in strangers])
    if mismatches:
        hint = "`qwenbuild build` brings back what is missing"
        if any(mismatch.fault is Fault.DIFFERS for mismatch in mismatches):
            hint += ", `build --overwrite` also what differs"
        click.echo(f"{len(mismatches):,} of {outputs(pinned)} are not what the lock pins; {hint}")
        faults = Counter([mismatch.fault for mismatch in mismatches])
        if faults[Fault.ABSENT] or faults[Fault.POINTER]:
            warnings([after_verify(faults[Fault.POINTER])])
    else:
        click.echo(f"all {pinned:,} outputs are what the lock pins")
    if emulated:
        click.echo(f"emulated images among them: {emulated:,}; a build at the service replaces them")


def _list(lines: Sequence[tuple[str, str]]) -> None:
    """Write the first lines, and the number of all others: a folder may hold any number of files."""
    write(f"{label(word)}  {visible(path)}" for word, path in lines[:_MOST_LISTED])
    if len(lines) > _MOST_LISTED:
        click.echo(f"{'…':>10}  {len(lines) - _MOST_LISTED:,} more; `verify --json` lists all")


def _show_json(pinned: int, mismatches: Sequence[Mismatch], strangers: Sequence[str], emulated: int) -> None:
    for mismatch in mismatches:
        pin = mismatch.pin
        table = {"event": "mismatch", "path": pin.path, "name": pin.name, "fault": mismatch.fault.value}
        click.echo(json.dumps({**table, "pinned": pin.image}, ensure_ascii=False))
    for path in strangers:
        click.echo(json.dumps({"event": "stranger", "path": path}, ensure_ascii=False))
    counts = {"pinned": pinned, "mismatches": len(mismatches), "strangers": len(strangers), "emulated": emulated}
    click.echo(json.dumps({"event": "verified", **counts}))
