"""Shards: several machines build parts of a project, and a last build puts them together."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.storage import lock

from .harness import Sandbox
from .test_sweep import PROMPTS, SPEC


def test_shards_of_parti_prompts(sandbox: Sandbox) -> None:
    """Every action is in exactly one shard. Equal requests are in the same shard, and shards have similar sizes."""
    sandbox.write({"specs/data/PartiPrompts.tsv": PROMPTS.read_text("utf-8")})
    sandbox.write({"specs/garden.toml": SPEC.replace("seed = [1, 2]\n", "")})
    actions = load(sandbox.root, max_renders=10_000).actions()
    assert len(actions) == 1632 * 5 + 2
    shards = [
        [step.action for step in load(sandbox.root, shard=(number, 7), max_renders=10_000).plan().steps]
        for number in range(1, 8)
    ]
    assert sorted(action.output for shard in shards for action in shard) == sorted(action.output for action in actions)
    keys = [{action.key for action in shard} for shard in shards]
    assert sum(map(len, keys)) == len(set().union(*keys)) == len({action.key for action in actions})
    assert all(0.85 < len(shard) * 7 / len(actions) < 1.15 for shard in shards)


def test_a_last_build_only_restores(sandbox: Sandbox) -> None:
    """Machines that share a store render disjoint parts. A build of everything then renders nothing."""
    rendered = []
    for number in (1, 2, 3):
        machine = Sandbox(sandbox.root.with_name(f"machine{number}"), sandbox.store)
        machine.write({path: (sandbox.root / path).read_text("utf-8") for path in files(sandbox)})
        rendered.append(machine.build_here("--shard", f"{number}/3")["rendered"])
        assert len(lock.read(machine.root / lock.NAME).pins) == rendered[-1]
    assert sum(rendered) == 8
    last = sandbox.build_here()
    assert (last["rendered"], last["restored"]) == (0, 8)
    assert len(lock.read(sandbox.root / lock.NAME).pins) == 8


def files(sandbox: Sandbox) -> list[str]:
    found = [path for path in sandbox.root.rglob("*") if path.is_file() and ".qwenbuild" not in path.parts]
    return [path.relative_to(sandbox.root).as_posix() for path in found]


def test_a_shard_keeps_the_rest(sandbox: Sandbox) -> None:
    """The build of one shard keeps the pins and outputs of the others, and reports no orphan."""
    sandbox.build_here()
    before = (sandbox.root / lock.NAME).read_text("utf-8")
    assert sandbox.here("build", "--shard", "1/2").code == 0
    assert (sandbox.root / lock.NAME).read_text("utf-8") == before
    (sandbox.root / "specs/icons.toml").unlink()
    events = sandbox.here("plan", "--json", "--shard", "1/2").events
    assert [event for event in events if event["event"] == "orphan"] == []


def test_more_shards_than_requests(sandbox: Sandbox) -> None:
    """The build of an empty shard succeeds."""
    codes = {sandbox.here("build", "--shard", f"{number}/20").code for number in range(1, 21)}
    assert (codes, len(sandbox.outputs())) == ({0}, 8)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2", "", "1/ 2", "٣/٤", "1/9999999"])
def test_a_wrong_shard(sandbox: Sandbox, text: str) -> None:
    """Anything but `k/n` with 1 <= k <= n is a usage error, before anything is read or rendered."""
    ran = sandbox.here("build", f"--shard={text}")
    assert (ran.code, ran.err.splitlines()[0]) == (
        2,
        f"error: Invalid value for '--shard': {text} is not a shard such as 1/4: the first of four",
    )
    assert not Path(sandbox.root / "out").exists()
