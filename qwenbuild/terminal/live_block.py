"""The live block of a build on a terminal: a bar, and below it what is in flight, what waits and what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TextIO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from .screen import cut
from .style import coloured, rate

Below = Callable[[], Iterable[tuple[str, str]]]
"""What returns the lines below the bar, each with its style in rich's words."""


class LiveBlock(Progress):
    """A few lines that change in place. They are as wide as the terminal at most, and disappear in the end."""

    def __init__(self, stream: TextIO, total: int, below: Below = tuple, *, word: str = "building") -> None:
        """`stream` is standard error, `total` the number of images, `word` what is done with them."""
        console = Console(file=stream, highlight=False, color_system="auto" if coloured(stream) else None)
        self._terminal, self._lines = console, below  # first, because the constructor below draws
        fixed = Column(no_wrap=True)
        super().__init__(
            TextColumn("[bold green]{task.description}", justify="right", table_column=fixed),
            BarColumn(bar_width=max(4, min(30, console.width - 50)), complete_style="green", finished_style="green"),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}", style="progress.download", table_column=fixed.copy()),
            TextColumn("[red]{task.fields[failed]}[/]", table_column=fixed.copy()),
            _Rate(table_column=fixed.copy()),
            TimeRemainingColumn(compact=True, table_column=fixed.copy()),
            console=console,
            transient=True,
        )
        self._build = self.add_task(f"{word:>10}", total=total, failed="")

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield what is drawn: the bar, and the lines below it."""
        yield from super().get_renderables()
        for line, style in self._lines():
            yield Text(cut(line, self._terminal.width), style=style, no_wrap=True)

    def show(self, done: int, failed: int) -> None:
        """Show how many images are done, and how many of them have failed."""
        self.update(self._build, completed=done, failed=f"{failed:,} failed" if failed else "")


class _Rate(TextColumn):
    """How many images are made in a time."""

    def __init__(self, table_column: Column) -> None:
        super().__init__("", table_column=table_column)

    def render(self, task: Task) -> Text:
        """Return the rate of the last seconds; nothing before the first images."""
        return Text(rate(task.speed) if task.speed else "", style="cyan")
