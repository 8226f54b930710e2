"""Leaving images: what the state is told before the lock forgets it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from qwenbuild.plan import leaving
from qwenbuild.plan.plan import Orphan, Plan, Step, Verdict
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.past_requests import PastRequests
from qwenbuild.storage.records import Output
from qwenbuild.storage.state import State
from tests.support.workspace import Workspace


def test_a_file_that_only_the_lock_knows_is_recorded(project: Workspace, tmp_path: Path) -> None:
    """Not if the state has a record of the same request, and not if nothing is replaced."""
    [action] = project.write({"specs/s.toml": '[image.a]\nprompt = "a"\n'}).actions()
    (tmp_path / "file").write_bytes(b"image")
    seen = (tmp_path / "file").stat()
    pin = Pin(action.output, action.name, "b" * 64, "c" * 64, "m", 1)
    with contextlib.closing(State.of(project.root, create=False)) as state:
        was = (pin.key, PastRequests(state))
    step = Step(action, Verdict.RENDER, "", was, seen)
    lock = Lock({pin.path: pin})
    record = Output(pin.path, pin.key, pin.image, 5, seen.st_mtime_ns, seen.st_ino, pin.name)
    orphan = Orphan("s/x.png", "s/x", edited=False, pinned=record._replace(path="s/x.png"))
    assert leaving.records(Plan([step], lock=lock)) == [record]
    assert leaving.records(Plan([step], [orphan], lock=lock)) == [orphan.pinned, record]
    assert leaving.records(Plan([step], lock=lock, records={pin.path: record})) == []
    assert leaving.records(Plan([step._replace(was=None)], lock=lock)) == []


def test_outputs_that_a_build_drops_or_takes_back(project: Workspace) -> None:
    """The lock has what no spec declares, or lacks what is there. Without a lock, nothing is told."""
    [action] = project.write({"specs/s.toml": '[image.a]\nprompt = "a"\n'}).actions()
    steps = [Step(action, Verdict.UP_TO_DATE, "")]
    lock = Lock({path: Pin(path, "s/b", "b" * 64, "c" * 64, "m", 1) for path in ("s/c.png", "s/b.png")})
    plan = Plan(steps, lock=lock, actions=[action])
    assert (leaving.dropped(plan), leaving.returned(plan)) == (["s/b.png", "s/c.png"], ["s/a.png"])
    rendered = Plan([Step(action, Verdict.RENDER, "")], lock=lock, actions=[action])
    assert leaving.returned(rendered) == []
    alone = Plan(steps, actions=[action])
    assert (leaving.dropped(alone), leaving.returned(alone)) == ([], [])
