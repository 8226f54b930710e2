"""The live line of a build on a terminal: counts, the time left, and below them what is waited for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TextIO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from qwenbuild.events import Delayed

from .style import coloured, waiting


class LiveLine(Progress):
    """One line that changes in place. `delayed` are the delays to show, by cell; the caller changes them."""

    def __init__(self, stream: TextIO, total: int, delayed: Mapping[str, Delayed]) -> None:
        """`stream` is standard error; `total` is the number of images to make."""
        self._delayed = delayed  # first, because the constructor below draws
        console = Console(file=stream, highlight=False, color_system="auto" if coloured(stream) else None)
        fixed, rest = Column(no_wrap=True), Column(ratio=1, no_wrap=True, overflow="ellipsis")
        super().__init__(
            TextColumn("[bold green]{task.description}", justify="right", table_column=fixed),
            BarColumn(bar_width=max(4, min(30, console.width - 50)), complete_style="green", finished_style="green"),
            MofNCompleteColumn(table_column=fixed.copy()),
            TextColumn("[red]{task.fields[failed]}[/]", table_column=fixed.copy()),
            TimeRemainingColumn(compact=True, table_column=fixed.copy()),
            TextColumn("{task.fields[name]}", style="dim", markup=False, table_column=rest),
            console=console,
            expand=True,
            transient=True,
        )
        self._build = self.add_task("   building", total=total, name="", failed="")

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield what is drawn: the line, and what is waited for."""
        yield from super().get_renderables()
        if line := waiting(list(self._delayed.values()), time.time()):
            yield Text(line, style="yellow")

    def show(self, done: int, name: str, failed: str) -> None:
        """Show how many images are done, the name of the last one, and how many have failed."""
        self.update(self._build, completed=done, name=name, failed=failed)
