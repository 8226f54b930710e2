"""The view of `explain-error`: what there is to say about an error, and the lists of all names."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import click

from qwenbuild.error_entries import GROUPS, Entry, of_group

from .screen import cut, hanging, width
from .style import PROBLEM_STYLES, styled

_WIDEST = 100  # columns of a text, also in a pipe: longer lines are hard to read
_LONGEST = 30  # lines of a text, on a narrow terminal


def show(found: Sequence[Entry]) -> None:
    """Write entries to standard output: why the error happens, and what to do."""
    for number, entry in enumerate(found):
        click.echo("\n" * bool(number) + "\n".join(_lines(entry)))


def show_groups(groups: Sequence[str]) -> None:
    """Write the names of each group with their titles, and how to go on."""
    for group in groups:
        click.echo("\n".join(_of_group(group)))
        click.echo()
    more = "`qwenbuild explain-error NAME` says why an error happens and what to do"
    if len(groups) > 1:
        more += f"; `qwenbuild explain-error {groups[0]}` lists one group"
    click.echo(styled(more, sys.stdout, dim=True))


def _lines(entry: Entry) -> Iterator[str]:
    room = min(width(sys.stdout) or _WIDEST, _WIDEST)
    yield f"{styled(entry.name, sys.stdout, bold=True)}: {entry.title}"
    yield ""
    yield from hanging("why", entry.cause, room, most=_LONGEST)
    yield ""
    for number, step in enumerate(entry.remedy, start=1):
        text = step if len(entry.remedy) == 1 else f"{number}. {step}"
        yield from hanging("remedy" if number == 1 else "", text, room, most=_LONGEST)
    for number, line in enumerate(entry.example.split("\n") if entry.example else ()):
        if not number:
            yield ""
        yield f"{'' if number else 'example':>10}  {styled(line, sys.stdout, **PROBLEM_STYLES['hint'])}".rstrip()


def _of_group(group: str) -> Iterator[str]:
    room = width(sys.stdout)
    found = of_group(group)
    longest = max(len(entry.name) for entry in found)
    yield f"{styled(GROUPS[group], sys.stdout, bold=True)} ({group})"
    for entry in found:
        yield cut(f"  {entry.name:<{longest}}  {entry.title}", room)
