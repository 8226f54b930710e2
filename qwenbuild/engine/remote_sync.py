"""The commands of the remote cache: what of a project is there, and bringing images there or from there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from qwenbuild.errors import QwenbuildError, UsageError
from qwenbuild.plan.plan import Plan
from qwenbuild.problems import Problem
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.remote import transfer
from qwenbuild.storage.remote.cache import Remote
from qwenbuild.storage.store import beside

from .engine import Engine

_AT_ONCE = 8  # each with an image in memory
_T = TypeVar("_T")
Tell = Callable[[int, int], None]
"""Gets how many images have been dealt with, and how many there are."""


@dataclass(frozen=True, slots=True)
class Moved:
    """How a transfer ended: images that were moved, that were there before, and that could not be."""

    moved: int
    there: int
    failed: int
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a project's images stand at the remote: how many distinct ones it has, of how many."""

    name: str
    writes: bool
    there: int
    images: int
    warnings: tuple[Problem, ...] = ()


def push(engine: Engine, tell: Tell) -> Moved:
    """Store at the remote what the local store has of the selected images, and the remote has not.

    Raises what `plan` does, UsageError where there is no remote or nothing may be stored there.
    """
    remote = _remote(engine)
    if not remote.writes:
        raise UsageError(
            "nothing may be stored in this remote cache", facts=[f"remote: {remote.name}"],
            hint="read_only, or an empty variable of token_env or secret_env under [remote], makes it so",
        )  # fmt: skip
    plan = engine.plan()
    entries = _stored(engine, plan)

    async def store(entry: Entry) -> bool | None:
        known = await remote.entry(entry.key)
        if known and known.image == entry.image:
            return None
        return await transfer.push(remote, engine.store, entry)

    return _moved(remote, plan, asyncio.run(_each(remote, entries.values(), store, tell)))


def pull(engine: Engine, tell: Tell) -> Moved:
    """Fetch into the local store what the remote has of the selected images that a build would have to make.

    Raises what `plan` does, UsageError where there is no remote, StoreError.
    """
    remote, plan = _remote(engine), engine.plan()
    steps = {step.shared.image: step for step in plan.steps if step.shared}
    stored = len(_stored(engine, plan))

    async def fetch(image: str) -> bool | None:
        step = steps[image]
        assert step.shared is not None
        pulled = await transfer.pull(remote, engine.store, step.action.request, step.action.key, step.shared)
        return pulled is not None

    moved = _moved(remote, plan, asyncio.run(_each(remote, steps, fetch, tell)))
    return Moved(moved.moved, stored, moved.failed, moved.warnings)


def standing(engine: Engine) -> Standing:
    """Return how many of the selected images the remote has; raises what `plan` does, UsageError."""
    remote, plan = _remote(engine), engine.plan()
    keys = {step.action.key for step in plan.steps}

    async def ask() -> Mapping[str, Entry]:
        async with remote:
            return await remote.find(keys, ())

    found = asyncio.run(ask())
    return Standing(remote.name, remote.writes, len(found), len(keys), (*plan.warnings, *remote.warnings()))


def _remote(engine: Engine) -> Remote:
    if engine.remote is None:
        raise UsageError("there is no remote cache", hint="--remote URL, or url under [remote] in the config")
    return engine.remote


def _stored(engine: Engine, plan: Plan) -> dict[str, Entry]:
    """Return the store's entries of a plan's images, those that the lock pins included, by their keys."""
    found: dict[str, Entry] = {}
    for step in plan.steps:
        key = step.action.key
        pin = plan.lock.pinned(step.action.output, key)
        for name in (key, *([beside(key, pin.image)] if pin else [])):
            if name not in found and (entry := engine.store.lookup(name)):
                found[name] = entry
    return found


async def _each(
    remote: Remote, items: Iterable[_T], job: Callable[[_T], Awaitable[bool | None]], tell: Tell
) -> list[bool | None]:
    """Do a job for each item, several at once; return what each came to: done, not possible, or None for no need.

    Raises the first QwenbuildError of a job, once those under way have ended.
    """
    waiting = list(items)[::-1]
    total, ended = len(waiting), list[bool | None]()
    failures: list[QwenbuildError] = []

    async def work() -> None:
        while waiting:
            try:
                ended.append(await job(waiting.pop()))
            except QwenbuildError as error:
                waiting.clear()
                failures.append(error)
            tell(len(ended), total)

    async with remote, asyncio.TaskGroup() as group:
        for _ in range(min(_AT_ONCE, total)):
            group.create_task(work())
    if failures:
        raise failures[0]
    return ended


def _moved(remote: Remote, plan: Plan, ended: list[bool | None]) -> Moved:
    warnings = (*plan.warnings, *remote.warnings())
    return Moved(ended.count(True), ended.count(None), ended.count(False), warnings)
