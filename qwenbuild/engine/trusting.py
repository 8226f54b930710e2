"""Trusting: what a project asks for, what of it the user has approved, and what stops without approval.

Without approval, free work goes on and tells what is missing. A build that would pay stops: a remote cache that is not
approved may hold what it would buy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qwenbuild.errors import QwenbuildError
from qwenbuild.options import Options
from qwenbuild.plan.plan import Plan, Verdict
from qwenbuild.specs import user_config
from qwenbuild.specs.given import Given
from qwenbuild.specs.project import Project, find
from qwenbuild.trust import Item, Trust

if TYPE_CHECKING:
    from qwenbuild.storage.remote.cache import Remote

    from .engine import Engine

_PAYING = (Verdict.RENDER, Verdict.REATTACH, Verdict.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Wishes:
    """Everything that the project in the folder `root` asks for: what the user has approved, and what is new."""

    root: Path
    approved: tuple[Item, ...]
    new: tuple[Item, ...]


def wishes(start: Path, environ: Mapping[str, str]) -> Wishes:
    """Return what the project around the folder `start` asks for. Sends nothing.

    Raises UsageError or ProjectError if there is no project, or if its config is wrong.
    """
    from .engine import Engine  # here, because the engine imports this module

    # Everything is allowed, so that everything is asked for. Nothing is sent: the specs are only read.
    trust = Trust(allow_all=True)
    project = find(start, environ, trust)
    known = user_config.read().approved(project.root)
    engine = Engine(project, Options(), environ)
    with contextlib.suppress(QwenbuildError):  # a mistake in a spec is the plan's to tell
        engine.actions()
    for name in project.config.profiles:  # another provider may ask for more
        with contextlib.suppress(QwenbuildError):  # a mistake in a profile is told to whoever chooses it
            Engine(find(start, environ, trust, Given(profile=name)), Options(profile=name), environ)
    new = [item for item in trust.asked if item not in known]
    return Wishes(project.root, tuple(item for item in trust.asked if item in known), tuple(new))


def remote_of(project: Project, asked: str | None, environ: Mapping[str, str]) -> Remote | None:
    """Return the remote cache of the URL `asked`, else the project's if the user has approved it; else None."""
    config = project.config.remote
    if not (config.url if asked is None else asked):
        return None
    from qwenbuild.storage.remote.settings import asks, make_remote

    answers = [project.trust.allows(item) for item in (asks(config) if asked is None else ())]
    return make_remote(config, asked, environ) if all(answers) else None


def check_plan(engine: Engine, plan: Plan) -> None:
    """Raise Untrusted if the plan costs money, or collects what did, and something is not approved."""
    models = {(step.action.choice, step.action.model.name) for step in plan.steps if step.verdict in _PAYING}
    if plan.strays or any(engine.routes.costs(choice, model) for choice, model in models):
        engine.project.trust.require(*engine.project.trust.asked)
