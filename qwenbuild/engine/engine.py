"""Composes one build from the parts; the public Python API.

```python
import qwenbuild

engine = qwenbuild.load("path/to/project", where=["seed=1"])
for step in engine.plan().steps:
    print(step.action.name, step.verdict, step.reason)
finished = engine.build()
```
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenbuild import noop
from qwenbuild.errors import ProviderError, UsageError
from qwenbuild.plan import judge
from qwenbuild.plan import pins as locking
from qwenbuild.plan.plan import Plan, Rules, Step, Verdict
from qwenbuild.problems import Problem
from qwenbuild.provider import OPTIONS, Provider, Settings, resumable
from qwenbuild.providers.registry import SERVICE, create
from qwenbuild.request import Submission
from qwenbuild.specs import selection
from qwenbuild.specs.action import Action
from qwenbuild.specs.project import Project, find
from qwenbuild.specs.read_cache import ReadCache
from qwenbuild.specs.reader import Reader, check_renders
from qwenbuild.specs.spec import Spec
from qwenbuild.storage import lock
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.build_lock import alone
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.outputs import Outputs
from qwenbuild.storage.records import Output
from qwenbuild.storage.state import State, state_path
from qwenbuild.storage.store import Store, default_root

from .options import Options

if TYPE_CHECKING:
    from qwenbuild.builder.builder import Builder
    from qwenbuild.builder.interrupt import Interrupt
    from qwenbuild.events import Emit, Finished
    from qwenbuild.pages.report import Written
    from qwenbuild.plan.explain import Explanation
    from qwenbuild.plan.review import Change
    from qwenbuild.provider import ServiceTask
    from qwenbuild.storage.remote.cache import Remote


def load(path: str | os.PathLike[str] = ".", options: Options | None = None, **choices: Any) -> Engine:
    """Return the engine of the project that `path` lies in.

    `choices` are fields of `Options`, over `options`. Raises UsageError where there is no project,
    ProjectError where its config is wrong.
    """
    return Engine(find(Path(path)), replace(options or Options(), **choices), os.environ)


class Engine:
    """One project with one set of options. Every method reads the project's files anew."""

    def __init__(self, project: Project, options: Options, environ: Mapping[str, str]) -> None:
        self.project = project
        self.options = options
        self.store = Store(default_root(environ))
        self.read_cache: ReadCache | None = None  # set by callers that read the project again and again
        self._last_lock: Lock | None = None  # kept only with a `read_cache`; read again if the file changed
        self.inputs: Sequence[Path] = ()  # what the last reading rests on, also where it found mistakes
        self._environ = environ
        self.provider = self._provider()
        self.remote = self._remote()

    def with_options(self, **choices: Any) -> Engine:
        """Return an engine of the same project with `choices`, fields of `Options`, over these options."""
        other = Engine(self.project, replace(self.options, **choices), self._environ)
        other.read_cache, other.remote, other._last_lock = self.read_cache, self.remote, self._last_lock
        return other

    def reloaded(self) -> Engine:
        """Return the engine of the project as its config is now, with these options. Raises what `load` does."""
        return Engine(find(self.project.searched[0].parent), self.options, self._environ)

    @property
    def max_cost(self) -> Decimal | None:
        """What one build may cost, in CNY; None where nothing limits it."""
        asked = self.options.max_cost
        return self.project.config.budget.max_cost if asked is None else asked

    def _provider(self) -> Provider:
        config, options = self.project.config, self.options
        name = options.provider or config.provider
        settings = Settings(config.providers.get(name, {}), self.project.catalogue, self._environ, options.jobs)
        return create(name, settings, {option: getattr(options, option) for option in OPTIONS})

    def _remote(self) -> Remote | None:
        config, asked = self.project.config.remote, self.options.remote
        if not (config.url if asked is None else asked):
            return None
        from qwenbuild.storage.remote.settings import make_remote

        return make_remote(config, asked, self._environ)

    # --- reading ---

    def specs(self) -> list[Spec]:
        """Return the project's specs; raises ProjectError with every problem of all of them."""
        return self._reader().specs()

    def actions(self) -> list[Action]:
        """Return every action of the project; raises ProjectError with every problem, TooManyRenders."""
        return self._expand()[0]

    def _expand(self) -> tuple[list[Action], list[Path]]:
        """Return every action, and the paths that they depend on."""
        reader = self._reader()
        try:
            with contextlib.closing(self._state(create=False)) as state:
                return reader.actions(self._image_counts(state))
        finally:
            self.inputs = reader.inputs

    def _image_counts(self, state: State) -> Iterator[Mapping[str, int]]:
        """Give how many outputs of each image were rendered: here; then also elsewhere, as the lock tells."""
        yield (here := Counter(state.image_counts()))
        if self._is_locking:
            yield here | lock.counts(self._lock_path)

    def _reader(self) -> Reader:
        return Reader(self.project, self.provider, self.read_cache, self._max_renders)

    @property
    def _max_renders(self) -> int:
        asked = self.options.max_renders
        return self.project.config.max_renders if asked is None else asked

    def _outputs(self) -> Outputs:
        return Outputs(self.project.out, self.project.state_dir / "tmp")

    @property
    def _lock_path(self) -> Path:
        return self.project.root / lock.NAME

    def _state(self, *, create: bool) -> State:
        return State.of(self.project.root, create=create)

    # --- planning ---

    def plan(self) -> Plan:
        """Return what a build would do, and why. Changes nothing."""
        with contextlib.closing(self._state(create=False)) as state:
            return self._plan(state)

    def check_renders(self, plan: Plan) -> None:
        """Raise TooManyRenders where a build of the plan would be refused for how many images it renders."""
        check_renders(len(plan.renders), self._max_renders)

    def _plan(
        self, state: State, outputs: AbstractSet[str] | None = None, keys: AbstractSet[str] | None = None
    ) -> Plan:
        with _uncollected():
            return self._planned(state, outputs, keys)

    def _planned(self, state: State, outputs: AbstractSet[str] | None, keys: AbstractSet[str] | None) -> Plan:
        (every, pins, inputs), options = self._declared(state), self.options
        chosen = selection.select(every, options.select, options.where, self.project)
        if options.shard:
            chosen = selection.shard(chosen, *options.shard)
        if outputs is not None:
            chosen = [action for action in chosen if action.output in outputs]
        if keys is not None:
            chosen = [action for action in chosen if action.key in keys]
        resubmit = options.resubmit if options.resubmit is not None else self.project.config.resubmit == "always"
        rules = Rules(options.force, options.overwrite, resubmit, options.relock)
        records = state.outputs()
        steps = judge.judge(chosen, self.project.out, records, state, self.store, self.provider, rules, pins)
        if self.remote and not options.force:
            steps = _share(steps, self.remote)
        whole = not (options.select or options.where or options.shard) and outputs is None and keys is None
        orphans = judge.orphans(every, self.project.out, records) if whole else []
        warnings = self.remote.warnings() if self.remote else ()
        strays = [] if options.select or options.where else judge.strays(every, state, self.store, self.provider)
        plan = Plan(
            steps, orphans, inputs=inputs, actions=every, records=records, lock=pins, warnings=warnings, strays=strays
        )
        renders = Counter([step.action.model.name for step in plan.renders])
        return replace(plan, shortest_s=self.provider.shortest_s(renders))

    def _declared(self, state: State) -> tuple[Sequence[Action], Lock, list[Path]]:
        """Return every action, by the key that it is on record by, what they are held against, and what all rest on."""
        actions, inputs = self._expand()
        sound = {action.output for action in actions}
        pins = lock.read(self._lock_path, self._last_lock, sound) if self._is_locking else Lock()
        if self.read_cache:
            self._last_lock = pins
        every = judge.with_known_keys(actions, pins, state, self.store)
        return every, pins, [*inputs, self._lock_path]

    @property
    def _is_locking(self) -> bool:
        """Whether the lock is read and written: it pins what the project's own provider makes."""
        return self.provider.name == self.project.config.provider

    def last_run(self) -> dict[str, Any] | None:
        """Return when the last build started and ended, and how; None before the first."""
        with contextlib.closing(self._state(create=False)) as state:
            return state.last_run()

    def report(
        self, folder: Path | None = None, *, small: bool = False, tell: Callable[[int, int], None] | None = None
    ) -> Written:
        """Write the page of all cells into `folder` (see `report`); None: below `.qwenbuild/`.

        A `small` one has thumbnails alone; `tell` gets how many images are done, and of how many.
        Raises what `plan` does, UsageError where the folder holds something else, OutputError.
        """
        from qwenbuild.pages import report

        with contextlib.closing(self._state(create=False)) as state:
            plan = self._plan(state)
            folder = folder or self.project.state_dir / "report"
            return report.write(folder, self.project, plan, state, self.store, self.provider, small=small, tell=tell)

    def review(self, revision: str) -> tuple[Plan, list[Change]]:
        """Return the plan, and how it differs from the lock of another git revision.

        Raises what `plan` does, UsageError where git has no such revision.
        """
        from qwenbuild.plan import review

        self._check_locking()
        before = review.base(self.project.root, revision)
        with contextlib.closing(self._state(create=False)) as state:
            plan = self._plan(state)

            def request_of(key: str) -> Mapping[str, Any] | None:
                entry = self.store.lookup(key)
                told = self.store.provenance(entry) if entry else None
                return state.request(key) or (told or {}).get("request")

            if before is None:
                claim = f"{revision} has no {lock.NAME}: all that is declared counts as added"
                plan = replace(plan, warnings=[*plan.warnings, Problem(claim)])
            return plan, review.changes(plan, before or Lock(), request_of)

    def explain(self) -> list[Explanation]:
        """Return why each selected output is what it is, and what would make it up to date. Changes nothing.

        Raises what `plan` does, and UsageError where more are selected than a person reads.
        """
        from qwenbuild.plan.explain import Explainer

        options = {name: getattr(self.options, name) for name in ("provider", "region", "interface")}
        with contextlib.closing(self._state(create=False)) as state:
            plan = self._plan(state)
            return Explainer(self.project, state, self.store, self.provider, options).explain(plan)

    # --- building ---

    def build(
        self,
        emit: Emit | None = None,
        interrupt: Interrupt | None = None,
        *,
        arguments: Sequence[str] | None = None,
        outputs: AbstractSet[str] | None = None,
        keys: AbstractSet[str] | None = None,
    ) -> Finished:
        """Plan, build, and return how it ended; `emit` gets every event on the way.

        `outputs` narrows the selection to these paths below `out/`; those declared no more are left out.
        `keys` narrows it to actions with these keys: a cell that was edited since they were planned is left out.
        `arguments` is the command line that asks for it: given again, it finds at once that
        nothing has changed (see `snapshot`).

        Ctrl-C, where this runs in the main thread, stops in two stages (see `Interrupt`). Raises
        ProjectError, UsageError, TooManyRenders, ProjectBusy, StateError.
        """
        import asyncio  # takes as long to load as a small plan does; nothing else of a plan needs it

        from qwenbuild.builder.builder import Builder
        from qwenbuild.builder.interrupt import Interrupt
        from qwenbuild.builder.workers import Limits

        if self.options.locked:
            self._check_locked()
        if self.options.detach and not resumable(self.provider):
            raise UsageError(
                f'--detach leaves images with a service, and the provider "{self.provider.name}" has none',
                hint=f"--provider {SERVICE} --interface async has",
            )
        begun, started_ns = time.monotonic(), time.time_ns()
        interrupt = interrupt or Interrupt()
        limits = Limits(
            fail_fast=self.options.fail_fast,
            force=self.options.force,
            detach=self.options.detach,
            locked=self.options.locked,
            relock=self.options.relock,
            max_cost=self.max_cost,
        )
        with alone(self.project.state_dir):
            with contextlib.closing(self._state(create=True)) as state:
                plan = self._plan(state, outputs, keys)
                if self.options.locked:
                    locking.check(plan.actions, plan.lock, state.request)
                    locking.check_edits(plan.steps)
                self.check_renders(plan)
                if plan.count(Verdict.UP_TO_DATE) < len(plan.steps):
                    noop.forget(str(self.project.root))
                    self.store.register(self.project.root)
                if self.options.force:  # were it killed, the lock would bring back what it has replaced
                    replaced = {step.action.output for step in plan.steps}
                    self._write_lock(replace(plan, lock=plan.lock.without(replaced)), {}, {})
                builder = Builder(
                    plan, self._outputs(), state, self.store, self.provider, limits,
                    emit or (lambda event: None), interrupt, begun, self.remote,
                )  # fmt: skip
                finished = asyncio.run(_run(builder, interrupt))
            records = {**plan.records, **builder.recorded}
            made = {path: output.image for path, output in builder.recorded.items()}
            written = [self._lock_path] if self._write_lock(plan, made, records) else []
            # With the state closed, as its file's fingerprint is taken, and before another build can begin.
            if arguments is not None and finished.complete and not (self.options.force or plan.orphans or plan.strays):
                self._remember(arguments, plan, records, written, started_ns)
        return finished

    def _check_locked(self) -> None:
        contrary = [name for name in ("force", "relock") if getattr(self.options, name)]
        if contrary:
            raise UsageError(f"--locked and --{contrary[0]} contradict each other")
        self._check_locking()

    def _check_locking(self) -> None:
        if not self._is_locking:
            configured = self.project.config.provider
            raise UsageError(f'the lock pins what the provider "{configured}" makes, not "{self.provider.name}"')

    def _write_lock(self, plan: Plan, made: Mapping[str, str], records: Mapping[str, Output]) -> bool:
        """Write what the lock has to say after a build; return whether that is new."""
        if self.options.locked or not self._is_locking:
            return False
        pins = locking.pins(plan.actions, plan.lock, made, records)
        return lock.write(self._lock_path, pins, self.project.state_dir / "tmp")

    def write_lock(self) -> tuple[bool, int]:
        """Write the lock of what is there already, rendering nothing.

        Returns whether that is new, and how many outputs it does not pin as the specs declare them.

        What the lock does not pin yet is taken from what is on record of the outputs, else from
        the store. Raises what `plan` does, ProjectBusy, OutputError.
        """
        with alone(self.project.state_dir), contextlib.closing(self._state(create=True)) as state:
            plan = self._plan(state)
            there = {step.action.output: step.adopted for step in plan.steps if step.adopted}
            stored = {step.action.output: step.entry.image for step in plan.steps if step.entry}
            wrote = self._write_lock(plan, there | stored, plan.records)
            pins = lock.read(self._lock_path)
            return wrote, sum(pins.pinned(action.output, action.key) is None for action in plan.actions)

    def check_lock(self) -> None:
        """Raise LockError where a build would change the lock, naming what; changes nothing."""
        with contextlib.closing(self._state(create=False)) as state:
            every, pins, _ = self._declared(state)
            locking.check(every, pins, state.request)

    def _remember(
        self, arguments: Sequence[str], plan: Plan, records: Mapping[str, Output], own: Sequence[Path], started_ns: int
    ) -> None:
        """Leave a snapshot, so that the same command line need not look closely again."""
        folders: dict[str, list[noop.Expected]] = {}
        for step in plan.steps:
            record = records.get(step.action.output)
            if record is None:
                return
            folder, _, name = record.path.rpartition("/")
            folders.setdefault(folder, []).append((name, record.st_size, record.st_mtime_ns, record.st_ino))
        outputs = {os.path.join(self.project.out, folder): names for folder, names in folders.items()}
        written = [str(path) for path in (state_path(self.project.root), *own)]
        inputs = [str(path) for path in plan.inputs if path not in own]
        noop.write(str(self.project.root), arguments, inputs, written, outputs, started_ns)

    # --- the service ---

    def in_flight(self) -> list[Submission]:
        """Return the project's submissions that no build has collected yet."""
        with contextlib.closing(self._state(create=False)) as state:
            return state.open_submissions()

    def account_tasks(self, status: str = "") -> Sequence[ServiceTask]:
        """Return the account's recent tasks: see `tasks.account_tasks`."""
        from . import tasks

        return tasks.account_tasks(self, status)

    def cancel_tasks(self, task_ids: Sequence[str]) -> dict[str, ProviderError | None]:
        """Cancel tasks that have not begun: see `tasks.cancel_tasks`."""
        from . import tasks

        return tasks.cancel_tasks(self, task_ids)

    # --- cleaning ---

    def clean(self, *, orphans_only: bool = False, dry_run: bool = False) -> list[tuple[str, bool]]:
        """Remove outputs that qwenbuild wrote, those selected, or only orphans; the store keeps their bytes.

        Returns (path, removed) for each; edited files are kept.
        """
        with alone(self.project.state_dir), contextlib.closing(self._state(create=True)) as state:
            records = state.outputs()
            doomed = set(records)
            if orphans_only:
                doomed -= {action.output for action in self.actions()}
            elif self.options.select or self.options.where:
                chosen = selection.select(self.actions(), self.options.select, self.options.where, self.project)
                doomed &= {action.output for action in chosen}
            outputs = self._outputs()
            result = [(path, outputs.remove(records[path], dry_run=dry_run)) for path in sorted(doomed)]
            if not dry_run:
                state.forget(path for path, removed in result if removed)
            return result


def _share(steps: list[Step], remote: Remote) -> list[Step]:
    """Return the steps, those whose images the remote cache has as restores; asks it only where some are lacking."""
    import asyncio

    keys, images = judge.wanted(steps)

    async def find() -> Mapping[str, Entry]:
        async with remote:
            return await remote.find(keys, images)

    return list(judge.shared(steps, asyncio.run(find()))) if keys or images else steps


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector away: what a plan makes stays, and to look through it again and again takes time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.freeze()  # and back: what was made counts as old, else all of it would be looked through at once
            gc.unfreeze()
            gc.enable()


async def _run(builder: Builder, interrupt: Interrupt) -> Finished:
    gc.freeze()  # the plan stays, and to look through its 100,000 cells halts all else for a tenth of a second
    try:
        with interrupt.by_signals():
            return await builder.run()
    finally:
        gc.unfreeze()
