"""The pins: what a lock must say, and how an existing one differs."""

from __future__ import annotations

import pytest

from qwenbuild import load
from qwenbuild.errors import LockError
from qwenbuild.plan import pins
from qwenbuild.plan.pins import differences
from qwenbuild.plan.plan import Step, Verdict
from qwenbuild.specs.action import Action
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.records import Output
from tests.support.workspace import Workspace

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def action(project: Workspace) -> Action:
    """The one action of a project."""
    spec = '[image.a]\nprompt = "a"\nseed = 1\n'
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": spec})
    return load(project.root).actions()[0]


def pin(action: Action, image: str, *, key: str = "", name: str = "", path: str = "") -> Pin:
    """Return a pin of the action."""
    model = action.model.name
    return Pin(path or action.output, name or action.name, key or action.key, image, model, action.seed)


def lock_of(*some: Pin) -> Lock:
    """Return a lock with these pins."""
    return Lock({one.path: one for one in some})


def record(action: Action, image: str, key: str = "") -> Output:
    """Return the state's record of the action's output."""
    return Output(action.output, key or action.key, image, 1, 1, 1, action.name)


def test_the_digest_of_a_pin(action: Action) -> None:
    """A pin has the digest that was made, else the locked one, else the recorded one."""
    path, locked, records = action.output, lock_of(pin(action, B)), {action.output: record(action, C)}
    assert list(pins.pins([action], locked, {path: A}, records)) == [pin(action, A)]
    assert list(pins.pins([action], locked, {}, records)) == [pin(action, B)]
    assert list(pins.pins([action], Lock(), {}, records)) == [pin(action, C)]
    assert list(pins.pins([action], Lock(), {}, {})) == []


def test_the_pin_of_an_earlier_request_stays(action: Action) -> None:
    """Until an output is made again, the lock keeps the pin of its earlier request."""
    earlier = pin(action, B, key="0" * 64)
    assert list(pins.pins([action], lock_of(earlier), {}, {action.output: record(action, C, "0" * 64)})) == [earlier]
    assert list(pins.pins([action], lock_of(earlier), {action.output: A}, {})) == [pin(action, A)]


def test_differences(action: Action) -> None:
    """Each change that the lock needs is one line."""
    before = {**action.request.as_dict(), "seed": 9}
    assert differences([action], lock_of(pin(action, A)), lambda key: None) == []
    assert differences([action], Lock(), lambda key: None) == ["s/a: not in the lock"]
    assert differences([action], lock_of(pin(action, A, name="s/z")), lambda key: None) == [
        "s/a: the lock calls it s/z"
    ]
    old = lock_of(pin(action, A, key="0" * 64))
    assert differences([action], old, lambda key: None) == ["s/a: its request changed"]
    assert differences([action], old, lambda key: before) == ["s/a: seed 9 -> 1"]
    gone = lock_of(pin(action, A), pin(action, A, name="s/gone", path="s/gone.png"))
    assert differences([action], gone, lambda key: None) == ["s/gone: no longer declared"]


def test_checking_a_lock(action: Action) -> None:
    """A lock that a build would change, and one with conflicts of a merge, are refused."""
    with pytest.raises(LockError) as caught:
        pins.check([action], Lock(), lambda key: None)
    assert caught.value.claim == "qwenbuild.lock is out of date: 1 of its records would change"
    assert caught.value.facts == ("s/a: not in the lock",)
    with pytest.raises(LockError) as caught:
        pins.check([action], Lock({}, {}), lambda key: None)
    assert caught.value.claim == "qwenbuild.lock holds conflicts of a merge"


def test_checking_edits(action: Action) -> None:
    """Edited outputs are listed; the list ends after twenty."""
    steps = [Step(action, Verdict.EDITED, "changed by hand since it was written")] * 21
    pins.check_edits([Step(action, Verdict.UP_TO_DATE, "up to date")])
    with pytest.raises(LockError) as caught:
        pins.check_edits(steps)
    assert caught.value.claim == "edited outputs are not what the lock pins: 21"
    assert caught.value.facts[0] == "s/a.png: changed by hand since it was written"
    assert caught.value.facts[-1] == "and 1 more"
