"""Away: what workers make, how it comes back, and what never goes to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from qwenbuild import load
from qwenbuild.engine.distributing import away_of
from qwenbuild.errors import ExecutorError, ProviderError, UsageError
from qwenbuild.events import Event, Finished, ImageFinished, Outcome, Stopping
from qwenbuild.files.png_chunks import SIGNATURE, chunks, packed
from qwenbuild.provider import Price, Rendered
from qwenbuild.providers.null import NullProvider, plain
from qwenbuild.request import Request
from qwenbuild.routes import Choice
from tests.support.builds import Build, ScriptedProvider
from tests.support.caches import Cache
from tests.support.comfy_server import Comfy, workflow
from tests.support.executors import InThreads
from tests.support.executors import threads as threads
from tests.support.workspace import Workspace

SPEC = """\
model = "qwen-image-2.0"

[image.card]
prompt = "a card that says 'Hello {{ seed }}'"
size = "512*512"
matrix = { seed = { start = 1, count = 4 } }

[image.twin]
prompt = "a card that says 'Hello {{ seed }}'"
size = "512*512"
seed = 1
"""

FAR = "dask=tcp://127.0.0.1:9"  # in these tests, threads take the place of any cluster


@pytest.fixture
def cache() -> Iterator[Cache]:
    with Cache().running() as running:
        yield running


@pytest.fixture
def cards(project: Workspace) -> Workspace:
    """A project of five null images, two of which have the same request."""
    return project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": SPEC})


def built(place: Workspace, **choices: Any) -> tuple[Finished, list[Event]]:
    events: list[Event] = []
    return load(place.root, **{"executor": "dask=local", **choices}).build(events.append), events


def images(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "out").rglob("*.png")}


def puts(cache: Cache, kind: str) -> list[str]:
    return [it["path"] for it in cache.headers if it["method"] == "PUT" and it["path"].startswith(f"/{kind}/")]


@pytest.mark.parametrize(("provider", "count"), [("null", 4), ("draft", 5)])  # a draft shows the name of its cell
def test_images_come_back_with_the_same_bytes(
    cards: Workspace, threads: InThreads, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: str, count: int
) -> None:
    """Without a remote cache they come with the answer; each request is made once; the next build does nothing."""
    finished, _ = built(cards, provider=provider)
    assert (finished.rendered, finished.restored, len(threads.done), threads.begun) == (count, 5 - count, count, 1)
    assert built(cards, provider=provider)[0].up_to_date == 5
    assert threads.begun == 1
    away = images(cards.root)
    monkeypatch.setenv("QWENBUILD_CACHE_DIR", str(tmp_path / "other"))
    load(cards.root, provider=provider, force=True).build()
    assert images(cards.root) == away


def test_a_shared_cache_gets_each_image_once(cards: Workspace, threads: InThreads, cache: Cache) -> None:
    """The worker stores it; its answer has less than a kilobyte; this machine sends nothing."""
    finished, _ = built(cards, remote=cache.url)
    assert (finished.rendered, finished.restored, len(threads.done)) == (4, 1, 4)
    assert max(threads.sizes) < 1000
    assert (len(puts(cache, "ac")), len(puts(cache, "cas"))) == (4, 8)
    assert (len(cache.names("ac")), len(cache.names("cas"))) == (4, 8)
    before = images(cards.root)
    for path in [*(cards.root / "out").rglob("*.png")]:
        path.unlink()
    assert built(cards, remote=cache.url)[0].restored == 5
    assert images(cards.root) == before


def test_a_cache_that_loses_images_costs_nothing(cards: Workspace, threads: InThreads, cache: Cache) -> None:
    """The image is made again, and comes with the answer."""

    def lose(call: BaseHTTPRequestHandler, path: str, content: bytes) -> bool:
        if call.command == "GET" and path.startswith("cas/"):
            call.answer(404)  # type: ignore[attr-defined]
            return True
        return False

    cache.fault = lose
    finished, _ = built(cards, remote=cache.url)
    assert (finished.rendered, finished.failed, len(threads.done)) == (4, 0, 8)


def test_a_forced_image_is_not_taken_from_the_cache(cards: Workspace, threads: InThreads, cache: Cache) -> None:
    """Nor is one whose seed was drawn."""
    built(cards, remote=cache.url)
    built(cards, remote=cache.url, force=True, where=["seed=2"])
    assert [(order.shared, order.is_forced) for (order,) in threads.done[4:]] == [(None, True)]


def test_what_failed_is_made_anew(cards: Workspace, threads: InThreads) -> None:
    """A server may still have what failed, such as an image of another size."""
    built(cards, retry_failed=True)
    assert {order.is_forced for (order,) in threads.done} == {True}


def test_a_workflow_goes_along(project: Workspace, threads: InThreads, tmp_path: Path) -> None:
    """A worker has no project: it gets the files that the provider reads. It needs a GPU."""
    with Comfy().running() as comfy:
        config = f'provider = "comfyui"\n[providers.comfyui]\nworkflow = "flows/w.json"\nbase_url = "{comfy.url}"\n'
        project.write({"qwenbuild.toml": config, "flows/w.json": json.dumps(workflow())})
        project.write({"specs/s.toml": '[image.a]\nprompt = "x"\nsize = "64*64"\n'})
        assert built(project)[0].rendered == 1
        assert threads.done == []  # workers of this machine have no resources, so it was made here
        assert built(project, executor=FAR, force=True)[0].rendered == 1
    ((order,),) = threads.done
    assert (list(order.recipe.files), threads.needs) == (["flows/w.json"], {"GPU"})


def test_a_server_that_is_not_approved(project: Workspace, threads: InThreads) -> None:
    """Nothing goes to the workers: they would send prompts there."""
    config = 'provider = "comfyui"\n[providers.comfyui]\nworkflow = "w.json"\nbase_url = "http://gpu.example:8188"\n'
    project.write({"qwenbuild.toml": config, "w.json": json.dumps(workflow())})
    project.write({"specs/s.toml": '[image.a]\nprompt = "x"\nsize = "64*64"\n'})
    finished, _ = built(project, executor=FAR)
    assert (finished.skipped, threads.done) == (1, [])
    assert "http://gpu.example:8188" in str(finished.problems[0])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("images", 'dialect = "sglang"\ntoken_env = "QWENBUILD_IMAGES_TOKEN"'),
        ("comfyui", 'workflow = "w.json"'),
    ],
)
def test_a_server_of_the_environment_is_that_of_the_workers(
    project: Workspace, monkeypatch: pytest.MonkeyPatch, name: str, settings: str
) -> None:
    """They get no address of the project that it replaces here: nobody was asked whether they may use that."""
    config = f'provider = "{name}"\n[providers.{name}]\nbase_url = "https://evil.example"\n{settings}\n'
    project.write({"qwenbuild.toml": config, "w.json": json.dumps(workflow())})
    monkeypatch.setenv(f"QWENBUILD_{name.upper()}_URL", "http://127.0.0.1:1 http://127.0.0.1:2")
    away = away_of(load(project.root, executor="dask=local"), print)
    assert away is not None
    assert away.recipe(Choice()).table["base_url"] == ["http://127.0.0.1:1", "http://127.0.0.1:2"]


def test_what_a_worker_sends_is_verified_here(
    cards: Workspace, threads: InThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the worker says that it has done so."""
    monkeypatch.setattr(NullProvider, "render", _damaged)
    finished, events = built(cards)
    assert (finished.rendered, finished.failed) == (0, 5)
    assert {it.problems[0].name for it in events if isinstance(it, ImageFinished)} == {"bad-image"}


async def _damaged(provider: NullProvider, request: Request, journal: object) -> Rendered:
    """Return a PNG whose chunks are whole, but whose pixels are not."""
    whole = chunks(plain(request.size, b"123"))
    damaged = [packed(b"IDAT", b"?") if it.kind == b"IDAT" else it.whole for it in whole]
    return Rendered(b"".join((SIGNATURE, *damaged)), verified=True)


class Mixed(ScriptedProvider):
    """Renders one model for money, all others for free. Workers know it as `null`."""

    name, family = "null", "null-1"

    def price(self, model: str) -> Price | None:
        return Price(Decimal("0.2")) if model == "qwen-image-max" else None


def test_what_has_a_price_stays_here(build: Build, threads: InThreads) -> None:
    """Free cells go to the workers, paid ones are rendered here, once."""
    build.prompts("free", "paid")
    path = build.root / "specs" / "s.toml"
    path.write_text(path.read_text().replace('prompt = "paid"', 'prompt = "paid"\nmodel = "qwen-image-max"'))
    build.provider = Mixed()
    finished = build.run(executor="dask=local")
    assert (finished.rendered, build.provider.prompts) == (2, ["paid"])
    assert [order.request["prompt"] for (order,) in threads.done] == ["free"]


def test_nothing_that_is_free(build: Build, threads: InThreads) -> None:
    """The error says why; nothing was sent to anybody."""
    build.prompts("one")
    build.provider = ScriptedProvider(price="0.2")
    with pytest.raises(UsageError) as caught:
        build.run(executor="dask=local")
    assert str(caught.value) == (
        "error: nothing that is selected can be made by a cluster of this machine, because all of it has a price\n"
        "  = it has a price: qwen-image-plus at scripted\n"
        "  = a cluster may do work twice, so qwenbuild pays on this machine alone\n"
        "  = hint: leave out --executor; or `--provider draft` makes drafts, for free"
    )
    assert (build.provider.prompts, threads.begun) == ([], 0)


def test_a_lost_cluster_is_told_once(cards: Workspace, threads: InThreads) -> None:
    """No image is to blame: none has failed, and the next build makes them."""
    threads.fault = ExecutorError("the connection was lost", hint="start it again")
    finished, events = built(cards)
    assert (finished.failed, finished.skipped, finished.exit_code) == (0, 5, 1)
    assert [str(it.reason) for it in events if isinstance(it, Stopping)] == ["the connection was lost"]
    threads.fault = None
    assert built(cards)[0].rendered == 4


def test_an_image_that_no_worker_can_make(cards: Workspace, threads: InThreads) -> None:
    """It fails, and so do others for the same reason, but the build goes on."""
    threads.fault = ProviderError("the disk is full")
    finished, events = built(cards)
    assert (finished.failed, finished.skipped) == (5, 0)
    assert {it.outcome for it in events if isinstance(it, ImageFinished)} == {Outcome.FAILED}
