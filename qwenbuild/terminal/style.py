"""The words, units and colours that all views share.

Colour is used only on a terminal, and never if NO_COLOR is set.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import click

from qwenbuild.noop_answers import coloured as coloured
from qwenbuild.noop_answers import local_time as local_time
from qwenbuild.problems import Problem, listing, visible

from .screen import width, wrapped

if TYPE_CHECKING:
    from qwenbuild.events import Delayed

OUTCOME_STYLES: dict[str, dict[str, Any]] = {
    "rendered": {"fg": "green"},
    "render": {"fg": "green"},
    "restored": {"fg": "cyan"},
    "restore": {"fg": "cyan"},
    "reattached": {"fg": "cyan"},
    "reattach": {"fg": "cyan"},
    "submitted": {"fg": "cyan"},
    "failed": {"fg": "red", "bold": True},
    "edited": {"fg": "yellow"},
    "unknown": {"fg": "magenta", "bold": True},
    "missing": {"fg": "magenta", "bold": True},
    "differs": {"fg": "red", "bold": True},
    "pointer": {"fg": "yellow"},
    "unlocked": {"dim": True},
    "added": {"fg": "green"},
    "changed": {"fg": "cyan"},
    "repinned": {"fg": "cyan"},
    "dropped": {"fg": "yellow"},
    "orphan": {"fg": "yellow"},
    "approved": {"fg": "green"},
    "new": {"fg": "yellow"},
    "skipped": {"dim": True},
    "up_to_date": {"dim": True},
}
"""click styles of verdicts, outcomes, faults and kinds of change."""

PROBLEM_STYLES: dict[str, dict[str, Any]] = {
    "error": {"bold": True},
    "place": {"fg": "blue"},
    "gutter": {"fg": "blue"},
    "caret": {"fg": "red", "bold": True},
    "hint": {"fg": "cyan"},
}
"""click styles of a problem's lines, by role."""

VERDICT_WORDS = {
    "render": "to render", "restore": "to restore", "reattach": "to collect", "edited": "edited",
    "unknown": "unknown", "missing": "missing", "failed": "failed", "up_to_date": "up to date", "orphans": "orphans",
}  # fmt: skip
"""The words beside a plan's counts, in the order in which they are shown."""

_BATCH = 500  # lines in one write
_MOST_NAMES = 5  # of cells that failed for one reason
_MOST_TOLD = 3  # names of errors
_LONGEST = 9  # lines of the terminal for one claim, fact or hint
_MOST_SAID = 300  # characters of what a service says in a line that changes in place


def styled(text: str, stream: IO[Any], **styles: Any) -> str:
    """Return `text` with click's `styles` if `stream` may be coloured, else unchanged."""
    return click.style(text, **styles) if styles and coloured(stream) else text


def label(word: str, stream: IO[Any] | None = None, width: int = 10) -> str:
    """Return a verdict or an outcome in its colour, right-aligned in `width` columns; `stream` defaults to stdout."""
    stream = stream or sys.stdout
    return styled(f"{word.replace('_', ' '):>{width}}", stream, **OUTCOME_STYLES.get(word, {}))


def problems(found: Iterable[Problem]) -> None:
    """Write problems to standard error as code frames, their number if there are several, and how to learn more."""
    found, stream = list(found), sys.stderr
    for problem in found:
        for role, text in problem.lines():
            if role == "error":
                head, claim = text.split(" ", 1)
                text = f"{styled(head, stream, fg='red', bold=True)} {styled(claim, stream, bold=True)}"
            else:
                text = styled(text, stream, **PROBLEM_STYLES.get(role, {}))
            click.echo(text, err=True, color=coloured(stream))
        click.echo(err=True)
    if len(found) > 1:
        click.echo(styled(f"{len(found)} errors", stream, fg="red", bold=True), err=True, color=coloured(stream))
    if line := more_about((problem.name for problem in found), stream):
        click.echo(line, err=True)


def more_about(names: Iterable[str], stream: IO[Any] | None = None) -> str:
    """Return the line that says how to learn more about errors with these names; "" if none has one.

    It is dim if `stream` may be coloured, and plain without a stream.
    """
    known = list(dict.fromkeys(filter(None, names)))
    if not known:
        return ""
    if len(known) == 1:
        line = f"`qwenbuild explain-error {known[0]}` says more about it"
    else:
        line = f"`qwenbuild explain-error NAME` says more about {listing(known, most=_MOST_TOLD)}"
    return styled(line, stream, dim=True) if stream else line


def warnings(found: Iterable[Problem]) -> int:
    """Write problems to standard error as warnings; return the number of lines."""
    lines = [line for problem in found for line in warning_lines(problem)]
    for line in lines:
        click.echo(line, err=True)
    return len(lines)


def warning_lines(problem: Problem, word: str = "warning", stream: IO[Any] | None = None) -> list[str]:
    """Return the lines that show a problem as a warning that begins with `word`; `stream` defaults to stderr.

    On a terminal, further lines of a claim, a fact or a hint are indented.
    """
    (_, claim), *rest = problem.lines()
    stream = stream or sys.stderr
    wide = width(stream)
    room = None if wide is None else max(wide - len(word) - 2, 20)
    claims = wrapped(claim.removeprefix("error: "), room, most=_LONGEST)
    lines = [f"{styled(f'{word}:', stream, fg='yellow', bold=True)} {claims[0]}"]
    lines += [f"{'':>{len(word)}}  {line}" for line in claims[1:]]
    for role, text in rest:
        parts = wrapped(text, room, most=_LONGEST) if role in ("fact", "hint") else [text]
        below = [parts[0], *(f"    {part}" for part in parts[1:])]
        lines += [styled(part, stream, **PROBLEM_STYLES.get(role, {})) for part in below]
    return lines


def money(amounts: Mapping[str, Decimal | str]) -> str:
    """Return amounts by currency such as `1.10 CNY`."""
    return " + ".join(f"{Decimal(amount):.2f} {currency}" for currency, amount in amounts.items())


def duration(seconds: float) -> str:
    """Return a time in a suitable unit: `0.08 s`, `42 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds >= 0.01 else "0.01 s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def rate(each_s: float) -> str:
    """Return how many are made in a second, or in a minute if they are fewer: `1.2/s`, `40/min`."""
    return f"{each_s:.1f}/s" if each_s >= 1 else f"{each_s * 60:.1f}/min"


def clock(at_s: float) -> str:
    """Return seconds since 1970 as local time of day with its offset: `14:05:00+01:00`."""
    return local_time(at_s).partition(" ")[2]


def waiting(delayed: Sequence[Delayed], now_s: float) -> str:
    """Return the line that says what is waited for at `now_s` (seconds since the epoch); "" if nothing is."""
    later = [event for event in delayed if event.again_at_s > now_s]
    if not later:
        return ""
    first = min(later, key=lambda event: event.again_at_s)
    what = visible(first.name) if len(later) == 1 else f"{len(later):,} images"
    reason = visible(later[-1].reason)
    reason = reason if len(reason) <= _MOST_SAID else f"{reason[:_MOST_SAID]}…"
    return f"{'waiting':>10}  {what}, tried again at {clock(first.again_at_s)}: {reason}"


def some_names(names: Sequence[str]) -> str:
    """Return the first names of cells, and how many others there are."""
    rest = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(visible, names[:_MOST_NAMES])) + rest


def without_ids(facts: Iterable[str]) -> tuple[str, ...]:
    """Return the facts of a failure without those that differ between two requests that failed for one reason."""
    return tuple(fact for fact in facts if not fact.startswith(("request id:", "task:")))


def byte_size(count: int) -> str:
    """Return a number of bytes in a suitable unit: `999 B`, `12.3 MB`."""
    amount, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def counted(counts: Mapping[str, int]) -> str:
    """Return a plan's counts in words: `3 to render, 5 up to date`."""
    words = {**VERDICT_WORDS, "orphans": "orphan" if counts.get("orphans") == 1 else "orphans"}
    parts = [f"{counts[verdict]:,} {word}" for verdict, word in words.items() if counts.get(verdict)]
    return ", ".join(parts) or "nothing is selected"


def outputs(count: int) -> str:
    """Return a number of outputs in words: `1 output`, `1,200 outputs`."""
    return f"{count:,} output{'s' * (count != 1)}"


def write(lines: Iterable[str]) -> None:
    """Write lines to standard output in batches. One write per line would take most of the time of a large plan."""
    rest = iter(lines)
    while batch := list(islice(rest, _BATCH)):
        click.echo("\n".join(batch))
