"""The view of `build` on a terminal: one live block, then what needs attention, then the summary."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qwenbuild.events import Delayed, Event, ImageFinished, ImageStarted, ImageWaiting, Outcome
from qwenbuild.problems import visible

from .build_view import ATTENTION, LineView
from .screen import shortened, width
from .style import waiting

if TYPE_CHECKING:
    from .live_block import LiveBlock

_MANY = 50  # images: restoring fewer takes less time than loading the block
_SHOWN = 10  # reasons of failures that stay in full
_BELOW = 3  # reasons of failures in the block


class LiveView(LineView):
    """Shows one live block; what needs attention is shown in full when the build has ended."""

    def __init__(self, *, is_verbose: bool | None = None, out: str = "") -> None:
        super().__init__(is_verbose=is_verbose, out=out)
        self._block: LiveBlock | None = None
        self._delayed: dict[str, Delayed] = {}  # by cell
        self._running: dict[str, None] = {}  # cells in the order in which they began
        self._others: set[str] = set()  # projects that this build waits for

    def emit(self, event: Event) -> None:
        if isinstance(event, ImageStarted):
            self._running[event.name] = None
            self._open()
        if isinstance(event, ImageWaiting):
            if event.project in self._others:
                return  # one line for each project is enough
            self._others.add(event.project)
        super().emit(event)

    def finished_image(self, event: ImageFinished, made: bool) -> None:
        self._delayed.pop(event.name, None)
        self._running.pop(event.name, None)
        if made and self._total > _MANY:
            self._open()
        if event.outcome in ATTENTION:
            self._alike.add(event)
        if made and self.is_verbose:
            self.one_image(event)
        if self._block is not None:
            self._block.show(self._done, self._counts[Outcome.FAILED])

    def delayed(self, event: Delayed) -> None:
        self._open()
        self._delayed[event.name] = event

    def _open(self) -> None:
        if self._block is None:
            from .live_block import LiveBlock  # rich loads as long as a small build takes

            self._block = LiveBlock(sys.stderr, self._total, self._below)
            self._block.show(self._done, self._counts[Outcome.FAILED])
            self._block.start()

    def _below(self) -> Iterator[tuple[str, str]]:
        """Yield the lines below the bar, each with its style: what is in flight, waited for, and failed."""
        room = (width(sys.stderr) or 80) - 12
        if running := [*self._running]:  # a copy: the block draws in a thread of its own
            yield f"{'in flight':>10}  {_first(running[0], len(running), room)}", "dim"
        if line := waiting([*self._delayed.values()], time.time()):
            yield line, "yellow"
        for group in self._alike.groups()[-_BELOW:]:
            names = [*group.names]
            yield f"{group.first.outcome:>10}  {_first(names[-1], len(names), room // 2)}: {group.claim}", "red"

    def show_alike(self) -> None:
        """Show what needs attention, by reason."""
        groups = self._alike.taken()
        for group in groups[:_SHOWN]:
            self.say_in_full(group.first)
            self.say_others(group)
        if left := groups[_SHOWN:]:
            outputs = sum(len(group.names) for group in left)
            self.say(f"{'…':>10} {outputs:,} more, for {len(left):,} other reasons; `qwenbuild status` lists them")
        self.say_more_about(groups)

    def say(self, text: str) -> None:
        if self._block is None:
            super().say(text)
        else:
            from rich.text import Text

            self._block.console.print(Text.from_ansi(text), soft_wrap=True)

    def close(self) -> None:
        """Remove the block. If the build has not ended, what needs attention is shown now."""
        if self._block is not None:
            self._block.stop()
            self._block = None
        self.show_alike()


def _first(name: str, count: int, room: int) -> str:
    """Return the name of one of `count` cells in `room` columns, and how many others there are."""
    more = f" and {count - 1:,} more" if count > 1 else ""
    return shortened(visible(name), room - len(more)) + more
