"""The live line: counts, and below them what is waited for, until its time has come."""

from __future__ import annotations

import io
import time

from qwenbuild.events import Delayed
from qwenbuild.terminal.live_line import LiveLine


def drawn(delayed: dict[str, Delayed]) -> str:
    """Return what is drawn for these delays."""
    line = LiveLine(io.StringIO(), 4, delayed)
    line.show(2, "s/a[seed=1]", " · 1 failed")
    with line.console.capture() as capture:
        for renderable in line.get_renderables():
            line.console.print(renderable)
    return capture.get()


def test_counts_and_delays() -> None:
    """Several delays share a line, with the next attempt's time. A delay whose time has come is not shown."""
    now_s = time.time()
    later = {name: Delayed(name, f"{name}.png", "slower, please", now_s + 60) for name in ("a", "b")}
    at = time.strftime("%H:%M:%S", time.localtime(now_s + 60))
    assert "2/4" in drawn({})
    assert "waiting" not in drawn({"a": Delayed("a", "a.png", "slower, please", now_s - 1)})
    assert f"   waiting  2 images, tried again at {at}: slower, please" in " ".join(drawn(later).split("\n"))
