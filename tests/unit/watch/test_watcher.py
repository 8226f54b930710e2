"""The watch, with real builds and with real files, saved as editors save them."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.emulator.server import Running
from qwenbuild.engine import engine
from qwenbuild.errors import UsageError
from qwenbuild.events import Drafted, Event, Finished, ImageFinished, ImageStarted, Outcome, Replanned, Stopping
from qwenbuild.plan.plan import Plan, Verdict
from qwenbuild.storage import lock, lock_format
from qwenbuild.watch.watcher import Watch
from tests.support.gated import Gate
from tests.support.workspace import Workspace

pytest_plugins = ("tests.support.emulated",)

SPEC = """
[image.poster]
template = "poster.j2"
[image.poster.matrix]
colour = ["red", "blue"]
"""
FREE = {"qwenbuild.toml": 'provider = "null"\n', "specs/a.toml": SPEC, "templates/poster.j2": "a {{ colour }} ball"}
PAID = {**FREE, "qwenbuild.toml": '[providers.dashscope]\nsubmits = "1000/second"\n'}


class Watched:
    """A watch under test, and all events that it has emitted."""

    def __init__(self, root: Path, auto: bool, choices: dict[str, Any]) -> None:
        self.events: list[Event] = []
        self.watch = Watch(engine.load(root, **choices), self.events.append, auto=auto)
        self.live = self.watch.live
        self.root = root

    @property
    def plan(self) -> Plan:
        assert self.live.plan is not None
        return self.live.plan

    @property
    def prompts(self) -> list[str]:
        """The prompts of the plan."""
        return [step.action.request.prompt for step in self.live.plan.steps] if self.live.plan else []

    @property
    def outputs(self) -> list[str]:
        """The files below `out/`."""
        return sorted(path.relative_to(self.root / "out").as_posix() for path in (self.root / "out").rglob("*.png"))

    def events_of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def is_done(self) -> bool:
        """Return whether there is a plan, every cell is up to date, and no build is running."""
        plan = self.live.plan
        return plan is not None and plan.count(Verdict.UP_TO_DATE) == len(plan.steps) and not self.live.building

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until `is_so` returns True. It is called again after each change of the watch's state."""
        revisions = self.live.subscribe()
        async with asyncio.timeout(100):
            while not is_so():
                await anext(revisions)

    async def until_prompts(self, *prompts: str) -> None:
        await self.until(lambda: self.prompts == list(prompts))


@asynccontextmanager
async def watching(workspace: Workspace, *, auto: bool = False, **choices: Any) -> AsyncIterator[Watched]:
    watched = Watched(workspace.root, auto, choices)
    run = asyncio.create_task(watched.watch.run())
    waiting = asyncio.create_task(watched.until(lambda: bool(watched.live.revision)))
    try:
        await asyncio.wait({run, waiting}, return_when=asyncio.FIRST_COMPLETED)
        yield watched
    finally:
        waiting.cancel()
        watched.watch.leave()
        async with asyncio.timeout(100):
            await run


def test_a_save_builds_what_is_free(project: Workspace) -> None:
    """Images that cost nothing are built after each save."""
    project.write(FREE)

    async def use() -> None:
        async with watching(project) as it:
            await it.until(it.is_done)
            first = it.outputs
            project.write({"templates/poster.j2": "one {{ colour }} ball"})
            await it.until_prompts("one red ball", "one blue ball")
            await it.until(it.is_done)
            assert first == it.outputs == ["a/poster-blue.png", "a/poster-red.png"]
            assert [event.rendered for event in it.events_of(Finished)] == [2, 2]
            await it.until(lambda: it.events_of(Replanned)[-1].changed == ["templates/poster.j2"])

    asyncio.run(use())


def test_a_build_is_under_way_until_the_plan_shows_its_results(project: Workspace) -> None:
    """The watch never says that nothing is being built while its plan is older than the last build."""
    project.write(FREE)

    async def use() -> None:
        async with watching(project) as it:
            while not it.is_done():
                if it.events_of(Finished):
                    assert it.live.building
                await asyncio.sleep(0)
            assert it.live.under_way is None

    asyncio.run(use())


def by_rename(path: Path, text: str) -> None:
    """Save as vim does: move the old file away, write a new one, delete the old one."""
    backup = path.with_name(f"{path.name}~")
    path.rename(backup)
    path.write_text(text)
    backup.unlink()


def in_place(path: Path, text: str) -> None:
    """Save as nano does: truncate the file, then write it."""
    with path.open("w") as file:
        file.flush()
        os.fsync(file.fileno())
        file.write(text)


def by_replace(path: Path, text: str) -> None:
    """Save as most editors do: write a new file and rename it over the old one."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.replace(path)


def by_deleting(path: Path, text: str) -> None:
    """Delete the file, then write a new one with its name."""
    path.unlink()
    path.write_text(text)


@pytest.mark.parametrize("save", [by_rename, in_place, by_replace, by_deleting])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("templates/poster.j2", "one {{ colour }} ball"),
        ("specs/a.toml", '[image.poster]\nprompt = "one {{ colour }} ball"\nmatrix.colour = ["red", "blue"]\n'),
    ],
)
def test_every_way_to_save_is_noticed(
    project: Workspace, save: Callable[[Path, str], None], name: str, text: str
) -> None:
    """The plan follows every way in which editors save, also the second time."""
    project.write(FREE)

    async def use() -> None:
        async with watching(project, where=["colour=*"]) as it:
            await it.until_prompts("a red ball", "a blue ball")
            save(project.root / name, text)
            await it.until_prompts("one red ball", "one blue ball")
            save(project.root / name, text.replace("one", "two"))
            await it.until_prompts("two red ball", "two blue ball")

    asyncio.run(use())


def test_saves_of_data_and_included_templates_are_noticed(project: Workspace) -> None:
    """The plan follows a changed row of a data file, and a changed include."""
    spec = '[image.poster]\ntemplate = "poster.j2"\nmatrix.copy = { file = "../data/copy.csv" }\n'
    project.write({
        "qwenbuild.toml": 'provider = "null"\n', "specs/a.toml": spec, "data/copy.csv": "id,title\nen,ball\n",
        "templates/poster.j2": "{% include 'parts/a.j2' %} {{ copy.title }}", "templates/parts/a.j2": "one",
    })  # fmt: skip

    async def use() -> None:
        async with watching(project) as it:
            await it.until_prompts("one ball")
            project.write({"data/copy.csv": "id,title\nen,kite\nde,Drachen\n"})
            await it.until_prompts("one kite", "one Drachen")
            project.write({"templates/parts/a.j2": "two"})
            await it.until_prompts("two kite", "two Drachen")

    asyncio.run(use())


def test_new_and_deleted_specs_are_noticed(project: Workspace) -> None:
    """A new spec adds its cells, and a deleted spec removes them."""
    project.write(FREE)

    async def use() -> None:
        async with watching(project) as it:
            await it.until_prompts("a red ball", "a blue ball")
            project.write({"specs/b.toml": '[image.kite]\nprompt = "a kite"\n', "specs/notes.txt": "no spec"})
            await it.until_prompts("a red ball", "a blue ball", "a kite")
            (project.root / "specs/b.toml").rename(project.root / "specs/c.toml")
            await it.until(lambda: [step.action.output for step in it.plan.steps][2:] == ["c/kite.png"])
            (project.root / "specs/c.toml").unlink()
            await it.until_prompts("a red ball", "a blue ball")

    asyncio.run(use())


def test_specs_in_new_folders_are_noticed(project: Workspace) -> None:
    """If the glob of specs goes into sub-folders, new folders with specs are noticed."""
    project.write({"qwenbuild.toml": 'provider = "null"\nspecs = "specs/**/*.toml"\n'})
    project.write({"specs/a.toml": '[image.one]\nprompt = "one"\n'})

    async def use() -> None:
        async with watching(project) as it:
            await it.until_prompts("one")
            project.write({"specs/more/deep/b.toml": '[image.two]\nprompt = "two"\n'})
            await it.until_prompts("one", "two")
            project.write({"specs/more/deep/b.toml": '[image.two]\nprompt = "three"\n'})
            await it.until_prompts("one", "three")
            shutil.rmtree(project.root / "specs/more")
            await it.until_prompts("one")

    asyncio.run(use())


def test_folders_that_are_deleted_and_created_again_are_watched(project: Workspace) -> None:
    """After whole folders were deleted and created again, as by a branch switch, saves in them are noticed."""
    project.write(FREE)

    async def use() -> None:
        async with watching(project) as it:
            await it.until_prompts("a red ball", "a blue ball")
            for folder in ("specs", "templates"):
                shutil.rmtree(project.root / folder)
            await it.until(lambda: bool(it.live.problems))
            assert it.prompts == ["a red ball", "a blue ball"]
            project.write({**FREE, "templates/poster.j2": "one {{ colour }} ball"})
            await it.until_prompts("one red ball", "one blue ball")
            project.write({"templates/poster.j2": "two {{ colour }} ball"})
            await it.until_prompts("two red ball", "two blue ball")
            assert it.live.problems == ()

    asyncio.run(use())


def test_an_error_is_shown_and_the_last_good_plan_stays(project: Workspace) -> None:
    """An error is reported with its place, the last good plan stays, and the fix shows the new plan."""
    project.write(FREE)

    async def use() -> None:
        async with watching(project) as it:
            await it.until(it.is_done)
            project.write({"templates/poster.j2": "one {{ color }} ball"})
            await it.until(lambda: bool(it.live.problems))
            [problem] = it.live.problems
            assert problem.claim == 'undefined variable "color"'
            assert str(problem.place) == "templates/poster.j2:1:8"
            assert it.prompts == ["a red ball", "a blue ball"]
            assert it.events_of(Replanned)[-1].problems == (problem,)
            with pytest.raises(UsageError, match="the project's files have errors"):
                await it.live.render([it.plan.steps[0].action.name], force=True)
            project.write({"templates/poster.j2": "one {{ colour }} ball"})
            await it.until_prompts("one red ball", "one blue ball")
            assert it.live.problems == ()

    asyncio.run(use())


def test_missing_files_may_be_created_later(project: Workspace) -> None:
    """The watch notices when a missing data file, template or include is created, in a new folder too."""
    spec = '[image.poster]\ntemplate = "deep/poster.j2"\nmatrix.copy = { file = "../data/copy.csv", id = "id" }\n'
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/a.toml": spec})

    async def use() -> None:
        async with watching(project) as it:
            assert [problem.claim for problem in it.live.problems] == ["no such file: ../data/copy.csv"]
            project.write({"data/copy.csv": "id\nball\n"})
            await it.until(lambda: "poster.j2" in str(it.live.problems))
            project.write({"templates/deep/poster.j2": "a {{ copy.id }}{% include 'end.j2' %}"})
            await it.until(lambda: "end.j2" in str(it.live.problems))
            project.write({"templates/end.j2": "!"})
            await it.until_prompts("a ball!")

    asyncio.run(use())


def test_an_error_in_the_config_stays_until_it_is_fixed(project: Workspace) -> None:
    """Other saves do not hide an error in the config; the fixed config takes effect."""
    project.write(FREE)

    async def use() -> None:
        async with watching(project) as it:
            await it.until(it.is_done)
            project.write({"qwenbuild.toml": "provider = 1\n"})
            await it.until(lambda: bool(it.live.problems))
            project.write({"templates/poster.j2": "one {{ colour }} ball"})
            await it.until(lambda: it.events_of(Replanned)[-1].changed == ["templates/poster.j2"])
            assert it.live.problems and it.prompts == ["a red ball", "a blue ball"]
            (project.root / "qwenbuild.toml").unlink()
            await it.until(lambda: "no project here" in str(it.live.problems))
            project.write({"qwenbuild.toml": 'provider = "null"\ntemplates = "others"\n', "others/poster.j2": "ball"})
            await it.until_prompts("ball", "ball")

    asyncio.run(use())


def test_a_profile_and_variables_hold_through_saves(project: Workspace) -> None:
    """Also when the config is saved; a profile that is gone from it, or a variable that nothing reads, is an error."""
    config = 'provider = "null"\n[profiles.ball.defaults.vars]\nwhat = "ball"\n'
    project.write({**FREE, "qwenbuild.toml": config, "templates/poster.j2": "{{ how }} {{ colour }} {{ what }}"})

    async def use() -> None:
        async with watching(project, profile="ball", variables=["how=one"]) as it:
            await it.until(it.is_done)
            assert it.prompts == ["one red ball", "one blue ball"]
            project.write({"qwenbuild.toml": config.replace('"ball"', '"kite"')})
            await it.until_prompts("one red kite", "one blue kite")
            await it.until(it.is_done)
            assert b'profile = "ball"\nvars = ["how=one"]\n' in (project.root / lock.NAME).read_bytes()
            project.write({"qwenbuild.toml": 'provider = "null"\n'})
            await it.until(lambda: 'no profile "ball"' in str(it.live.problems))
            project.write({"qwenbuild.toml": config, "templates/poster.j2": "a {{ colour }} {{ what }}"})
            await it.until(lambda: "--var how" in str(it.live.problems))
            project.write({"templates/poster.j2": "{{ how }} {{ colour }} {{ what }}s"})
            await it.until_prompts("one red balls", "one blue balls")

    asyncio.run(use())


def test_a_burst_is_one_reading(project: Workspace) -> None:
    """A thousand changed files, as by a branch switch, are read once, or twice if the system reports them in parts."""
    project.write({"qwenbuild.toml": 'provider = "null"\n', "templates/a.j2": "one"})
    files = {f"specs/s{number}.toml": '[image.x]\ntemplate = "a.j2"\n' for number in range(1000)}
    project.write({"specs/keep.toml": '[image.x]\nprompt = "kept"\n'})

    async def use() -> None:
        async with watching(project, select=["keep"]) as it:
            await it.until(it.is_done)
            before = len(it.events_of(Replanned))
            project.write({**files, "specs/keep.toml": '[image.x]\nprompt = "new"\n'})
            await it.until(lambda: it.prompts == ["new"] and len(it.plan.actions) == len(files) + 1)
            assert len([event for event in it.events_of(Replanned)[before:] if event.changed]) <= 2

    asyncio.run(use())


def test_files_that_no_plan_reads_change_nothing(project: Workspace) -> None:
    """Swap files and notes cause no reading."""
    project.write(FREE)

    async def use() -> None:
        async with watching(project) as it:
            await it.until(it.is_done)
            before = len(it.events_of(Replanned))
            project.write({"specs/.a.toml.swp": "x", "specs/a.toml~": "x", "notes.md": "x", "templates/4913": "x"})
            project.write({"templates/poster.j2": "one {{ colour }} ball"})
            await it.until_prompts("one red ball", "one blue ball")

            def named() -> list[object]:
                """Return the files that readings name; one that began before the save was reported names none."""
                return [event.changed for event in it.events_of(Replanned)[before:] if event.changed]

            await it.until(lambda: bool(named()))
            assert named() == [["templates/poster.j2"]]

    asyncio.run(use())


def test_a_selection_that_names_nothing_is_refused(project: Workspace) -> None:
    """A selection that matches nothing ends the watch at its start."""
    project.write(FREE)

    async def use() -> None:
        await Watch(engine.load(project.root, select=["poter"])).run()

    with pytest.raises(UsageError, match='nothing is named "poter"'):
        asyncio.run(use())


# --- images that cost money ---


@pytest.fixture
def service(emulator: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """The emulator, which charges for images."""
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)
    return emulator


def drafted(it: Watched, *prompts: str) -> bool:
    """Return whether the plan has these prompts, and each cell has its draft."""
    return it.prompts == list(prompts) and len(it.live.drafts) == len(prompts)


def test_a_save_drafts_what_costs_money(project: Workspace, service: Running) -> None:
    """Cells that cost money get drafts in the store; nothing is written to out/ and nothing is spent."""
    project.write(PAID)

    async def use() -> None:
        async with watching(project) as it:
            await it.until(lambda: drafted(it, "a red ball", "a blue ball"))
            first = dict(it.live.drafts)
            project.write({"templates/poster.j2": "one {{ colour }} ball"})
            await it.until(lambda: drafted(it, "one red ball", "one blue ball"))
            assert not set(first.values()) & set(it.live.drafts.values())
            assert it.outputs == []
            assert it.plan.count(Verdict.RENDER) == 2
            assert len({event.image for event in it.events_of(Drafted)}) == 4
            for digest in it.live.drafts.values():
                assert it.live.store.blob_path(digest).is_file()
            assert it.live.spent == {}

    asyncio.run(use())
    assert service.requests() == []
    again = engine.load(project.root, provider="draft").plan()
    assert again.count(Verdict.RESTORE) == 2, "a draft build uses the same drafts"


def test_real_images_are_rendered_when_asked_for(project: Workspace, service: Running) -> None:
    """Exactly the cells that were asked for are rendered, at the price that was shown."""
    project.write(PAID)

    async def use() -> None:
        async with watching(project) as it:
            await it.until(lambda: drafted(it, "a red ball", "a blue ball"))
            red, blue = (step.action.name for step in it.plan.steps)
            price = it.live.price([red])
            assert it.live.price([red, blue]) == {"CNY": 2 * price["CNY"]}
            await it.live.render([red])
            await it.until(lambda: it.plan.count(Verdict.UP_TO_DATE) == 1 and not it.live.building)
            assert it.outputs == ["a/poster-red.png"]
            assert it.live.spent == price
            assert list(it.live.drafts) == ["a/poster-blue.png"]
            assert it.live.price([red, blue], force=False) == price
            await it.live.render([red])
            await it.live.render([red], force=True)
            await it.until(lambda: it.live.spent == {"CNY": 2 * price["CNY"]} and not it.live.building)
            with pytest.raises(UsageError, match="not declared any more: a/poster"):
                await it.live.render([f"{red}x"])

    asyncio.run(use())


def test_paid_images_are_restored(project: Workspace, service: Running) -> None:
    """When a spec goes back to an earlier prompt, its paid image is restored and nothing is spent."""
    project.write(PAID)

    async def use() -> None:
        async with watching(project) as it:
            await it.until(lambda: drafted(it, "a red ball", "a blue ball"))
            await it.live.render([step.action.name for step in it.plan.steps])
            await it.until(it.is_done)
            images = [(project.root / "out" / name).read_bytes() for name in it.outputs]
            spent = dict(it.live.spent)
            for text in ("one", "a"):
                project.write({"templates/poster.j2": f"{text} {{{{ colour }}}} ball"})
                await it.until_prompts(f"{text} red ball", f"{text} blue ball")
            await it.until(it.is_done)
            assert [(project.root / "out" / name).read_bytes() for name in it.outputs] == images
            assert it.live.spent == spent

    asyncio.run(use())


def test_locked_images_that_nobody_has_are_drafted(project: Workspace, service: Running) -> None:
    """Images that the lock pins and nobody has get drafts; nothing is spent, and the lock stays as it is."""
    project.write(PAID)
    engine.load(project.root).build()
    path = project.root / lock.NAME
    before = lock.read(path).pins
    elsewhere = [pin._replace(image=digit * 64) for digit, pin in zip("ab", before.values(), strict=True)]
    path.write_text(lock_format.render(elsewhere), "utf-8")
    for folder in (project.root / "out", project.root / ".qwenbuild", engine.load(project.root).store.root):
        shutil.rmtree(folder)

    async def use() -> None:
        async with watching(project) as it:
            await it.until(lambda: drafted(it, "a red ball", "a blue ball"))
            assert it.plan.count(Verdict.MISSING) == 2
            assert it.live.spent == {}
            assert lock.read(path).pins == {pin.path: pin for pin in elsewhere}

    asyncio.run(use())


def test_auto_renders_within_its_budget(project: Workspace, service: Running) -> None:
    """With `auto`, each image is bought once, and no render would pass the budget."""
    project.write(PAID)

    async def use() -> None:
        price = engine.load(project.root).plan().renders[0].price
        assert price is not None
        async with watching(project, auto=True, max_cost=3 * price.amount, jobs=1) as it:
            await it.until(it.is_done)
            project.write({"templates/poster.j2": "one {{ colour }} ball"})
            await it.until(lambda: "budget" in str(it.live.problems) and not it.live.building)
            assert it.live.spent == {"CNY": 3 * price.amount}
            assert it.live.cost_left == 0
            assert it.plan.count(Verdict.RENDER) == 1

    asyncio.run(use())


def test_auto_needs_a_budget(project: Workspace, service: Running) -> None:
    """Without a budget, `auto` is refused."""
    project.write(PAID)
    with pytest.raises(UsageError, match="it needs a budget"):
        Watch(engine.load(project.root), auto=True)
    Watch(engine.load(project.root, max_cost=Decimal(1)), auto=True).drafts.pause()


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """A provider that charges, and whose renders wait for the test."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    return Gate.install(tmp_path / "site")


def test_a_save_drops_what_waits_and_keeps_what_runs(project: Workspace, gate: Gate) -> None:
    """If a save makes a build obsolete, renders in flight are kept in the store, and the others are never sent."""
    spec = '[image.poster]\ntemplate = "poster.j2"\nmatrix.seed = { start = 1, count = 6 }\n'
    project.write({"qwenbuild.toml": gate.config, "specs/a.toml": spec, "templates/poster.j2": "a ball"})

    async def use() -> None:
        async with watching(project, jobs=2) as it:
            await it.until(lambda: it.live.plan is not None)
            await it.live.render([step.action.name for step in it.plan.steps])
            await it.until(lambda: len(it.events_of(ImageStarted)) == 2)
            project.write({"templates/poster.j2": "a kite"})
            await it.until(lambda: it.prompts[:1] == ["a kite"] and bool(it.events_of(Stopping)))
            gate.open()
            await it.until(lambda: not it.live.building)
            ended = [event.outcome for event in it.events_of(ImageFinished)]
            assert sorted(ended) == [Outcome.RENDERED] * 2 + [Outcome.SKIPPED] * 4
            assert gate.sent == 2
            assert it.live.wishes == {}
            project.write({"templates/poster.j2": "a ball"})
            await it.until(lambda: it.prompts[:1] == ["a ball"] and it.plan.count(Verdict.UP_TO_DATE) == 2)
            assert it.plan.count(Verdict.RENDER) == 4

    asyncio.run(use())


def test_a_save_elsewhere_leaves_a_build_alone(project: Workspace, gate: Gate) -> None:
    """If a save changes another cell, the running build goes on."""
    kite = {"specs/b.toml": '[image.kite]\nprompt = "a kite"\n'}
    project.write({**FREE, **kite, "qwenbuild.toml": gate.config})

    async def use() -> None:
        async with watching(project, jobs=1) as it:
            await it.until(lambda: it.live.plan is not None)
            await it.live.render([step.action.name for step in it.plan.steps])
            await it.until(lambda: gate.sent == 1 and bool(it.events_of(ImageStarted)))
            project.write({"specs/b.toml": '[image.kite]\nprompt = "two kites"\n'})
            await it.until(lambda: it.prompts[-1] == "two kites")
            assert it.live.building
            assert it.plan.count(Verdict.UNKNOWN) == 0, "a render in flight is not unknown"
            gate.open()
            await it.until(lambda: it.plan.count(Verdict.UP_TO_DATE) == 2 and not it.live.building)
            assert it.outputs == ["a/poster-blue.png", "a/poster-red.png"]
            assert it.plan.steps[-1].verdict is Verdict.RENDER

    asyncio.run(use())


def test_a_failed_image_is_not_retried(project: Workspace) -> None:
    """A render that fails is reported once, and not retried until the user asks."""
    project.write(PAID)

    async def use() -> None:
        async with watching(project) as it:
            await it.until(lambda: drafted(it, "a red ball", "a blue ball"))
            await it.live.render([it.plan.steps[0].action.name])
            await it.until(lambda: "API key" in str(it.live.problems) and not it.live.building)
            assert len(it.events_of(Finished)) == 1
            assert it.live.wishes == {}

    asyncio.run(use())


def test_a_project_behind_a_link(project: Workspace) -> None:
    """Saves are noticed in a project whose path has a symbolic link, and in files named with `..`."""
    spec = '[image.poster]\ntemplate = "poster.j2"\nmatrix.copy = { file = "../data/copy.csv", id = "id" }\n'
    config = 'provider = "null"\n'
    project.write({"qwenbuild.toml": config, "specs/a.toml": spec, "data/copy.csv": "id\nball\n"})
    link = project.root.with_name("link")
    link.symlink_to(project.root)

    async def use() -> None:
        async with watching(Workspace(link)) as it:
            assert "poster.j2" in str(it.live.problems)
            project.write({"templates/poster.j2": "a {{ copy.id }}"})
            await it.until_prompts("a ball")
            project.write({"data/copy.csv": "id\nkite\n"})
            await it.until_prompts("a kite")
            project.write(
                {"qwenbuild.toml": f'{config}templates = "others"\n', "others/poster.j2": "one {{ copy.id }}"}
            )
            await it.until_prompts("one kite")

    asyncio.run(use())


def test_the_target_of_a_linked_spec_is_watched(project: Workspace) -> None:
    """The plan follows a save of the file that a spec links to, and a changed link."""
    project.write({**FREE, "shared/one.toml": SPEC, "shared/two.toml": SPEC.replace("red", "green")})
    spec = project.root / "specs/a.toml"
    spec.unlink()
    spec.symlink_to("../shared/one.toml")

    async def use() -> None:
        async with watching(project) as it:
            await it.until_prompts("a red ball", "a blue ball")
            by_replace(project.root / "shared/one.toml", SPEC.replace("red", "pink"))
            await it.until_prompts("a pink ball", "a blue ball")
            spec.unlink()
            spec.symlink_to("../shared/two.toml")
            await it.until_prompts("a green ball", "a blue ball")

    asyncio.run(use())


def test_deleted_outputs_are_restored(project: Workspace) -> None:
    """At once: one output, its whole folder, and the folder of all outputs."""
    project.write(FREE)
    red = project.root / "out/a/poster-red.png"

    async def use() -> None:
        async with watching(project) as it:
            await it.until(it.is_done)
            for path in (red, red.parent, project.root / "out"):
                builds = len(it.events_of(Finished))
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                await it.until(lambda: len(it.events_of(Finished)) > builds and it.is_done())  # noqa: B023 - awaited here
                assert it.outputs == ["a/poster-blue.png", "a/poster-red.png"]
            assert sum(event.rendered for event in it.events_of(Finished)) == 2

    asyncio.run(use())


@pytest.mark.parametrize("auto", [False, True])
def test_a_deleted_output_that_nobody_has_is_paid_for_only_with_auto(
    project: Workspace, service: Running, auto: bool
) -> None:
    """Without `--auto` it gets a draft. What was bought in the same watch is not bought twice."""
    project.write(PAID)
    engine.load(project.root).build()
    (project.root / lock.NAME).unlink()
    choices = {"max_cost": Decimal(5)} if auto else {}

    async def use() -> None:
        async with watching(project, auto=auto, **choices) as it:
            await it.until(it.is_done)
            shutil.rmtree(it.live.store.root)
            (project.root / "out/a/poster-red.png").unlink()
            if auto:
                await it.until(lambda: bool(it.live.spent) and it.is_done())
            else:
                await it.until(lambda: len(it.live.drafts) == 1)
                assert it.plan.count(Verdict.RENDER) == 1

    asyncio.run(use())
    assert service.bill()["count"] == (3 if auto else 2)


def test_a_watch_collects_images_that_no_spec_asks_for(project: Workspace, service: Running) -> None:
    """Images in flight are collected although the spec has changed; back at the old prompt they are restored."""
    project.write({**PAID, "qwenbuild.toml": '[providers.dashscope]\nsubmits = "1000/second"\ninterface = "async"\n'})
    engine.load(project.root, detach=True).build()
    project.write({"templates/poster.j2": "one {{ colour }} ball"})

    async def use() -> None:
        async with watching(project) as it:
            await it.until(lambda: any(event.strays == 2 for event in it.events_of(Finished)))
            assert it.outputs == []
            project.write({"templates/poster.j2": "a {{ colour }} ball"})
            await it.until_prompts("a red ball", "a blue ball")
            await it.until(it.is_done)

    asyncio.run(use())
    assert service.bill()["count"] == 2
