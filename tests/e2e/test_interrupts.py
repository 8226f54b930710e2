"""Builds that are ended by Ctrl-C, SIGTERM or kill -9, and the builds that continue after them."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from qwenbuild.files.provenance import read_provenance_file
from tests.e2e.harness import Ran, Sandbox

SLOW = 'provider = "null"\n[providers.null]\nlatency_s = {}\n'
CROWD = '[image.face]\nprompt = "a face"\nsize = "1:1"\nmatrix = { seed = { start = 1, count = 40 } }\n'


@pytest.fixture
def crowd(sandbox: Sandbox) -> Sandbox:
    """A project of 48 images that take a quarter of a second each."""
    return sandbox.write({"specs/crowd.toml": CROWD, "qwenbuild.toml": SLOW.format(0.25)})


@pytest.fixture
def clean(sandbox: Sandbox, tmp_path: Path) -> dict[str, bytes]:
    """The outputs of a complete build of the same specs."""
    other = Sandbox(tmp_path / "undisturbed", tmp_path / "another-store")
    other.write({name: (sandbox.root / name).read_text() for name in files(sandbox.root)})
    other.write({"specs/crowd.toml": CROWD})
    assert other.run("build").code == 0
    return other.outputs()


def files(root: Path) -> list[str]:
    """Return the paths of all files of a project that has not been built."""
    return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]


def group(sandbox: Sandbox, *arguments: str) -> subprocess.Popen[str]:
    """Start a command in its own process group, as a shell does."""
    return sandbox.popen(*arguments, start_new_session=True)


def wait_for_outputs(sandbox: Sandbox, count: int) -> None:
    """Wait until a build has written at least `count` images."""
    until = time.monotonic() + 30
    while len(sandbox.stamps()) < count:
        assert time.monotonic() < until, "the build makes no images"
        time.sleep(0.01)


def end(process: subprocess.Popen[str]) -> Ran:
    """Wait until a command ends. Fail if it printed a traceback."""
    out, err = process.communicate(timeout=30)
    assert "Traceback" not in err, err
    return Ran(process.returncode, out, err)


def check_whole(sandbox: Sandbox) -> None:
    """Fail if an image below out/ is damaged, or if anything else lies there."""
    for path in (sandbox.root / "out").rglob("*"):
        if path.is_file():
            assert path.suffix == ".png"
            assert read_provenance_file(path) is not None


def test_ctrl_c(crowd: Sandbox, clean: dict[str, bytes]) -> None:
    """After the first Ctrl-C, running renders finish and the build ends with a summary. The next build continues."""
    process = group(crowd, "build", "-j4")
    wait_for_outputs(crowd, 4)
    os.killpg(process.pid, signal.SIGINT)
    ran = end(process)
    assert ran.code == 130
    lines = ran.err.splitlines()
    assert any(
        line.startswith("stopping; ") and line.endswith("Press Ctrl-C again to leave at once.") for line in lines
    )
    assert lines[-1] == "interrupted: all finished images are kept; build again to continue"
    done = len(crowd.outputs())
    assert lines[-2].startswith(f"{done} rendered, {48 - done} skipped in ")
    check_whole(crowd)
    crowd.write({"qwenbuild.toml": SLOW.format(0)})
    finished = crowd.build()
    assert (finished["rendered"], finished["restored"], finished["up_to_date"]) == (48 - done, 0, done)
    assert crowd.outputs() == clean


@pytest.mark.parametrize("provider", ["null", "draft"])
def test_ctrl_c_twice(crowd: Sandbox, provider: str) -> None:
    """The second Ctrl-C ends the build at once, without a traceback, and every written image is whole."""
    crowd.write({"qwenbuild.toml": SLOW.format(20 if provider == "null" else 0)})
    process = group(crowd, "build", "--json", "--provider", provider, "-j2")
    assert process.stdout is not None
    while json.loads(process.stdout.readline())["event"] != "image_started":
        pass
    os.killpg(process.pid, signal.SIGINT)
    while json.loads(process.stdout.readline())["event"] != "stopping":
        pass
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    ran = end(process)
    assert ran.code == 130
    assert time.monotonic() - begun < 10
    assert ran.finished["interrupted"] is True
    outcomes = ("rendered", "restored", "failed", "unknown", "skipped", "submitted", "edited", "up_to_date")
    assert sum(ran.finished[outcome] for outcome in outcomes) == 48
    check_whole(crowd)
    crowd.write({"qwenbuild.toml": SLOW.format(0)})
    assert crowd.build()["failed"] == 0


def test_sigterm(crowd: Sandbox) -> None:
    """SIGTERM stops a build like the first Ctrl-C; the exit code names the signal."""
    process = group(crowd, "build", "--json", "-j4")
    wait_for_outputs(crowd, 4)
    process.terminate()
    ran = end(process)
    assert (ran.code, ran.finished["interrupted"]) == (128 + signal.SIGTERM, True)
    assert ran.finished["rendered"] + ran.finished["skipped"] == 48
    assert len(crowd.outputs()) == ran.finished["rendered"]


@pytest.mark.parametrize(
    "module", ["qwenbuild.noop", "click.core", "asyncio.events", "pydantic", "qwenbuild.engine.engine", "filelock"]
)
def test_ctrl_c_while_starting(sandbox: Sandbox, module: str) -> None:
    """Ctrl-C during imports ends the command without a traceback."""
    sandbox.extra["PYTHONVERBOSE"] = "1"
    process = group(sandbox, "build")
    assert process.stderr is not None
    while not process.stderr.readline().startswith(f"import '{module}'"):
        assert process.poll() is None, f"{module} was not loaded"
    os.killpg(process.pid, signal.SIGINT)
    ran = end(process)
    assert ran.code == 130
    del sandbox.extra["PYTHONVERBOSE"]
    assert sandbox.build()["failed"] == 0


def test_kill_at_any_moment(crowd: Sandbox, clean: dict[str, bytes]) -> None:
    """After kill -9 at random moments every file is whole, and the next build makes the same images."""
    crowd.write({"qwenbuild.toml": SLOW.format(0.02)})
    moments = random.Random(7)
    for _ in range(8):
        process = group(crowd, "build", "-j3")
        time.sleep(moments.uniform(0.3, 0.9))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if (crowd.root / "out").exists():
            check_whole(crowd)
            assert crowd.outputs().items() <= clean.items()
    crowd.write({"qwenbuild.toml": SLOW.format(0)})
    crowd.build()
    assert crowd.outputs() == clean
    assert list((crowd.root / ".qwenbuild/tmp").iterdir()) == []
    state = sqlite3.connect(crowd.root / ".qwenbuild/state.sqlite3")
    assert state.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    state.close()


def test_two_builds_at_once(crowd: Sandbox) -> None:
    """A second build or `clean` of the same project reports the running build. `plan` works meanwhile."""
    first = group(crowd, "build", "--json", "-j4")
    wait_for_outputs(crowd, 1)
    second = crowd.here("build")
    assert (second.code, second.err) == (
        2,
        "error: another build of this project is running\n"
        f"  = lock: {crowd.root / '.qwenbuild/lock'}\n"
        "  = hint: wait until it ends; the lock is released when its process ends\n\n"
        "`qwenbuild explain-error project-busy` says more about it\n",
    )
    assert crowd.here("clean").code == 2
    assert crowd.here("plan").code == 0
    assert end(first).finished["rendered"] == 48
    crowd.build_nothing()


def test_builds_of_two_projects(crowd: Sandbox, tmp_path: Path) -> None:
    """Two projects with one store can build at the same time. The store holds each result once."""
    crowd.write({"qwenbuild.toml": SLOW.format(0.01)})
    other = Sandbox(tmp_path / "other", crowd.store)
    other.write({name: (crowd.root / name).read_text() for name in files(crowd.root)})
    builds = [group(project, "build", "--json", "-j2") for project in (crowd, other)]
    finished = [end(build).finished for build in builds]
    assert [event["failed"] for event in finished] == [0, 0]
    assert crowd.outputs() == other.outputs()
    crowd.build_nothing()
    other.build_nothing()
    assert len(list((crowd.store / "ac").rglob("*/*"))) == 48
