"""The progress of a command that handles many images: a bar on a terminal, a line for each tenth in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from .style import coloured


@contextmanager
def progress(word: str, *, shown: bool = True, in_pipes: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes (images done, images in all) and shows them on standard error.

    Nothing is shown unless `shown` is true. Without `in_pipes`, nothing is shown unless standard error is a terminal.
    """
    if shown and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        terminal = Console(stderr=True, highlight=False, no_color=not coloured(sys.stderr))
        text = TextColumn("{task.description:>10}")
        columns = text, BarColumn(bar_width=30), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=terminal, transient=True) as display:
            task = display.add_task(word, total=None)
            yield lambda done, total: display.update(task, completed=done, total=total)
        return

    def tell(done: int, total: int) -> None:
        if shown and in_pipes and done * 10 // total > (done - 1) * 10 // total:
            click.echo(f"{word:>10}  {done:,} of {total:,} images", err=True)

    yield tell
