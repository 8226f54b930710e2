"""The engine's review: the plan, compared with the lock of another git revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qwenbuild.plan.review import base, changes
from qwenbuild.problems import Problem
from qwenbuild.storage import lock
from qwenbuild.storage.lock import Lock

from . import locking
from .history import stored_request
from .planning import make_plan

if TYPE_CHECKING:
    from qwenbuild.plan.plan import Plan
    from qwenbuild.plan.review import Change

    from .engine import Engine


def review(engine: Engine, revision: str) -> tuple[Plan, list[Change]]:
    """Return the plan, and how it differs from the lock of the git revision.

    Raises what `Engine.plan` raises, and UsageError if git has no such revision or the lock is not of
    this provider.
    """
    locking.check_provider(engine)
    before, project = base(engine.project.root, revision), engine.project
    with engine.state() as state:
        plan = make_plan(engine, state)

        def request_of(key: str) -> Mapping[str, Any] | None:
            return state.request(key) or stored_request(engine.store, key)

        if before is None:
            claim = f"{revision} has no {lock.NAME}: every declared output counts as added"
            plan = replace(plan, warnings=[*plan.warnings, Problem(claim, name="no-lock")])
        known = (before or Lock()).under(project.given.profile, project.config.profiles)
        return plan, changes(plan, known, request_of)
