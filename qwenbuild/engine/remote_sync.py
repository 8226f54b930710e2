"""Remote sync: pushes a project's images to the remote cache, pulls them, and counts them there."""

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
from qwenbuild.storage.remote.settings import asks
from qwenbuild.storage.store import second_key

from .engine import Engine

_AT_ONCE = 8  # transfers; each holds an image in memory
_T = TypeVar("_T")
Progress = Callable[[int, int], None]
"""A callback for progress: gets the number of finished images and the number of all."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The result of a transfer: numbers of images moved, images there before, and images that failed."""

    moved: int
    there: int
    failed: int
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class RemoteStatus:
    """How many of a project's distinct `images` the remote has (`there`), and if it can be written."""

    name: str
    writes: bool
    there: int
    images: int
    warnings: tuple[Problem, ...] = ()


def push(engine: Engine, progress: Progress) -> Moved:
    """Copy the selected images from the local store to the remote, except those that the remote has.

    Raises the errors of `plan`; UsageError if there is no remote, or the remote is read-only.
    """
    remote = _remote(engine)
    if not remote.writes:
        raise UsageError(
            "this remote cache is read-only", facts=[f"remote: {remote.name}"],
            hint="because of read_only, or an empty variable of token_env or secret_env, under [remote]",
            name="remote-read-only",
        )  # fmt: skip
    plan = engine.plan()
    entries = _stored(engine, plan)

    async def store(entry: Entry) -> bool | None:
        known = await remote.entry(entry.key)
        if known and known.image == entry.image:
            return None
        return await transfer.push(remote, engine.store, entry)

    return _moved(remote, plan, asyncio.run(_each(remote, entries.values(), store, progress)))


def pull(engine: Engine, progress: Progress) -> Moved:
    """Copy selected images from the remote to the local store, if a build would otherwise render them.

    Raises the errors of `plan`; UsageError if there is no remote; StoreError.
    """
    remote, plan = _remote(engine), engine.plan()
    steps = {step.shared.image: step for step in plan.steps if step.shared}
    stored = len(_stored(engine, plan))

    async def fetch(image: str) -> bool | None:
        step = steps[image]
        assert step.shared is not None
        pulled = await transfer.pull(remote, engine.store, step.action.request, step.action.key, step.shared)
        return pulled is not None

    moved = _moved(remote, plan, asyncio.run(_each(remote, steps, fetch, progress)))
    return Moved(moved.moved, stored, moved.failed, moved.warnings)


def status(engine: Engine) -> RemoteStatus:
    """Return how many of the selected images the remote has. Raises the errors of `plan`, UsageError."""
    remote, plan = _remote(engine), engine.plan()
    keys = {step.action.key for step in plan.steps}

    async def ask() -> Mapping[str, Entry]:
        async with remote:
            return await remote.find(keys, ())

    found = asyncio.run(ask())
    return RemoteStatus(remote.name, remote.writes, len(found), len(keys), (*plan.warnings, *remote.warnings()))


def _remote(engine: Engine) -> Remote:
    if engine.remote is None:
        engine.project.trust.require(*asks(engine.project.config.remote))
        raise UsageError(
            "there is no remote cache", hint="--remote URL, or url under [remote] in the config", name="no-remote"
        )
    return engine.remote


def _stored(engine: Engine, plan: Plan) -> dict[str, Entry]:
    """Return the store's entries of a plan's images by key, including bytes that the lock pins."""
    found: dict[str, Entry] = {}
    for step in plan.steps:
        key = step.action.key
        pin = plan.lock.pinned(step.action.output, key)
        for name in (key, *([second_key(key, pin.image)] if pin else [])):
            entry = None if name in found else engine.store.lookup(name, any_size=True)
            if entry and (not entry.other_size or (pin and pin.image == entry.image)):
                found[name] = transfer.shareable(entry)
    return found


async def _each(
    remote: Remote, items: Iterable[_T], job: Callable[[_T], Awaitable[bool | None]], progress: Progress
) -> list[bool | None]:
    """Run `job` for each item, several at once. Return each result: True done, False failed, None not needed.

    Raises the first QwenbuildError of a job, after the running jobs have ended.
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
            progress(len(ended), total)

    async with remote, asyncio.TaskGroup() as group:
        for _ in range(min(_AT_ONCE, total)):
            group.create_task(work())
    if failures:
        raise failures[0]
    return ended


def _moved(remote: Remote, plan: Plan, ended: list[bool | None]) -> Moved:
    warnings = (*plan.warnings, *remote.warnings())
    return Moved(ended.count(True), ended.count(None), ended.count(False), warnings)
