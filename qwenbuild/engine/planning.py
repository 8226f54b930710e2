"""Planning: selects actions and has each judged by lock, state, store and remote cache."""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING

from qwenbuild.errors import ProjectError
from qwenbuild.plan import in_flight, judge, sharing
from qwenbuild.plan.emulation import AddressOf
from qwenbuild.plan.plan import Plan, Step, Verdict
from qwenbuild.problems import Problem
from qwenbuild.provider import accounted
from qwenbuild.routes import Choice, Routes
from qwenbuild.specs import lint, selection, variable_uses
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.state import State
from qwenbuild.trust import problem

from . import picking

if TYPE_CHECKING:
    from qwenbuild.storage.remote.cache import Remote

    from .engine import Engine


def make_plan(
    engine: Engine, state: State, outputs: AbstractSet[str] | None = None, keys: AbstractSet[str] | None = None
) -> Plan:
    """Return the plan by this state. `outputs` (paths below `out/`) and `keys` narrow the selection."""
    with without_gc():
        return _make_plan(engine, state, outputs, keys)


def _make_plan(engine: Engine, state: State, outputs: AbstractSet[str] | None, keys: AbstractSet[str] | None) -> Plan:
    (every, pins, inputs), options = engine.declared(state), engine.effective
    uses = variable_uses.uses(engine.project, every)
    chosen = engine.selected(every)
    if options.shard:
        chosen = selection.shard(chosen, *options.shard)
    if outputs is not None:
        chosen = [action for action in chosen if action.output in outputs]
    if keys is not None:
        chosen = [action for action in chosen if action.key in keys]
    records, out = state.outputs(), engine.project.out
    with engine.lanes(state) as lanes:
        steps = judge.judge(chosen, out, records, state, engine.store, lanes, options, pins)
        flying = [] if options.is_selecting else lanes.collected_by()
        declared = {action.request_key for action in every} if flying else set()
        strays = in_flight.strays(flying, declared, engine.store)
        found = [*lanes.warnings(), *in_flight.uncollectable(flying, declared)]
    if engine.remote and not options.force:
        steps = _with_remote(steps, engine.remote, engine.address_of)
    is_whole = not options.is_partial and outputs is None and keys is None
    remarks = lint.quick_remarks(engine.project, every, chosen)
    if options.strict and remarks:
        raise ProjectError([remark.problem for remark in remarks])
    plan = Plan(
        steps,
        orphans=judge.orphans(every, out, records, pins) if is_whole else [],
        shortest_s=_shortest_s(engine.routes, steps),
        inputs=inputs,
        actions=every,
        records=records,
        lock=pins,
        warnings=_warnings(engine, found),
        without_key=list(_without_key(engine.routes, steps)),
        strays=strays,
        has_remote=engine.remote is not None,
        uses=uses,
        remarks=remarks,
    )
    return replace(plan, of_stars=of_stars) if (of_stars := picking.advice(engine, plan)) else plan


def _shortest_s(routes: Routes, steps: Sequence[Step]) -> float:
    """Return the least time of the renders, in seconds. Different providers render at the same time."""
    renders: dict[Choice, Counter[str]] = {}
    for step in steps:
        if step.verdict is Verdict.RENDER:
            renders.setdefault(step.action.choice, Counter())[step.action.model.name] += 1
    return max((routes.provider(choice).shortest_s(counts) for choice, counts in renders.items()), default=0.0)


def _without_key(routes: Routes, steps: Sequence[Step]) -> Iterator[Problem]:
    """Yield a warning for each provider that has to render what costs money, and that has no API key."""
    paid = dict.fromkeys(step.action.choice for step in steps if step.price and step.verdict is Verdict.RENDER)
    for provider in {id(provider): provider for provider in map(routes.provider, paid)}.values():
        known = accounted(provider)
        if known and not known.account()["account"]:
            claim = f"no API key for the provider {provider.name}: a build can't render what costs money"
            yield Problem(claim, hint="`qwenbuild doctor` says where it looks for one", name="no-api-key")


def _warnings(engine: Engine, found: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return what the plan warns of: `found` among the submissions, what the user has not approved, the remote's."""
    refused = engine.project.trust.refused
    unapproved = (problem(refused),) if refused else ()
    return (*found, *unapproved, *(engine.remote.warnings() if engine.remote else ()))


def _with_remote(steps: list[Step], remote: Remote, address_of: AddressOf) -> list[Step]:
    """Return the steps; those whose missing image the remote cache has become RESTORE.

    `address_of` returns where an emulator may have made a step's image.
    """
    keys, images = sharing.wanted(steps, address_of)
    if not (keys or images):
        return steps
    import asyncio  # here, because loading it takes as long as a whole small plan

    async def find() -> Mapping[str, Entry]:
        async with remote:
            return await remote.find(keys, images)

    return list(sharing.with_shared(steps, asyncio.run(find()), address_of))


@contextlib.contextmanager
def without_gc() -> Iterator[None]:
    """Turn garbage collection off: a plan's objects stay. Row cold-plan takes 14 % less, template-edit 12 %.

    Also a decorator: it lasts while the function runs.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.freeze()  # freezing and unfreezing makes the new objects old: the next collection skips them
            gc.unfreeze()
            gc.enable()
