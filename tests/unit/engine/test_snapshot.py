"""The snapshot of a finished build: when it is written, and that the fast path accepts it."""

from __future__ import annotations

import os
import time

import pytest

from qwenbuild import load, noop, noop_snapshot
from qwenbuild.engine import snapshot
from tests.support.workspace import Workspace

ARGUMENTS = ["build"]


@pytest.fixture
def place(project: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project of two images, whose files are a minute old, as the working folder."""
    spec = '[image.a]\nprompt = "a"\n[image.b]\nprompt = "b"\n'
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": spec})
    monkeypatch.chdir(project.root)
    return project


def settle() -> None:
    """Wait until an edit of the files would have another time by the kernel's coarse clock."""
    time.sleep(0.1)


def count_of(arguments: list[str]) -> int | None:
    """Return the number of outputs by the fast path, None if it does not answer."""
    found = noop.find(arguments)
    return found[1].count if found else None


def test_the_fast_path_accepts_the_snapshot(place: Workspace) -> None:
    """After a build that left nothing to do, the fast path counts the outputs, until something changes."""
    settle()
    load(place.root).build(arguments=ARGUMENTS)
    assert count_of(ARGUMENTS) == 2
    assert count_of(["build", "s"]) is None
    os.utime(place.root / "out/s/a.png")
    assert count_of(ARGUMENTS) == 2  # the content is the same
    place.write({"out/s/a.png": "mine"})
    assert count_of(ARGUMENTS) is None


@pytest.mark.parametrize("choices", [{"force": True}, {}])
def test_builds_without_a_snapshot(place: Workspace, choices: dict[str, bool]) -> None:
    """A forced build would render again, and an edited output is reported each time: neither writes a snapshot."""
    settle()
    load(place.root).build()
    if not choices:
        place.write({"out/s/a.png": "mine"})
    load(place.root, None, **choices).build(arguments=ARGUMENTS)
    assert count_of(ARGUMENTS) is None


def test_an_output_without_a_record(place: Workspace) -> None:
    """Without a record of each output, or if the last run can't be read, there is no snapshot."""
    engine = load(place.root)
    engine.build()
    settle()  # the build wrote the lock, which is an input of the plan
    plan, started_ns = engine.plan(), time.time_ns()
    built = snapshot.Built(plan, engine.routes, {}, engine.last_run(), [], started_ns)
    snapshot.write(engine.project, built, ARGUMENTS)
    assert not (place.root / noop_snapshot.NAME).exists()
    snapshot.write(engine.project, built._replace(records=plan.records, last_run={}), ARGUMENTS)
    assert not (place.root / noop_snapshot.NAME).exists()
    snapshot.write(engine.project, built._replace(records=plan.records), ARGUMENTS)
    assert (place.root / noop_snapshot.NAME).exists()
