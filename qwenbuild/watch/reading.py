"""Readings: the project as its files are now, for a watch.

A reading never raises: it says what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qwenbuild.engine.engine import Engine
from qwenbuild.errors import QwenbuildError, UsageError
from qwenbuild.plan.plan import Plan
from qwenbuild.problems import Problem
from qwenbuild.specs.read_cache import ReadCache
from qwenbuild.storage.picks import Picks


@dataclass(frozen=True, slots=True)
class Reading:
    """The engine of the project as it is now, and its plan or else the `fault`.

    `picks` is None if `picks.toml` has a mistake; `of_picks` says which one, unless the fault does.
    """

    engine: Engine
    plan: Plan | None = None
    fault: QwenbuildError | None = None
    picks: Picks | None = None
    of_picks: Sequence[Problem] = ()


def read(engine: Engine, *, is_config_new: bool) -> Reading:
    """Return a reading. With `is_config_new` the config is read, too; if it has a mistake, the engine stays."""
    plan, fault = None, None
    try:
        engine = _reloaded(engine) if is_config_new else engine
        plan = engine.plan()
    except QwenbuildError as error:
        fault = error
    try:
        return Reading(engine, plan, fault, engine.picks())
    except QwenbuildError as error:
        is_told = fault is not None and str(fault) == str(error)
        return Reading(engine, plan, fault, None, () if is_told else error.problems)


def _reloaded(engine: Engine) -> Engine:
    reloaded, root = engine.reloaded(), engine.project.root
    if reloaded.project.root != root:
        raise UsageError(
            f"{root} has no config any more", facts=[f"found instead: {reloaded.project.root}"], name="no-project"
        )
    reloaded.read_cache = ReadCache()
    return reloaded
