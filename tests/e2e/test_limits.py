"""The limits of a build: how many renders, how many at once, and which errors stop it early."""

from __future__ import annotations

import shutil
import time

import pytest

from tests.e2e.harness import Sandbox

FLAKY = '''
import asyncio
from contextlib import asynccontextmanager

from qwenbuild.errors import AccountError, BadImage, Refused
from qwenbuild.providers.null import plain
from qwenbuild.provider import Rendered


class Provider:
    """Fails in the way that the prompt of the request names."""

    name, family, labelled = "flaky", "flaky-1", False
    under_way = most = 0

    def __init__(self, settings):
        self.concurrency = settings.jobs or 2

    def check(self, model):
        return "forbidden fruit" if model == "qwen-image-max" else None

    def price(self, model):
        return None

    def shortest_s(self, renders):
        return 0.0

    @asynccontextmanager
    async def session(self):
        yield

    async def render(self, request, journal):
        Provider.under_way += 1
        Provider.most = max(Provider.most, Provider.under_way)
        await asyncio.sleep(0.01)
        Provider.under_way -= 1
        if "refuse" in request.prompt:
            raise Refused("the prompt was refused", facts=["by \\x1b[31mmoderation"], hint="say it differently")
        if "account" in request.prompt:
            raise AccountError("the key is wrong")
        if "break" in request.prompt:
            raise ZeroDivisionError("oh no")
        if "garbage" in request.prompt:
            return Rendered(b"GIF89a")
        png = plain(request.size, b"abc")
        if "torn" in request.prompt:
            return Rendered(png[:-20])
        return Rendered(png, {"most": Provider.most} if "most" in request.prompt else {}, verified=True)
'''


@pytest.fixture
def flaky(sandbox: Sandbox) -> Sandbox:
    """A project whose provider fails in the way that the prompt names."""
    sandbox.install("flaky", FLAKY)
    return sandbox.write({"qwenbuild.toml": 'provider = "flaky"\n'})


def prompts(*texts: str) -> dict[str, str]:
    """Return a spec with an image for each prompt."""
    return {"specs/fair.toml": "".join(f'[image.i{at}]\nprompt = "{text}"\n' for at, text in enumerate(texts))}


def test_a_failure_does_not_stop_the_others(flaky: Sandbox) -> None:
    """All other images are rendered. The failures are reported with their causes, and the exit code is 1."""
    flaky.write(prompts("one", "refuse", "two", "break", "garbage", "torn", "three"))
    ran = flaky.run("build", "--json", "fair")
    assert ran.code == 1
    assert {name: ran.finished[name] for name in ("rendered", "failed", "skipped")} == {
        "rendered": 3, "failed": 4, "skipped": 0
    }  # fmt: skip
    reasons = {event["name"]: event["reason"] for event in ran.events if event.get("outcome") == "failed"}
    assert set(reasons) == {"fair/i1", "fair/i3", "fair/i4", "fair/i5"}
    assert reasons["fair/i1"] == "the prompt was refused"
    assert reasons["fair/i3"] == 'the provider "flaky" broke: ZeroDivisionError: oh no'
    again = flaky.run("build", "fair")
    assert again.code == 1
    assert "error: the prompt was refused\n" in again.err
    assert "  = by \\x1b[31mmoderation\n" in again.err
    assert "hint: say it differently\n" in again.err
    assert again.err.splitlines()[-1].startswith("4 failed, 3 up to date in ")
    flaky.write(prompts("one", "sea", "two", "sky", "sun", "moon", "three"))
    flaky.extra["QWENBUILD_CACHE_DIR"] = str(flaky.root.parent / "elsewhere")
    assert flaky.run("build", "--json", "fair").finished["rendered"] == 4


def test_fail_fast(flaky: Sandbox) -> None:
    """After the first failure, `--fail-fast` starts no more renders."""
    flaky.write(prompts("refuse", *(f"p{at}" for at in range(20))))
    ran = flaky.run("build", "--json", "--fail-fast", "-j1", "fair")
    assert ran.code == 1
    assert {name: ran.finished[name] for name in ("rendered", "failed", "skipped")} == {
        "rendered": 0, "failed": 1, "skipped": 20
    }  # fmt: skip


def test_an_error_that_stops_the_run(flaky: Sandbox) -> None:
    """A wrong key fails every request, so the build stops and skips the other images."""
    flaky.write(prompts("account", *(f"p{at}" for at in range(20))))
    ran = flaky.run("build", "-j1", "fair")
    assert ran.code == 1
    assert ran.err.count("the key is wrong") == 2  # once for the image, once as the reason for the stop
    assert "1 failed, 20 skipped in " in ran.err


def test_a_model_that_the_provider_refuses(flaky: Sandbox) -> None:
    """The error comes before anything is rendered, and shows the place in the spec."""
    apple = '[image.apple]\nprompt = "apple"\nmodel = "qwen-image-max"\n'
    flaky.write({"specs/fair.toml": f'[image.pear]\nprompt = "pear"\n{apple}'})
    ran = flaky.run("build")
    assert (ran.code, flaky.outputs()) == (2, {})
    assert "error: forbidden fruit\n --> specs/fair.toml:5:" in ran.err


@pytest.mark.parametrize("jobs", [1, 3])
def test_jobs(flaky: Sandbox, jobs: int) -> None:
    """`-j` sets how many renders run at once."""
    flaky.write(prompts(*(f"p{at}" for at in range(12)), "most"))
    assert flaky.run("build", f"-j{jobs}", "fair").code == 0
    shown = flaky.here("show", "--json", "out/fair/i12.png")
    assert shown.finished["most"] == jobs


def test_too_many_renders(sandbox: Sandbox) -> None:
    """A matrix with too many renders is refused before it is expanded, whatever its size."""
    axes = "".join(f"a{at} = {{ start = 0, count = 1000 }}\n" for at in range(4))
    sandbox.write({"specs/vast.toml": f'[image.vast]\nprompt = "p"\n[image.vast.matrix]\n{axes}'})
    begun = time.monotonic()
    ran = sandbox.run("build")
    assert time.monotonic() - begun < 5
    assert (ran.code, sandbox.outputs()) == (2, {})
    assert ran.err == (
        "error: 1,000,000,000,008 new renders; at most 10,000 are allowed\n"
        "  = largest matrix: vast/vast\n"
        "  = hint: --max-renders 1000000000008 allows them; smaller axes, `exclude` or `only` need fewer\n\n"
        "`qwenbuild explain-error too-many-renders` says more about it\n"
    )
    assert sandbox.here("plan").code == 2


@pytest.mark.slow
def test_images_that_the_lock_pins_are_not_new_renders(sandbox: Sandbox) -> None:
    """A clone restores what the lock pins. Only the other cells count as new renders."""
    text = '[image.a]\nprompt = "{{ seed }}"\nmatrix = { seed = { start = 0, count = 10100 } }\n'
    sandbox.write({"specs/large.toml": text})
    assert sandbox.run("lock").code == 2
    sandbox.build("large", "--max-renders", "10200", "-w", "seed=*9")
    pinned = (sandbox.root / "qwenbuild.lock").read_text("utf-8").count("[[output]]")
    assert pinned == 1010
    shutil.rmtree(sandbox.root / ".qwenbuild")
    shutil.rmtree(sandbox.root / "out")
    assert sandbox.build("large", "-w", "seed=*9")["restored"] == 1010
    assert "9,090 new renders; at most 5 are allowed" in sandbox.run("plan", "large", "--max-renders", "5").err


@pytest.mark.slow
def test_max_renders(sandbox: Sandbox) -> None:
    """`--max-renders` limits renders. Images that exist or can be restored do not count."""
    ran = sandbox.run("build", "--max-renders", "7")
    assert (ran.code, sandbox.outputs()) == (2, {})
    assert "8 new renders; at most 7 are allowed" in ran.err
    assert sandbox.build("--max-renders", "8")["rendered"] == 8
    assert sandbox.build("--max-renders", "0")["up_to_date"] == 8
    assert sandbox.run("plan", "--force", "--max-renders", "7").err == ran.err
    shutil.rmtree(sandbox.root / ".qwenbuild")
    assert sandbox.build("--max-renders", "0")["up_to_date"] == 8
    sandbox.write({"specs/more.toml": '[image.one]\nprompt = "one"\n[image.two]\nprompt = "two"\n'})
    assert sandbox.build("more/one", "--max-renders", "1")["rendered"] == 1
    (sandbox.root / "specs/more.toml").unlink()
    (sandbox.root / "out/icons/sun.png").unlink()
    assert sandbox.build("--max-renders", "0")["restored"] == 1
    sandbox.edit("specs/icons.toml", "sun", "son")
    sandbox.write({"qwenbuild.toml": 'provider = "null"\nmax_renders = 0\n'})
    refused = sandbox.run("build")
    assert refused.code == 2
    assert "1 new renders; at most 0 are allowed" in refused.err
