"""Distributing: where a project's free work is done, and what the workers there need to know.

The command line comes before the config. A cluster that only the config names needs the user's approval: until then
free work is done on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from qwenbuild.errors import ExecutorError, ProviderError, UsageError
from qwenbuild.executor import HINT, LOCAL, Place, Tls, address_of, ask, ask_authority
from qwenbuild.options import Options
from qwenbuild.own_servers import reading, settings_of_environment
from qwenbuild.plan.plan import Plan, Verdict
from qwenbuild.problems import Problem, listing
from qwenbuild.provider import OPTIONS, asked_by, options_of
from qwenbuild.providers import registry
from qwenbuild.routes import Choice
from qwenbuild.specs.project import Project

if TYPE_CHECKING:
    from qwenbuild.builder.away import Away, Recipe, Shared
    from qwenbuild.pages.report import Prepare
    from qwenbuild.pages.thumbnails import Thumbnails

    from .engine import Engine

_WORTH_CONNECTING = 100  # thumbnails: this many take about as long as finding the workers
_AT_ONCE = 256  # orders that are out; each may come back with an image in memory


def place_of(project: Project, options: Options) -> Place | None:
    """Return the cluster that does the project's free work; None for this machine alone.

    Raises UsageError, and Untrusted if only the project says which scheduler is the right one.
    """
    config, trust = project.config.executor, project.trust
    address, files = config.dask or "", config.tls
    if options.executor is not None:
        try:
            address = address_of(options.executor)
        except ValueError as error:
            claim = f"--executor {options.executor} can't be used: {error}"
            raise UsageError(claim, hint=HINT, name="executor-address") from None
        if files and address.startswith("tls:"):
            trust.require(ask_authority(files.ca))
    else:
        asked = [*([ask(address)] if address not in ("", LOCAL) else []), *([ask_authority(files.ca)] if files else [])]
        allowed = [trust.allows(item) for item in asked]
        if address != LOCAL and not all(allowed):
            return None
    if not address:
        return None
    tls = Tls(*(str(project.root / path) for path in (files.ca, files.cert, files.key))) if files else None
    return Place(address, tls)


def check_plan(engine: Engine, plan: Plan) -> None:
    """Raise UsageError if the user asked for a cluster, and everything that the plan renders has a price."""
    renders = [step for step in plan.steps if step.verdict is Verdict.RENDER]
    if not (engine.place and engine.options.executor and renders):
        return
    actions = [step.action for step in plan.steps]
    if any(engine.routes.price(it.choice, it.model.name, it.size) is None for it in actions):
        return
    names = dict.fromkeys(f"{step.action.model.name} at {_provider(engine, step.action.choice)}" for step in renders)
    raise UsageError(
        f"nothing that is selected can be made by {engine.place.name}, because all of it has a price",
        facts=[
            f"it has a price: {listing(names)}", "a cluster may do work twice, so qwenbuild pays on this machine alone",
        ],
        hint="leave out --executor; or `--provider draft` makes drafts, for free", name="executor-paid-work",
    )  # fmt: skip


def away_of(engine: Engine, tell: Callable[[Problem], None]) -> Away | None:
    """Return what a build needs to have its free images made elsewhere, None if it makes them itself."""
    if engine.place is None:
        return None
    from qwenbuild.builder.away import Away
    from qwenbuild.executors.dask import DaskExecutor

    from .making import make

    recipe = cache(partial(_recipe, engine))
    executor, at_once = DaskExecutor(engine.place, tell), engine.options.jobs or _AT_ONCE
    return Away(executor, make, recipe, _shared(engine), at_once, is_near=engine.place.address == LOCAL)


def thumbnails_of(engine: Engine) -> Prepare | None:
    """Return what has the workers of a cluster make a report's thumbnails.

    None without a cluster, or without a cache that the workers share: sending an image takes as long as a thumbnail.
    """
    if (place := engine.place) is None or (shared := _shared(engine)) is None:
        return None

    def prepare(thumbnails: Thumbnails, digests: Iterable[str]) -> Sequence[Problem]:
        wanted = thumbnails.lacking(digests)
        if len(wanted) < _WORTH_CONNECTING:
            return ()
        import asyncio

        return asyncio.run(_make_thumbnails(place, shared, thumbnails, wanted))

    return prepare


async def _make_thumbnails(
    place: Place, shared: Shared, thumbnails: Thumbnails, wanted: Sequence[str]
) -> Sequence[Problem]:
    """Have thumbnails made, and keep them. Return what to warn of: those that are not made are made here."""
    import asyncio

    from qwenbuild.executors.dask import DaskExecutor

    from .making import thumbnail

    told: list[Problem] = []
    executor, limit = DaskExecutor(place, told.append), asyncio.Semaphore(_AT_ONCE)

    async def make(digest: str) -> None:
        async with limit:
            try:
                small = await executor.do(thumbnail, shared, digest)
            except ExecutorError:
                raise
            except ProviderError:
                return
            if small:
                await asyncio.to_thread(thumbnails.keep, digest, small)

    try:
        async with executor.running(), asyncio.TaskGroup() as group:
            for digest in wanted:
                group.create_task(make(digest))
    except* ExecutorError as lost:
        for error in lost.exceptions[:1]:
            told += error.problems if isinstance(error, ExecutorError) else ()
    return told


def _provider(engine: Engine, choice: Choice) -> str:
    return engine.routes.provider(choice).name


def _recipe(engine: Engine, choice: Choice) -> Recipe:
    """Return how a worker makes the provider of a choice; see `Away`."""
    from qwenbuild.builder.away import Recipe

    provider = engine.routes.provider(choice)
    engine.project.trust.require(*asked_by(provider))
    name, reader, root = provider.name, reading(provider), engine.project.root
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in (reader.files() if reader else ())}
    given = {option: getattr(engine.options, option) or getattr(choice, option) for option in OPTIONS}
    taken = options_of(registry.find(name) or (lambda settings: engine.routes.provider(choice)))
    table = {**engine.project.config.providers.get(name, {}), **settings_of_environment(provider)}
    table = {**table, **{option: value for option, value in given.items() if value and option in taken}}
    return Recipe(name, table, files)


def _shared(engine: Engine) -> Shared | None:
    """Return the remote cache that the workers share; None if there is none, or if it is only read."""
    from qwenbuild.builder.away import Shared

    config, asked = engine.project.config.remote, engine.options.remote
    url = config.url if asked is None else asked
    if engine.remote is None or not engine.remote.writes or not url:
        return None
    if url != config.url:  # the config's token and headers are for the config's URL
        return Shared(url)
    return Shared(url, config.read_only, config.token_env, config.secret_env, config.header)
