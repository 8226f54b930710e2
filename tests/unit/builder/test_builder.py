"""The builder: equal requests, failures, damaged stores, changing outputs and interrupts."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.builder.interrupt import Interrupt
from qwenbuild.errors import AccountError, Refused
from qwenbuild.events import Event, ImageFinished, ImageStarted, Started, Stopping
from qwenbuild.provider import Journal, Rendered
from qwenbuild.providers.null import plain
from qwenbuild.request import Request
from tests.support.builds import Build, ScriptedProvider
from tests.support.workspace import Workspace


def test_events(build: Build) -> None:
    """A build emits its start, the start and end of each image, and its own end."""
    build.prompts("one")
    finished = build.run()
    plan = {
        "up_to_date": 0,
        "restore": 0,
        "reattach": 0,
        "render": 1,
        "edited": 0,
        "unknown": 0,
        "missing": 0,
        "failed": 0,
        "orphans": 0,
    }
    started, begun, ended, last = build.events
    assert started == Started("scripted", plan)
    assert begun == ImageStarted("s/i0", "s/i0.png", "render", "never rendered")
    assert isinstance(ended, ImageFinished)
    assert (ended.name, ended.path, ended.outcome, ended.reason) == ("s/i0", "s/i0.png", "rendered", "never rendered")
    assert (last, finished.rendered, finished.exit_code, finished.complete) == (finished, 1, 0, True)


def test_equal_requests(build: Build) -> None:
    """Equal requests are rendered once, and each of their outputs gets the image."""
    build.prompts("same", "other", "same", "same")
    finished = build.run()
    assert (finished.rendered, finished.restored, sorted(build.provider.prompts)) == (2, 2, ["other", "same"])


def test_the_first_of_equal_requests_fails(build: Build) -> None:
    """If a render fails, every output that waits for its bytes fails too."""

    async def refuse(request: Request, journal: Journal) -> None:
        raise Refused("no")

    build.provider = ScriptedProvider(refuse)
    build.prompts("same", "same")
    assert build.run().failed == 2
    assert build.provider.prompts == ["same"]


def test_the_first_of_equal_requests_can_not_be_written(build: Build) -> None:
    """If the first output of equal requests can't be written, the others still get the image."""
    build.place.write({
        "specs/s.toml": '[image.i0]\nprompt = "p"\nseed = 1\noutput = "blocked/x.png"\n'
        '[image.i1]\nprompt = "p"\nseed = 1\n', "out/blocked": "a file",
    })  # fmt: skip
    build.run()
    assert build.outcomes == {"i0": "failed", "i1": "restored"}
    build.run()
    assert build.outcomes == {"i0": "failed", "i1": "up_to_date"}
    (build.root / "out/blocked").unlink()
    build.run()
    assert (build.outcomes["i0"], build.provider.prompts) == ("restored", ["p"])


def test_an_error_that_dooms_every_request(build: Build) -> None:
    """An error that stops the run skips every step that has not begun."""

    async def doom(request: Request, journal: Journal) -> None:
        raise AccountError("wrong key")

    build.provider = ScriptedProvider(doom, concurrency=1)
    build.prompts("one", "two", "three")
    finished = build.run()
    assert (finished.failed, finished.skipped, finished.exit_code) == (1, 2, 1)
    assert [event.reason for event in build.events if isinstance(event, Stopping)] == ["wrong key"]


def test_fail_fast(build: Build) -> None:
    """With `fail_fast` the first failure stops the build; running renders finish and are kept."""

    async def act(request: Request, journal: Journal) -> None:
        if request.prompt == "bad":
            raise Refused("no")
        await asyncio.sleep(0.05)

    build.provider = ScriptedProvider(act, concurrency=2)
    build.prompts("one", "bad", "two", "three")
    finished = build.run(fail_fast=True)
    assert (finished.rendered, finished.failed, finished.skipped) == (1, 1, 2)
    assert (build.root / "out/s/i0.png").exists()


def test_an_output_that_appears_during_the_build(build: Build) -> None:
    """A file that appears at an output path during the build is kept, and the render is not lost."""

    async def meddle(request: Request, journal: Journal) -> None:
        build.place.write({"out/s/i0.png": "mine"})

    build.provider = ScriptedProvider(meddle)
    build.prompts("one")
    finished = build.run()
    assert (finished.failed, (build.root / "out/s/i0.png").read_text()) == (1, "mine")
    assert "changed during the build and was left alone" in finished.problems[0].claim
    (build.root / "out/s/i0.png").unlink()
    assert (build.run().restored, build.provider.prompts) == (1, ["one"])


def test_an_output_that_is_edited_during_the_build(build: Build) -> None:
    """A file that is edited during the render of its successor keeps the edit."""
    build.prompts("one")
    build.run()

    async def meddle(request: Request, journal: Journal) -> None:
        path = build.root / "out/s/i0.png"
        path.write_bytes(path.read_bytes() + b"edit")

    build.provider = ScriptedProvider(meddle)
    build.prompts("two")
    assert build.run().failed == 1
    assert (build.root / "out/s/i0.png").read_bytes().endswith(b"edit")


def test_damaged_bytes_of_equal_requests(build: Build) -> None:
    """Damaged stored bytes are rendered again once, for every output that needs them."""
    build.prompts("same", "same", "other")
    build.run()
    before = {path.name: path.read_bytes() for path in (build.root / "out/s").iterdir()}
    for path in (build.engine().store.root / "cas").rglob("*/*"):
        content = path.read_bytes()
        if content.startswith(b"\x89PNG"):
            path.chmod(0o644)
            path.write_bytes(content[:-1] + b"x")
    for path in (build.root / "out/s").iterdir():
        path.unlink()
    assert build.engine().plan().counts["restore"] == 3
    build.provider.prompts.clear()
    finished = build.run()
    assert (finished.rendered, finished.restored) == (2, 1)
    assert sorted(build.provider.prompts) == ["other", "same"]
    assert {path.name: path.read_bytes() for path in (build.root / "out/s").iterdir()} == before


def test_force_replaces_what_is_stored(build: Build) -> None:
    """A forced render replaces the stored image, and later builds restore the new one."""
    colours = [b"old", b"new"]

    async def draw(request: Request, journal: Journal) -> Rendered:
        return Rendered(plain(request.size, colours.pop(0)))

    build.provider = ScriptedProvider(draw)
    build.prompts("one")
    build.run()
    old = (build.root / "out/s/i0.png").read_bytes()
    build.run(force=True)
    new = (build.root / "out/s/i0.png").read_bytes()
    assert old != new
    (build.root / "out/s/i0.png").unlink()
    build.run()
    assert (build.root / "out/s/i0.png").read_bytes() == new


def test_an_image_that_another_build_stored_first(build: Build) -> None:
    """If another build stored an equal request first, its image is kept and written."""

    async def overtaken(request: Request, journal: Journal) -> Rendered:
        other = Workspace(build.root.parent / "other").write({"qwenbuild.toml": 'provider = "null"\n'})
        second = Build(other)
        second.prompts("one")
        await asyncio.to_thread(second.run)
        return Rendered(plain(request.size, b"zzz"))

    build.provider = ScriptedProvider(overtaken)
    build.prompts("one")
    build.run()
    first = (build.root.parent / "other/out/s/i0.png").read_bytes()
    assert (build.root / "out/s/i0.png").read_bytes() == first


def test_one_interrupt(build: Build) -> None:
    """After the first interrupt running renders finish, and no other begins."""
    interrupt = Interrupt()
    build.provider = ScriptedProvider(concurrency=2)
    build.prompts(*map(str, range(10)))

    def stop(event: Event) -> None:
        if isinstance(event, ImageStarted) and not interrupt.count:
            interrupt.request()

    finished = build.run(stop, interrupt)
    assert (finished.interrupted, finished.exit_code) == (True, 130)
    assert finished.rendered in (1, 2)
    assert finished.rendered + finished.skipped == 10
    assert len(build.provider.prompts) == finished.rendered
    assert build.run().up_to_date == finished.rendered


def test_two_interrupts(build: Build) -> None:
    """After the second interrupt the build leaves at once, and still counts every step."""
    interrupt = Interrupt()

    async def hang(request: Request, journal: Journal) -> None:
        interrupt.request()
        await asyncio.sleep(60)

    build.provider = ScriptedProvider(hang, concurrency=2)
    build.prompts(*map(str, range(10)))
    finished = build.run(None, interrupt)
    assert (finished.interrupted, finished.skipped, finished.seconds < 10) == (True, 10, True)


def test_an_interrupt_that_came_before(build: Build) -> None:
    """A build that is interrupted before it begins does nothing."""
    interrupt = Interrupt()
    interrupt.request()
    build.prompts("one")
    finished = build.run(None, interrupt)
    assert (finished.interrupted, finished.skipped, build.provider.prompts) == (True, 1, [])


def test_interrupted_restores(build: Build) -> None:
    """After an interrupt the running batches of restores finish, and no other begins."""
    count = 128 * ((os.cpu_count() or 1) + 2)  # one batch more than can run at once
    build.prompts(*map(str, range(count)))
    build.run()
    for path in (build.root / "out/s").iterdir():
        path.unlink()
    interrupt = Interrupt()

    def stop(event: Event) -> None:
        if isinstance(event, ImageFinished) and not interrupt.count:
            interrupt.request()

    finished = build.run(stop, interrupt)
    assert 0 < finished.restored < count
    assert finished.restored + finished.skipped == count
    assert len(os.listdir(build.root / "out/s")) == finished.restored


def test_a_view_that_fails(build: Build) -> None:
    """If `emit` raises, the build ends; the next build does not pay again for what was kept."""
    build.provider = ScriptedProvider(concurrency=2, price="1")
    build.prompts(*map(str, range(10)))

    def leave(event: Event) -> None:
        if isinstance(event, ImageFinished):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        build.run(leave)
    done = len(build.provider.prompts)
    assert done < 10
    finished = build.run()
    assert finished.rendered == 10 - done


def test_staging_is_swept(build: Build) -> None:
    """Temporary files of a crash are removed by the next build that changes anything."""
    build.place.write({".qwenbuild/tmp/0123456789abcdef.tmp": "torn"})
    build.prompts("one")
    build.run()
    assert os.listdir(build.root / ".qwenbuild/tmp") == []
    assert Path(build.root / ".qwenbuild/.gitignore").read_text() == "*\n"


@pytest.mark.parametrize("trouble", ["", "changed", "store"])
def test_an_image_is_copied_from_the_path_that_it_had(
    project: Workspace, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """A clone has no store. If the file changes meanwhile, the image is rendered; without a store, nothing is done."""
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": '[image.a]\nprompt = "x"\nseed = 1\n'})
    load(project.root).build()
    old = (project.root / "out/s/a.png").read_bytes()
    shutil.rmtree(project.root / ".qwenbuild")
    monkeypatch.setenv("QWENBUILD_CACHE_DIR", str(project.root.with_name("other-store")))
    project.write({"specs/s.toml": '[image.b]\nprompt = "x"\nseed = 1\n'})

    def meddle(event: Event) -> None:
        if isinstance(event, Started) and trouble == "changed":
            project.write({"out/s/a.png": "changed"})
        elif isinstance(event, Started) and trouble == "store":
            shutil.rmtree(project.root.with_name("other-store"))
            project.root.with_name("other-store").write_bytes(b"")

    engine = load(project.root)
    assert [step.reason for step in engine.plan().steps] == ["its image is at s/a.png"]
    finished = engine.build(meddle)
    assert (finished.restored, finished.rendered, finished.failed) == (
        (1, 0, 0) if not trouble else (0, 1, 0) if trouble == "changed" else (0, 0, 1)
    )
    if trouble != "store":
        assert (project.root / "out/s/b.png").read_bytes() == old
