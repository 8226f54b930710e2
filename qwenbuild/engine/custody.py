"""Custody: whether images that were paid for are on this machine alone, and which images are not here at all.

Where a project keeps its images is git's to answer: what git does not ignore is committed, with or without Git LFS.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qwenbuild.finding import Finding, Level
from qwenbuild.plan import lacking
from qwenbuild.plan.plan import Plan, Verdict
from qwenbuild.plan.review import GIT
from qwenbuild.problems import Problem
from qwenbuild.provider import Provider, emulator_address
from qwenbuild.specs.project import Project
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.outputs import pointed, status
from qwenbuild.storage.store import Store

if TYPE_CHECKING:
    from .engine import Engine

_GIT_S: Final = 10.0  # longest wait for git
_HERE: Final = (Verdict.UP_TO_DATE, Verdict.RESTORE, Verdict.RENDER, Verdict.REATTACH)  # before or after a build
_HINT: Final = "name a [remote] in the config and run `qwenbuild cache push`, or let git have the images"


def asked(root: Path, *arguments: str, given: str = "") -> str | None:
    """Return git's output in the folder `root`, for the input `given`; None if git says no or is not installed."""
    try:
        command = [*GIT, "-C", str(root), *arguments]
        done = subprocess.run(  # noqa: S603 - git itself
            command, input=given, capture_output=True, text=True, timeout=_GIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeError):
        return None
    return done.stdout if done.returncode == 0 else None


def on_this_machine_alone(project: Project, outputs: Iterable[str]) -> Problem | None:
    """Return the problem that nobody else can get images that cost money; None if there are none.

    `outputs` are the paths, below the output folder, of images that cost money. Git ignores such an image, and the
    project names no remote cache.
    """
    if project.config.remote.url:
        return None
    out = project.config.out
    paths = [f"{out}/{path}" for path in outputs]
    ignored = asked(project.root, "check-ignore", "--stdin", "-z", given="\0".join(paths)) if paths else None
    if not ignored:
        return None
    count = ignored.count("\0")
    what = "1 image that costs money is" if count == 1 else f"{count:,} images that cost money are"
    facts = (f"git ignores, for example, {ignored.partition(chr(0))[0]}", "the project names no remote cache")
    return Problem(f"{what} on this machine alone", facts=facts, hint=_HINT, name="only-copy")


def warned(engine: Engine, plan: Plan) -> Plan:
    """Return a build's plan; it warns if images that the build pins would be on this machine alone.

    A build that has nothing to do does not say it again.
    """
    if not engine.is_locking or engine.remote or plan.count(Verdict.UP_TO_DATE) == len(plan.steps):
        return plan
    steps = (step for step in plan.steps if step.verdict in _HERE and not step.action.emulated)
    costs = cache(engine.routes.costs)
    found = on_this_machine_alone(
        engine.project, (it.action.output for it in steps if costs(it.action.choice, it.action.model.name))
    )
    return replace(plan, warnings=[*plan.warnings, found]) if found else plan


def examined(project: Project, provider: Provider, store: Store, pins: Collection[Pin]) -> Iterator[Finding]:
    """Yield what the doctor says about the images that the lock pins: those that are not here, those nowhere else.

    Of the images, only Git LFS pointers are read. An emulator's image has cost nothing: others need not have it, and it
    is looked for only where that emulator is the service.
    """
    missing = pointers = 0
    here = []
    pins = [pin for pin in pins if pin.emulated_by in ("", emulator_address(provider))]
    for pin in pins:
        path = project.out / pin.path
        seen = status(path)
        is_pointer = bool(seen and pointed(path, seen))
        if (seen and not is_pointer) or store.blob_path(pin.image).exists():
            here.append(pin)
        else:
            missing += _costs(provider, pin.model)
            pointers += is_pointer
    costs = cache(partial(_costs, provider))
    paid = [pin.path for pin in here if not pin.emulated_by and costs(pin.model)]
    problems = lacking.problem(missing, pointers, has_remote=False), on_this_machine_alone(project, paid)
    for found in filter(None, problems):
        yield Finding("images", Level.WARN, found.claim, tuple(found.facts), found.hint, found.name)
    if here and not any(problems):
        yield Finding("images", Level.OK, f"{len(here):,} of {len(pins):,} that the lock pins are here")


def _costs(provider: Provider, model: str) -> bool:
    try:
        return provider.price(model) is not None
    except ValueError:  # the lock names a model that the catalogue has no more
        return True
