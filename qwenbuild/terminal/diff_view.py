"""The view of `diff`: which outputs differ between two builds or revisions, and in what."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from qwenbuild.plan.comparison import Comparison, Difference
from qwenbuild.problems import columns, visible

from . import screen
from .style import label, write

_WIDEST_NAME = 60  # columns; a longer name moves only its own reason


def show(compared: Comparison, *, as_json: bool) -> None:
    """Write a line for each output that differs, then how many there are of each kind."""
    if as_json:
        write(json.dumps(_difference_dict(it), ensure_ascii=False) for it in compared.differences)
        total = {"event": "compared", "old": compared.old.label, "new": compared.new.label, **compared.counts}
        write([json.dumps(total, ensure_ascii=False)])
        return
    write(_lines(compared))
    sides = f"{visible(compared.old.label)} and {visible(compared.new.label)}"
    counts = ", ".join(f"{count:,} {kind}" for kind, count in compared.counts.items() if count)
    write([f"{counts} between {sides}" if counts else f"nothing differs between {sides}"])


def _lines(compared: Comparison) -> Iterator[str]:
    room = screen.width(sys.stdout)
    most = _WIDEST_NAME if room is None else max(20, min(_WIDEST_NAME, room // 2))
    names = [visible(it.name) for it in compared.differences]
    if room is not None:
        names = [screen.shortened(name, most) for name in names]
    width = max((wide for name in names if (wide := columns(name)) <= most), default=0)
    for it, name in zip(compared.differences, names, strict=True):
        reason = "" if it.reason == it.kind else visible(it.reason)
        line = f"{name}{' ' * (width - columns(name))}  {reason}".rstrip()
        yield f"{label(it.kind)}  {screen.cut(line, room and max(room - 12, 20))}"


def _difference_dict(it: Difference) -> dict[str, Any]:
    sides = {
        side: None if made is None else {"key": made.key, "image": made.image}
        for side, made in (("old", it.old), ("new", it.new))
    }
    return {"event": "difference", "kind": it.kind, "name": it.name, "path": it.path, "reason": it.reason, **sides}
