"""The view of `log`: past builds, or the images that were written at outputs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from qwenbuild.engine.history import PastImage
from qwenbuild.events import Outcome, in_words
from qwenbuild.problems import visible
from qwenbuild.storage.records import Run

from . import screen
from .style import duration, local_time, money, styled, write

_UNKNOWN = "–"  # what an older version did not record


def show_builds(runs: Sequence[Run], *, as_json: bool) -> None:
    """Write a line for each build: its number, when it began, how long it took, what it did, its cost and exit code."""
    if as_json:
        write(json.dumps(build_dict(run), ensure_ascii=False) for run in runs)
        return
    width = max((len(str(run.number)) for run in runs), default=0)
    write(f"{run.number:>{width}}  {local_time(run.started_at_s)}  {_about(run)}" for run in runs)
    if not runs:
        write(["no build is on record"])


def build_dict(run: Run) -> dict[str, Any]:
    """Return a build as `log --json` prints it; what is unknown is None."""
    summary = run.summary or {}
    return {
        "event": "build", "number": run.number, "started_at_s": run.started_at_s, "finished_at_s": run.finished_at_s,
        "seconds": run.seconds if run.seconds is None else round(run.seconds, 3),
        "outcomes": {end.value: summary[end] for end in Outcome if summary.get(end)},
        "dropped": list(run.dropped), "cost": summary.get("cost"), "exit_code": run.exit_code,
    }  # fmt: skip


def show_images(images: Iterable[PastImage], *, as_json: bool) -> None:
    """Write a line for each image: the build, when, the cell, the image's digest, and what had changed."""
    if as_json:
        write(json.dumps(image_dict(it), ensure_ascii=False) for it in images)
        return
    lines = list(_image_lines(list(images)))
    write(lines or ["no image was written there"])


def image_dict(image: PastImage) -> dict[str, Any]:
    """Return an image as `log --json` prints it."""
    it = image.written
    return {
        "event": "image", "name": image.name, "path": it.path, "image": it.image, "key": it.key,
        "at_s": round(it.at_s, 3), "build": image.build, "change": image.change, "kept": image.is_kept,
    }  # fmt: skip


def _about(run: Run) -> str:
    if run.summary is None:
        return f"{_UNKNOWN:>10}  has not ended: it is running, or was killed"
    said = dict(run.summary)
    did = {name: count for name, count in said.items() if name != Outcome.UP_TO_DATE}
    parts = [in_words(did) if any(did.get(end) for end in Outcome) else ""]
    parts.append(f"{len(run.dropped):,} dropped" if run.dropped else "")
    words = ", ".join(filter(None, parts)) or "nothing to do"
    cost = money({visible(name): amount for name, amount in said["cost"].items()}) if said.get("cost") else "free"
    code = f"exit {_UNKNOWN if run.exit_code is None else run.exit_code}"
    code = styled(code, sys.stdout, fg="red") if run.exit_code else code
    took = _UNKNOWN if run.seconds is None else duration(run.seconds)
    return f"{took:>10}  {words}  {cost if 'cost' in said else _UNKNOWN}  {code}"


def _image_lines(images: Sequence[PastImage]) -> Iterator[str]:
    one = len({it.written.path for it in images}) == 1
    room = screen.width(sys.stdout)
    numbers = [_UNKNOWN if it.build is None else str(it.build) for it in images]
    wide = max(map(len, numbers), default=0)
    for image, number in zip(images, numbers, strict=True):
        it = image.written
        name = "" if one else f"{visible(image.name or it.path)}  "
        gone = "" if image.is_kept else "; gone from the store"
        text = f"{number:>{wide}}  {local_time(it.at_s)}  {it.image[:12]}  {name}{visible(image.change)}{gone}"
        yield screen.cut(text, room)
