"""The engine's comparison: two past builds, or the locks of two git revisions. Nothing is written."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenbuild.errors import UsageError
from qwenbuild.pages.pairs import Pairs
from qwenbuild.plan import comparison
from qwenbuild.plan.comparison import Comparison, Made, Side
from qwenbuild.plan.review import base
from qwenbuild.problems import visible
from qwenbuild.storage import lock
from qwenbuild.storage.history import images_before
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.records import Run
from qwenbuild.storage.state import State

from . import locking
from .history import request_of
from .planning import make_plan

if TYPE_CHECKING:
    from qwenbuild.pages.report import Written

    from .engine import Engine

_NOW = float("inf")
_CLOCK_S = 0.001  # SQLite's clock, which stamps images, counts milliseconds


def compare(engine: Engine, old: str, new: str | None = None) -> Comparison:
    """Return how `new` differs from `old`: each is the number of a build, or a git revision.

    A build is compared as its state was when it had ended. Without `new`, `old` may be `old..new`, as git writes it;
    else it is compared with what is built now. Raises UsageError for a text that names neither, StateError,
    ProjectError for a faulty lock.
    """
    if new is None and ".." in old:
        old, _, new = old.partition("..")
    with engine.state() as state:
        return _compared(engine, state, old, new or None)


def report(
    engine: Engine, base: str, folder: Path | None = None, *, small: bool = False,
    tell: Callable[[int, int], None] | None = None,
) -> Written:  # fmt: skip
    """Write the page of the selected cells that differ from a build or a revision, each with its image there.

    `folder` is by default below `.qwenbuild/`; see `Engine.report` for the other arguments. Raises what `compare` and
    `Engine.report` raise, and UsageError if no cell differs.
    """
    from qwenbuild.pages import report

    folder = folder or engine.project.state_dir / "report-diff"
    with engine.state() as state:
        found = _compared(engine, state, base, None)
        plan = make_plan(engine, state, {it.path for it in found.differences})
        if not plan.steps:
            hint = f"`qwenbuild diff {shlex.quote(visible(base))}` shows what differs elsewhere"
            raise UsageError(
                f"no selected cell differs from {visible(found.old.label)}", hint=hint, name="no-cell-left"
            )
        keys = {it.old.key for it in found.differences if it.old and it.new}
        pairs = Pairs.of(found, request_of(engine, state, keys), engine.store)
        return report.write(
            folder, engine.project, plan, state, engine.store, engine.routes, small=small, tell=tell, pairs=pairs
        )


def _compared(engine: Engine, state: State, old: str, new: str | None) -> Comparison:
    runs = state.runs()
    before = _side(engine, state, runs, old)
    if new is not None:
        after = _side(engine, state, runs, new)
    elif _run(runs, old):
        after = _built(state, runs, "now", _NOW)
    else:
        after = _locked(locking.read(engine, None), "now")

    def requests(keys: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        return {key: found for key, found in request_of(engine, state, keys).items() if found}

    return comparison.compare(before, after, requests)


def _side(engine: Engine, state: State, runs: list[Run], text: str) -> Side:
    if run := _run(runs, text):
        later = [it.started_at_s for it in runs if it.number > run.number]  # the newest first
        return _built(state, runs, f"build {run.number}", later[-1] - _CLOCK_S if later else _NOW)
    try:
        found = base(engine.project.root, text)
    except UsageError as error:
        if not text.isdecimal():
            raise
        last = f"the last build is {runs[0].number}" if runs else "no build is on record"
        raise UsageError(
            f"no build {text}", facts=[last], hint="`qwenbuild log` lists the builds", name="unknown-build"
        ) from error
    if found is None:
        raise UsageError(f"{visible(text)} has no {lock.NAME}", name="no-lock")
    locking.check_provider(engine)
    return _locked(found.under(engine.project.given.profile, engine.project.config.profiles), text)


def _run(runs: list[Run], text: str) -> Run | None:
    return next((it for it in runs if text.isdecimal() and it.number == int(text)), None)


def _built(state: State, runs: list[Run], label: str, before_s: float) -> Side:
    """Return what the builds before a time (seconds since the epoch) had built."""
    dropped: dict[str, float] = {}
    for run in reversed(runs):
        if run.started_at_s < before_s:
            dropped |= dict.fromkeys(run.dropped, run.started_at_s)
            for path in run.returned:
                dropped.pop(path, None)
    records = state.outputs()
    outputs = {
        path: Made(records[path].name if path in records else "", key, image)
        for path, (key, image, at_s) in images_before(state, before_s).items()
        if at_s > dropped.get(path, 0.0)
    }
    return Side(label, outputs)


def _locked(found: Lock, label: str) -> Side:
    return Side(label, {path: Made(pin.name, pin.key, pin.image) for path, pin in found.pins.items()})
