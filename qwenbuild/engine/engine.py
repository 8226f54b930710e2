"""The engine: plans, builds and explains one project; the public Python API.

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
import os
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenbuild.errors import ProviderError
from qwenbuild.options import Options
from qwenbuild.plan import judge
from qwenbuild.plan.drawn_seeds import with_drawn_seeds
from qwenbuild.plan.emulation import AddressOf, nowhere
from qwenbuild.plan.kept_requests import with_kept_requests
from qwenbuild.plan.plan import Plan
from qwenbuild.provider import Provider, emulator_address
from qwenbuild.request import Submission
from qwenbuild.specs.action import Action
from qwenbuild.specs.project import Project
from qwenbuild.specs.read_cache import ReadCache
from qwenbuild.specs.reader import Reader, check_renders
from qwenbuild.specs.spec import Spec
from qwenbuild.storage import lock, picks
from qwenbuild.storage.lanes import Lanes
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.outputs import Outputs
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store
from qwenbuild.storage.store_place import default_root
from qwenbuild.storage.submissions import Submissions

from . import distributing, locking, picking, routing, trusting
from .planning import make_plan

if TYPE_CHECKING:
    from qwenbuild.builder.interrupt import Interrupt
    from qwenbuild.events import Emit, Finished
    from qwenbuild.pages.report import Written
    from qwenbuild.pages.sheet import Choices
    from qwenbuild.pages.sheet import Written as Sheet
    from qwenbuild.plan.explain import Explanation
    from qwenbuild.plan.review import Change
    from qwenbuild.plan.stars import Starred
    from qwenbuild.provider import ServiceTask
    from qwenbuild.specs.lint_rules import Remark
    from qwenbuild.storage.picks import Picks

    from .keeping import Keeping
    from .picking import Picked


def load(path: str | os.PathLike[str] = ".", options: Options | None = None, **choices: Any) -> Engine:
    """Return the engine of the project around the folder `path`.

    `choices` are fields of `Options`; they replace those of `options`. Raises UsageError if there is no project or no
    such profile, ProjectError if its config is wrong.
    """
    asked = replace(options or Options(), **choices)
    return Engine(routing.found(Path(path), asked, os.environ), asked, os.environ)


class Engine:
    """One project with one set of options. Every method reads the project's files again.

    `options` is what the user asked for; in `effective` the config's values replace None in `provider`, `resubmit` and
    `max_cost`. `inputs` are the paths that the last reading depended on, even if it found mistakes.
    """

    def __init__(self, project: Project, options: Options, environ: Mapping[str, str]) -> None:
        self.project = project
        self.options = options
        config = project.config
        resubmit = config.resubmit == "always"
        self.effective = options.or_else(provider=config.provider, resubmit=resubmit, max_cost=config.budget.max_cost)
        self.store = Store(default_root(environ))
        self.read_cache: ReadCache | None = None  # set by callers that read the project again and again
        self._last_lock: Lock | None = None  # kept only with a `read_cache`; read again if the file changed
        self.inputs: Sequence[Path] = ()
        self.environ = environ
        self.routes = routing.routes_of(project, self.options, environ)
        self.remote = trusting.remote_of(project, options.remote, environ)
        self.place = distributing.place_of(project, options)

    def with_options(self, **choices: Any) -> Engine:
        """Return an engine of the same project; `choices` are fields of `Options` that replace this engine's."""
        options, is_same = replace(self.options, **choices), choices.keys().isdisjoint(("profile", "variables"))
        other = Engine(self.project if is_same else routing.again(self, options), options, self.environ)
        other.read_cache, other.remote, other._last_lock = self.read_cache, self.remote, self._last_lock
        return other

    def reloaded(self) -> Engine:
        """Return an engine with the project's present config and these options. Raises what `load` raises."""
        return Engine(routing.again(self, self.options), self.options, self.environ)

    @property
    def provider(self) -> Provider:
        """The provider of images that choose none."""
        return self.routes.default

    @property
    def address_of(self) -> AddressOf:
        """What returns where an emulator may answer an action's provider. Ask for it once the actions are known."""
        is_any = any(map(emulator_address, self.routes.used.values()))
        return (lambda it: emulator_address(self.routes.provider(it.choice))) if is_any else nowhere

    @property
    def max_cost(self) -> Decimal | None:
        """The most that one build may spend, in CNY; None without limit."""
        return self.effective.max_cost

    @property
    def max_renders(self) -> int:
        """The most new renders that one build may have."""
        asked = self.options.max_renders
        return self.project.config.max_renders if asked is None else asked

    @property
    def lock_path(self) -> Path:
        """The path of the project's lock, which may not exist."""
        return self.project.root / lock.NAME

    @property
    def picks_path(self) -> Path:
        """The path of the project's `picks.toml`, which may not exist."""
        return self.project.root / picks.NAME

    @property
    def is_locking(self) -> bool:
        """Whether this engine reads and writes the lock, which pins images of the project's own providers only."""
        return self.options.provider in (None, self.project.config.provider)

    def outputs(self) -> Outputs:
        """Return the object that writes the project's outputs."""
        return Outputs(self.project.out, self.project.state_dir / "tmp")

    def state(self, *, create: bool = False) -> contextlib.AbstractContextManager[State]:
        """Return a context with the project's state; without `create` a missing one is empty and stays missing."""
        return contextlib.closing(State.of(self.project.root, create=create))

    def submissions(self, state: State) -> contextlib.AbstractContextManager[Submissions]:
        """Return a context with the default provider's submissions, by this state and by the ledger."""
        return contextlib.closing(routing.submissions_of(self, state, self.provider))

    def lanes(self, state: State) -> contextlib.AbstractContextManager[Lanes]:
        """Return a context with the providers of all images and their submissions."""
        return contextlib.closing(Lanes(self.routes, partial(routing.submissions_of, self, state)))

    # --- reading ---

    def specs(self) -> list[Spec]:
        """Return the project's specs; raises ProjectError with all problems of all specs."""
        return self._reader().specs()

    def actions(self) -> list[Action]:
        """Return every action of the project; raises ProjectError with all problems, TooManyRenders."""
        return self._expand()[0]

    def _reader(self) -> Reader:
        return Reader(self.project, self.routes, self.read_cache, self.max_renders, self.options.all_errors)

    def _expand(self) -> tuple[list[Action], Lock, list[Path]]:
        """Return every action, the lock, and the paths that the actions depend on."""
        reader, pins = self._reader(), Lock()

        def recorded() -> Mapping[str, Pin]:
            nonlocal pins
            pins = locking.read(self, self._last_lock)
            return pins.every

        try:
            with self.state() as state:
                actions, inputs = reader.actions(locking.image_counts(self, state), recorded)
        finally:
            self.inputs = [*reader.inputs, self.picks_path]
        self._last_lock = pins if self.read_cache else None
        return actions, pins if self.is_locking else Lock(others=pins.others), inputs

    def declared(self, state: State) -> tuple[Sequence[Action], Lock, list[Path]]:
        """Return (actions under their recorded keys, the lock, the input paths)."""
        actions, pins, inputs = self._expand()
        at = self.address_of
        drawn = actions if self.options.force else with_drawn_seeds(actions, pins, state, self.store, self.routes, at)
        every = judge.with_known_keys(with_kept_requests(drawn, pins, state, at), pins, state, self.store, at)
        return every, pins, [*inputs, self.lock_path, self.picks_path]

    def last_run(self) -> dict[str, Any] | None:
        """Return when the last build started and finished, and its summary; None before the first build."""
        with self.state() as state:
            return state.last_run()

    def in_flight(self) -> list[Submission]:
        """Return the project's submissions that no build has collected yet."""
        with self.state() as state, self.lanes(state) as lanes:
            return lanes.own()

    def selected(self, actions: Sequence[Action]) -> list[Action]:
        """Return those of all actions that the options choose: see `picking.selected`."""
        return picking.selected(self, actions)

    # --- planning ---

    def plan(self) -> Plan:
        """Return what a build would do, and why. Changes nothing."""
        with self.state() as state:
            return make_plan(self, state)

    def check_renders(self, plan: Plan) -> None:
        """Raise TooManyRenders if a build would refuse the plan because it has too many renders."""
        check_renders(len(plan.renders), self.max_renders)

    def explain(self) -> list[Explanation]:
        """Return why each selected output is what it is, and what would make it up to date. Changes nothing.

        Raises what `plan` raises, and UsageError if too many outputs are selected for a person to read.
        """
        from qwenbuild.plan.explain import Explainer

        with self.state() as state, self.lanes(state) as lanes:
            plan = make_plan(self, state)
            return Explainer(self.project, state, self.store, lanes, self.options).explain(plan)

    # --- building ---

    def build(
        self,
        emit: Emit | None = None,
        interrupt: Interrupt | None = None,
        *,
        arguments: Sequence[str] | None = None,
        outputs: AbstractSet[str] | None = None,
        keys: AbstractSet[str] | None = None,
        quiet: bool = False,
    ) -> Finished:
        """Plan, build, and return how it ended; `emit` gets every event, with `quiet` none of outputs up to date.

        `outputs` narrows the selection to these paths below `out/`; paths that no spec declares are ignored. `keys`
        narrows it to actions with these keys, so a cell that was edited meanwhile is left out. `arguments` is the
        command line: if it comes again and nothing has changed, the fast path answers (see `noop`).

        In the main thread, Ctrl-C stops the build in two stages (see `Interrupt`). Raises ProjectError, UsageError,
        LockError, TooManyRenders, ProjectBusy, StateError.
        """
        from .building import build

        return build(self, emit, interrupt, arguments=arguments, outputs=outputs, keys=keys, quiet=quiet)

    # --- in modules of their own ---

    def report(
        self, folder: Path | None = None, *, small: bool = False, tell: Callable[[int, int], None] | None = None
    ) -> Written:
        """Write the page of all cells into `folder`, by default below `.qwenbuild/`; see `report.write`.

        A `small` page has only thumbnails. `tell` gets the number of finished images and that of all. Raises what
        `plan` raises, UsageError if the folder holds something else, OutputError."""
        from qwenbuild.pages import report

        with self.state() as state:
            plan = make_plan(self, state)
            folder, prepare = folder or self.project.state_dir / "report", distributing.thumbnails_of(self)
            return report.write(folder, self.project, plan, state, self.store, self.routes, small=small, tell=tell,
                                prepare=prepare)  # fmt: skip

    def sheet(
        self, path: Path, choices: Choices | None = None, tell: Callable[[int, int], None] | None = None
    ) -> Sheet:
        """Write a contact sheet of all cells to `path`, a PNG, PDF or HTML file; see `sheet.write`."""
        from qwenbuild.pages import sheet

        asked = choices or sheet.Choices()
        sheet.check(path, asked)
        with self.state() as state:
            plan = make_plan(self, state)
            return sheet.write(path, self.project, plan, state, self.store, self.routes, asked, tell)

    def lint(self) -> list[Remark]:
        """Return what specs and templates say, but most likely do not mean: see `lint.remarks`. Changes nothing."""
        from qwenbuild.specs import lint

        actions = self.actions()
        return lint.remarks(self.project, actions, self.selected(actions))

    def picks(self) -> Picks:
        """Return the project's stars. Raises ProjectError if `picks.toml` has a mistake."""
        return picks.read(self.picks_path)

    def stars(self) -> list[Starred]:
        """Return each star, the best rank first, and whether its cell still has the image that was starred."""
        return picking.listed(self)

    def pick(
        self, cells: Sequence[str] = (), note: str | None = None, rank: int | None = None, *, drop: bool = False
    ) -> Picked:
        """Star cells with their present images, or with `drop` take their stars away: see `picking.pick`."""
        return picking.pick(self, cells, note, rank, drop=drop)

    def keep(self, cells: Sequence[str] = ()) -> Keeping:
        """Return the edits of specs that keep only these cells of their images: see `keeping.keep`."""
        from . import keeping

        return keeping.keep(self, cells)

    def review(self, revision: str) -> tuple[Plan, list[Change]]:
        """Return the plan, and how it differs from the lock of another git revision: see `review.review`."""
        from .review import review

        return review(self, revision)

    def write_lock(self) -> tuple[bool, int]:
        """Write the lock without rendering: see `locking.write_lock`."""
        return locking.write_lock(self)

    def check_lock(self) -> None:
        """Raise LockError if a build would change the lock: see `locking.check_lock`."""
        locking.check_lock(self)

    def account_tasks(self, status: str = "") -> Sequence[ServiceTask]:
        """Return the account's recent tasks: see `tasks.account_tasks`."""
        from . import tasks

        return tasks.account_tasks(self, status)

    def cancel_tasks(self, task_ids: Sequence[str]) -> dict[str, ProviderError | None]:
        """Cancel tasks that have not begun: see `tasks.cancel_tasks`."""
        from . import tasks

        return tasks.cancel_tasks(self, task_ids)

    def clean(self, *, orphans_only: bool = False, dry_run: bool = False) -> list[tuple[str, bool]]:
        """Remove outputs that qwenbuild wrote: see `clean.clean`."""
        from .clean import clean

        return clean(self, orphans_only=orphans_only, dry_run=dry_run)
