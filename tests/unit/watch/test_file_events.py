"""File events: which changes of real files are reported."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from watchfiles import Change

from qwenbuild.engine import engine
from qwenbuild.watch.file_events import FileEvents, Images, Inputs, reported_names
from tests.support.workspace import Workspace


def inputs_of(project: Workspace, *names: str) -> Inputs:
    """Return the inputs of a reading that depends on these files."""
    return Inputs.of(engine.load(project.root).project, [project.root / name for name in names])


class Recorder:
    """File events under test, and the bursts that they report."""

    def __init__(self, project: Workspace) -> None:
        self._root = project.root
        self._bursts = asyncio.Queue[frozenset[str]]()
        self.events = FileEvents(self._bursts.put_nowait)

    async def until_reported(self, name: str) -> None:
        """Wait until a change of this file is reported."""
        async with asyncio.timeout(60):
            while str(self._root / name) not in await self._bursts.get():
                pass


@asynccontextmanager
async def recording(project: Workspace) -> AsyncIterator[Recorder]:
    recorder = Recorder(project)
    try:
        yield recorder
    finally:
        await recorder.events.close()


def test_a_save_during_a_reading_counts_as_missed(project: Workspace) -> None:
    """If a file was saved during the reading that depends on it, `follow` returns True."""
    project.write({"qwenbuild.toml": "", "templates/other.j2": "one"})

    async def use() -> None:
        async with recording(project) as it:
            assert await it.events.follow(inputs_of(project, "templates/other.j2"))
            for later, is_missed in (("third.j2", False), ("part.j2", True)):
                after = f"templates/after-{later}"
                await it.events.follow(inputs_of(project, after))
                project.write({"templates/part.j2": f"before {later}", after: "reported last"})
                await it.until_reported(after)
                assert await it.events.follow(inputs_of(project, after, f"templates/{later}")) is is_missed

    asyncio.run(use())


def test_a_folder_that_was_deleted_while_nothing_needed_it_is_watched_again(project: Workspace) -> None:
    """A folder that no reading needed was deleted. Once it exists and is needed again, saves in it are reported."""
    files = ("templates/poster.j2", "data/copy.csv")
    project.write({"qwenbuild.toml": "", **dict.fromkeys(files, "one")})

    async def use() -> None:
        async with recording(project) as it:
            await it.events.follow(inputs_of(project, *files))
            await it.events.follow(inputs_of(project, files[0]))
            shutil.rmtree(project.root / "data")
            project.write({files[0]: "reported after the deletion"})
            await it.until_reported(files[0])
            project.write({files[1]: "two"})
            await it.events.follow(inputs_of(project, *files))
            project.write({files[1]: "three"})
            await it.until_reported(files[1])

    asyncio.run(use())


@pytest.mark.parametrize(
    ("change", "path", "expected"),
    [
        (Change.modified, "templates/poster.j2", True),
        (Change.deleted, "templates", True),
        (Change.modified, "templates", False),
        (Change.added, "templates/other.j2", False),
        (Change.added, "specs/new.toml", True),
        (Change.added, "specs/.new.toml.swp", False),
        (Change.added, "specs/notes.md", False),
        (Change.added, "out/a.png", False),
    ],
)
def test_which_changes_concern_a_reading(project: Workspace, change: Change, path: str, expected: bool) -> None:
    """Changes to inputs, to their whole folders, and to files that the glob of specs matches concern a reading."""
    project.write({"specs/a.toml": "", "templates/poster.j2": "one"})
    inputs = inputs_of(project, "specs/a.toml", "templates/poster.j2")
    assert inputs.concerns(change, str(project.root.resolve() / path)) is expected


def test_a_link_is_reported_by_its_name_and_its_target(tmp_path: Path) -> None:
    """The system reports a changed link under the link's name, and a changed target under the target's name."""
    folder = tmp_path.resolve()
    (folder / "one.toml").write_text("")
    (folder / "link.toml").symlink_to("one.toml")
    assert reported_names(str(folder / "link.toml")) == {str(folder / "link.toml"), str(folder / "one.toml")}


@pytest.mark.parametrize(
    ("change", "path", "expected"),
    [
        (Change.deleted, "out/a/x.png", True),
        (Change.deleted, "out/a/y.png", False),
        (Change.deleted, "out/b", True),
        (Change.deleted, "out/a", False),
        (Change.added, "out/a/x.png", False),
    ],
)
def test_only_deletions_of_images_are_reported(project: Workspace, change: Change, path: str, expected: bool) -> None:
    """Those of images that the plan has, and that are still missing; builds write images all the time."""
    project.write({"qwenbuild.toml": "", "out/a/z.png": ""})
    images = Images.of(engine.load(project.root).project, ["a/x.png", "a/z.png", "b/c/x.png"])
    assert images.folders == {str(project.root.resolve() / folder) for folder in ("out", "out/a")}
    assert images.concerns(change, str(project.root.resolve() / path)) is expected
