"""The summary of a build: what was made, how long it took, what it cost, where it is, and what to do next."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from qwenbuild.events import Finished
from qwenbuild.noop_answers import nothing_to_do, orphaned
from qwenbuild.problems import visible

from .style import OUTCOME_STYLES, duration, money, styled


def lines(event: Finished, out: str = "", *, is_refused: bool = False) -> Iterator[str]:
    """Yield the counts of a build, its time and its cost, then what to do about images that are left.

    `out` is the output folder as people know it; if it is given, lines say where the files are and what to do next.
    `is_refused`: something failed earlier, and was not sent again.
    """
    counts = [
        (event.rendered, "rendered"), (event.reattached, "reattached"), (event.restored, "restored"),
        (event.submitted, "submitted"), (event.failed, "failed"), (event.unknown, "unknown"),
        (event.missing, "missing"), (event.edited, "edited"), (event.skipped, "skipped"),
    ]  # fmt: skip
    stream = sys.stderr
    parts = [styled(f"{count:,} {word}", stream, **OUTCOME_STYLES[word]) for count, word in counts if count]
    if not parts:
        yield nothing_to_do(event.up_to_date, event.seconds).rstrip("\n")
    else:
        if event.up_to_date:
            parts.append(styled(f"{event.up_to_date:,} up to date", stream, dim=True))
        cost = f", {money(event.cost)}" if event.cost else ""
        yield f"{', '.join(parts)} in {duration(event.seconds)}{cost}"
    if event.interrupted:
        yield "interrupted: all finished images are kept; build again to continue"
    if event.unknown:
        yield "unknown images may have been billed; --resubmit sends them again"
    if event.edited:
        yield "edited files were kept; --overwrite replaces them"
    if event.strays:
        what, them = ("1 image", "it") if event.strays == 1 else (f"{event.strays:,} images", "them")
        yield f"collected {what} that no spec declares any more; the store keeps {them}"
    if event.orphans:
        yield orphaned(event.orphans)
    if out and parts:
        if event.rendered or event.reattached or event.restored:
            yield f"{'files':>10}  {visible(out)}"
        if following := _next(event, is_refused=is_refused):
            yield f"{'next':>10}  {following}"


def _next(event: Finished, *, is_refused: bool) -> str:
    """Return the command that helps most now, and what it does; empty if the summary has said it."""
    if event.interrupted:
        return ""
    if event.unknown:
        return "`qwenbuild tasks` asks the service about the unknown images"
    if event.failed and is_refused:
        return "`qwenbuild build --retry-failed` sends what was refused again"
    if event.failed or event.skipped:
        return "`qwenbuild build` tries again what failed, and only that"
    if event.submitted:
        return "`qwenbuild tasks` shows how far the images are; `qwenbuild build` collects them"
    if event.missing:
        return "`qwenbuild plan` names the ways to get what is missing"
    if event.edited:
        return ""
    return "`qwenbuild report --open` shows the images on a page"
