"""The judge: verdicts and reasons for every state of an output and its request."""

from __future__ import annotations

import os
from typing import Any

import pytest

from qwenbuild import load
from qwenbuild.plan.plan import Orphan
from qwenbuild.storage.state import State
from tests.support.workspace import Workspace

SPEC = """\
[image.a]
prompt = "a red ball"
seed = 1
[image.b]
prompt = "a red ball"
seed = 1
[image.c]
prompt = "c"
"""


@pytest.fixture
def place(project: Workspace) -> Workspace:
    """A project of three images, of which two are equal."""
    return project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": SPEC})


def plan(place: Workspace, **choices: Any) -> dict[str, tuple[str, str]]:
    """Return verdict and reason by image."""
    steps = load(place.root, **choices).plan().steps
    return {step.action.declaration.image_name: (step.verdict.value, step.reason) for step in steps}


def submitted(place: Workspace, handle: str = "", *, forced: bool = False) -> None:
    """Record a submission of image `a` by an earlier build."""
    action = load(place.root).actions()[0]
    state = State.of(place.root, create=True)
    number = state.intend(action.key, action.request.as_dict(), "null", {}, forced=forced)
    if handle:
        state.accepted(number, handle)
    state.close()


def test_never_rendered(place: Workspace) -> None:
    """An output that was never rendered is rendered; an equal request takes its bytes."""
    assert plan(place) == {
        "a": ("render", "never rendered"),
        "b": ("restore", "same request as s/a"),
        "c": ("render", "never rendered"),
    }


def test_up_to_date(place: Workspace) -> None:
    """An output with the written status, or with the right bytes, is up to date."""
    load(place.root).build()
    assert set(plan(place).values()) == {("up_to_date", "up to date")}
    for path in (place.root / "out/s").iterdir():
        os.utime(path)
    assert set(plan(place).values()) == {("up_to_date", "up to date")}
    assert [step.adopted != "" for step in load(place.root).plan().steps] == [True] * 3
    load(place.root).build()
    assert [step.adopted for step in load(place.root).plan().steps] == [""] * 3


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("a red ball", "a blue ball", "prompt changed: -red +blue"),
        ("a red ball", "one two three four five six", "prompt changed: -a -red -ball +one +two +three +four +2 more"),
        ("a red ball", "a red  ball", "prompt changed: white space"),
        ("seed = 1", "seed = 2", "seed 1 -> 2"),
        ("seed = 1", 'seed = 1\nsize = "1:1"', "size 1664*928 -> 1328*1328"),
        ("seed = 1", 'seed = 1\nnegative_prompt = "dull"', "negative prompt changed: +dull"),
        ("seed = 1", "seed = 1\nprompt_extend = true\nwatermark = true",
         "prompt extend false -> true; watermark false -> true"),
        ("seed = 1", 'seed = 1\nmodel = "qwen-image"', "model qwen-image-plus -> qwen-image"),
    ],
)  # fmt: skip
def test_a_request_that_changed(place: Workspace, old: str, new: str, reason: str) -> None:
    """The reason says what changed in the request."""
    load(place.root).build()
    place.write({"specs/s.toml": SPEC.replace(old, new)})
    assert plan(place)["a"] == ("render", reason)
    assert plan(place)["b"] == ("restore", "same request as s/a")
    assert plan(place)["c"] == ("up_to_date", "up to date")
    load(place.root).build()
    place.write({"specs/s.toml": SPEC})
    verdict, back = plan(place)["a"]
    assert (verdict, back != "") == ("restore", True)


def test_another_provider(place: Workspace) -> None:
    """Another provider's images are other images, and the reason names both providers."""
    load(place.root).build()
    verdict, reason = plan(place, provider="dashscope")["c"]
    assert (verdict, reason) == ("render", "provider null-1 -> dashscope")


def test_deleted(place: Workspace) -> None:
    """A deleted output is restored from the store, or rendered if the store has lost it."""
    load(place.root).build()
    (place.root / "out/s/c.png").unlink()
    assert plan(place)["c"] == ("restore", "output deleted")
    for path in (load(place.root).store.root / "ac").rglob("*/*"):
        path.unlink()
    assert plan(place)["c"] == ("render", "output deleted, and no longer in the store")
    assert plan(place)["a"] == ("up_to_date", "up to date")


def test_rendered_before(place: Workspace) -> None:
    """An image that another project, or another cell, has rendered is restored."""
    load(place.root).build()
    place.write({"specs/t.toml": '[image.d]\nprompt = "a red ball"\nseed = 1\n'})
    assert plan(place)["d"] == ("restore", "rendered before")


def test_edited(place: Workspace) -> None:
    """Whatever qwenbuild did not write is kept, and the reason says what it is."""
    place.write({"out/s/c.png": "mine"})
    assert plan(place)["c"] == ("edited", "a file that qwenbuild did not write is in its place")
    assert plan(place, overwrite=True)["c"] == ("render", "overwrites an edited file")
    load(place.root, overwrite=True).build()
    place.write({"out/s/c.png": "mine"})
    assert plan(place)["c"] == ("edited", "changed by hand since it was written")
    assert plan(place, overwrite=True)["c"] == ("restore", "overwrites an edited file")
    assert plan(place, force=True)["c"] == ("edited", "changed by hand since it was written")
    (place.root / "out/s/c.png").unlink()
    (place.root / "out/s/c.png").mkdir()
    assert plan(place, overwrite=True)["c"] == ("edited", "a folder is in its place")


def test_forced(place: Workspace) -> None:
    """`force` renders existing images again, once for equal requests."""
    load(place.root).build()
    assert plan(place, force=True) == {
        "a": ("render", "forced"), "b": ("restore", "same request as s/a"), "c": ("render", "forced")
    }  # fmt: skip


def test_in_flight(place: Workspace) -> None:
    """An accepted request is collected, and an equal request takes its bytes."""
    submitted(place, "task:1")
    assert plan(place)["a"] == ("reattach", "submitted by an earlier build")
    assert plan(place)["b"] == ("restore", "same request as s/a")


def test_a_lost_answer(place: Workspace) -> None:
    """A request that may have been billed is sent again only with `resubmit`."""
    submitted(place)
    lost = "an earlier build sent it and lost the answer: it may have been billed"
    assert plan(place) == {
        "a": ("unknown", lost), "b": ("unknown", "same request as s/a"), "c": ("render", "never rendered")
    }  # fmt: skip
    assert plan(place, resubmit=True)["a"] == ("render", "may have been billed before; sent again")
    place.write({"qwenbuild.toml": 'provider = "null"\nresubmit = "always"\n'})
    assert plan(place)["a"] == ("render", "may have been billed before; sent again")
    assert plan(place, resubmit=False)["a"] == ("unknown", lost)


def test_an_image_that_a_crash_left_unclosed(place: Workspace) -> None:
    """A submission whose image is in the store is settled, unless it is forced."""
    load(place.root).build()
    (place.root / "out/s/a.png").unlink()
    submitted(place)
    assert plan(place)["a"] == ("restore", "output deleted")
    submitted(place, "task:2", forced=True)
    assert plan(place)["a"] == ("reattach", "submitted by an earlier build")


def test_orphans(place: Workspace) -> None:
    """Recorded outputs that no spec declares are orphans while they exist; a narrowed plan does not look for them."""
    load(place.root).build()
    place.write({"specs/s.toml": '[image.c]\nprompt = "c"\n', "out/s/b.png": "mine", "out/s/other.png": "not ours"})
    engine = load(place.root)
    assert engine.plan().orphans == [Orphan("s/a.png", "s/a", False), Orphan("s/b.png", "s/b", True)]
    assert load(place.root, select=["s"]).plan().orphans == []
    (place.root / "out/s/a.png").unlink()
    assert [orphan.path for orphan in engine.plan().orphans] == ["s/b.png"]


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_file_of_two_spellings_is_no_orphan(place: Workspace, name: str) -> None:
    """Where a file system folds `A.png` and `a.png`, the orphan of the old spelling is the file of the new one."""
    place.write({"specs/s.toml": f'[image.{name}]\nprompt = "A"\noutput = "Dir/{name}.png"\n'})
    engine = load(place.root)
    engine.build()
    place.write({"specs/s.toml": f'[image.{name}]\nprompt = "A"\noutput = "dir/{name.upper()}.png"\n'})
    (place.root / "out/dir").mkdir()
    old, new = place.root / f"out/Dir/{name}.png", place.root / f"out/dir/{name.upper()}.png"
    new.hardlink_to(old)  # as a folding file system shows them: one file
    assert load(place.root).plan().orphans == []
    new.unlink()
    new.write_bytes(old.read_bytes())
    assert [orphan.path for orphan in load(place.root).plan().orphans] == [f"Dir/{name}.png"]
