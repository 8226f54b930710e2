"""The drafts of a watch: which are made, and that each is made once."""

from __future__ import annotations

import asyncio
import shutil

from qwenbuild.engine import engine as engines
from qwenbuild.errors import QwenbuildError
from qwenbuild.specs.action import Action
from qwenbuild.watch.drafts import Drafts
from tests.support.workspace import Workspace

FILES = {
    "qwenbuild.toml": 'provider = "draft"\n',
    "specs/a.toml": '[image.poster]\nprompt = "a {{ colour }} ball"\nmatrix.colour = ["red", "blue"]\n',
}


class Drawing:
    """Drafts under test, for the cells of a project, and the calls that they make."""

    def __init__(self, project: Workspace) -> None:
        engine = engines.load(project.write(FILES).root)
        self.store = engine.store
        self.actions = engine.actions()
        self.made: dict[str, str] = {}
        self.errors: list[QwenbuildError] = []
        self._changed = asyncio.Event()
        self.drafts = Drafts(engine.store, self._made, self._failed)

    def _made(self, action: Action, digest: str) -> None:
        self.made[action.output] = digest
        self._changed.set()

    def _failed(self, error: QwenbuildError) -> None:
        self.errors.append(error)
        self._changed.set()

    async def until(self, made: int = 0, errors: int = 0) -> None:
        """Wait until there are that many drafts and errors."""
        async with asyncio.timeout(60):
            while len(self.made) < made or len(self.errors) < errors:
                self._changed.clear()
                await self._changed.wait()


def test_a_draft_is_the_image_of_a_draft_build(project: Workspace) -> None:
    """The store has the drafts of all wanted cells, and a draft build writes exactly these."""

    async def use() -> Drawing:
        it = Drawing(project)
        assert it.drafts.want(it.actions) == {}
        assert it.drafts.left == 2
        await it.until(made=2)
        assert it.drafts.left == 0
        await it.drafts.close()
        return it

    it = asyncio.run(use())
    finished = engines.load(project.root).build()
    assert (finished.rendered, finished.restored) == (0, 2)
    outputs = {path: (project.root / "out" / path).read_bytes() for path in it.made}
    assert outputs == {path: it.store.blob_path(digest).read_bytes() for path, digest in it.made.items()}


def test_known_drafts_are_returned_at_once(project: Workspace) -> None:
    """A draft that exists is returned while it is wanted; wanted again later, it comes from the store."""

    async def use() -> None:
        it = Drawing(project)
        first, second = it.actions
        it.drafts.want(it.actions)
        await it.until(made=2)
        assert it.drafts.want([first]) == {first.output: it.made[first.output]}
        assert it.drafts.want([]) == {}
        it.made.clear()
        assert it.drafts.want([second]) == {}
        await it.until(made=1)
        assert list(it.made) == [second.output]
        await it.drafts.close()

    asyncio.run(use())


def test_paused_drafts_are_not_begun(project: Workspace) -> None:
    """After a pause nothing waits; drafts that are wanted again are made."""

    async def use() -> None:
        it = Drawing(project)
        it.drafts.want(it.actions)
        it.drafts.pause()
        assert it.drafts.left == 0
        it.drafts.want(it.actions)
        await it.until(made=2)
        await it.drafts.close()

    asyncio.run(use())


def test_an_error_ends_drafting(project: Workspace) -> None:
    """If the store can't be written, one error is reported, and no other draft is begun."""

    async def use() -> None:
        it = Drawing(project)
        shutil.rmtree(it.store.root, ignore_errors=True)
        it.store.root.parent.mkdir(parents=True, exist_ok=True)
        it.store.root.write_text("a file, where the store's folder should be")
        it.drafts.want(it.actions)
        await it.until(errors=1)
        await it.drafts.close()
        assert it.made == {}
        assert it.drafts.left == 0

    asyncio.run(use())
