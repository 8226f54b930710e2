"""The progress of a command that handles many images: a bar on a terminal, a line for each tenth in a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .live_block import LiveBlock


@contextmanager
def progress(word: str, *, shown: bool = True, in_pipes: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes (images done, images in all) and shows them on standard error.

    Nothing is shown unless `shown` is true. Without `in_pipes`, nothing is shown unless standard error is a terminal.
    """
    if shown and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        yield from _drawn(word)
        return

    def tell(done: int, total: int) -> None:
        if shown and in_pipes and done * 10 // total > (done - 1) * 10 // total:
            click.echo(f"{word:>10}  {done:,} of {total:,} images", err=True)

    yield tell


def _drawn(word: str) -> Iterator[Callable[[int, int], None]]:
    """Yield the function that draws the bar of a build, and remove the bar in the end."""
    block: LiveBlock | None = None

    def tell(done: int, total: int) -> None:
        nonlocal block
        if block is None:
            from .live_block import LiveBlock

            block = LiveBlock(sys.stderr, total, word=word)
            block.start()
        block.show(done, 0)

    try:
        yield tell
    finally:
        if block is not None:
            block.stop()
