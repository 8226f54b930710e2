"""What a plan asks a remote cache for, and what it makes of the answer."""

from __future__ import annotations

import pytest

from qwenbuild import load
from qwenbuild.emulation import emulated_key
from qwenbuild.plan.plan import Step
from qwenbuild.plan.sharing import wanted, with_shared
from qwenbuild.storage.action_result import Entry
from tests.support.workspace import Workspace

ADDRESS = "http://127.0.0.1:8123"
SPEC = "".join(f'[image.{name}]\nprompt = "{prompt}"\nseed = 1\n' for name, prompt in ("aa", "ba", "cc"))


@pytest.fixture
def steps(project: Workspace) -> list[Step]:
    """A plan of three images, of which two are equal."""
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": SPEC})
    return list(load(project.root).plan().steps)


def test_what_to_ask_a_remote_cache_for(steps: list[Step]) -> None:
    """A remote cache is asked for the keys of missing images, once for equal requests; found ones are restored."""
    key = steps[0].action.key
    assert wanted(steps) == ({key, steps[2].action.key}, set())
    entry = Entry(key, "1" * 64, 10, "2" * 64)
    found = list(with_shared(steps, {key: entry}))
    assert [(step.verdict.value, step.cause, step.shared) for step in found] == [
        ("restore", "in the remote cache", entry),
        ("restore", "same request as s/a", None),
        ("render", "never rendered", None),
    ]


def test_an_emulators_images_in_a_remote_cache(steps: list[Step]) -> None:
    """They are asked for where the emulator is configured, and taken if the service's image is not there."""
    key = steps[2].action.key
    emulated = emulated_key(key, ADDRESS)
    assert {key, emulated} <= wanted(steps, lambda action: ADDRESS)[0]
    entries = {name: Entry(name, "1" * 64, 10, "2" * 64) for name in (key, emulated)}
    *_, step = with_shared(steps, {emulated: entries[emulated]}, lambda action: ADDRESS)
    assert (step.shared, step.action.key, step.action.request_key) == (entries[emulated], emulated, key)
    *_, step = with_shared(steps, entries, lambda action: ADDRESS)
    assert (step.shared, step.action.key) == (entries[key], key)
    assert emulated not in wanted(steps)[0]
