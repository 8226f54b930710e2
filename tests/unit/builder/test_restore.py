"""Restoring: images come back from the store in batches, and each step has its own result."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from qwenbuild import load
from qwenbuild.builder.restore import batches, restore
from qwenbuild.errors import OutputError
from qwenbuild.storage.outputs import Outputs
from tests.support.workspace import Workspace


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The engine of a project with 134 rendered cells whose outputs were deleted."""
    monkeypatch.setenv("QWENBUILD_CACHE_DIR", str(tmp_path / "store"))
    spec = '[image.x]\nprompt = "p"\nmatrix = { seed = { start = 0, count = 134 } }\n'
    place = Workspace(tmp_path / "project").write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": spec})
    engine = load(place.root)
    engine.build()
    for path in (place.root / "out/s").iterdir():
        path.unlink()
    return engine


def test_batches(built: Any) -> None:
    """Batches are small, and hold all steps in their order."""
    steps = built.plan().steps
    made = list(batches(steps))
    assert [len(batch) for batch in made] == [128, 6]
    assert [step for batch in made for step in batch] == list(steps)


@pytest.mark.parametrize(
    ("millions", "expected"),
    [
        ([32, 32, 1], [[32, 32], [1]]),
        ([30, 30, 30], [[30, 30], [30]]),
        ([64, 32, 32, 1], [[64], [32, 32], [1]]),
        ([90, 90], [[90], [90]]),
    ],
)
def test_large_images(built: Any, millions: list[int], expected: list[list[int]]) -> None:
    """A batch has at most 64 million bytes, or one image."""
    steps = [
        step._replace(entry=dataclasses.replace(step.entry, size_bytes=size * 1_000_000))
        for step, size in zip(built.plan().steps, millions, strict=False)
    ]
    sizes = [[step.entry.size_bytes // 1_000_000 for step in batch if step.entry] for batch in batches(steps)]
    assert sizes == expected


def test_what_is_damaged_is_no_obstacle(built: Any) -> None:
    """Damaged bytes, or an output that can't be written, affect only their own step."""
    steps, out = built.plan().steps[:20], built.project.out
    blob = built.store.blob_path(steps[3].entry.image)
    blob.unlink()
    blob.write_bytes(b"x" * steps[3].entry.size_bytes)
    (out / steps[4].action.output).mkdir()
    ended = {step.action.output: found for step, found in restore(steps, built.store, Outputs(out, out.parent / "tmp"))}
    assert ended.keys() == {step.action.output for step in steps}
    assert ended[steps[3].action.output] is None
    assert "changed during the build" in str(ended[steps[4].action.output])
    for step in (*steps[:3], *steps[5:]):
        found = ended[step.action.output]
        assert isinstance(found, os.stat_result)
        assert os.lstat(out / step.action.output).st_ino == found.st_ino
    assert os.listdir(out.parent / "tmp") == []


def test_an_output_that_leads_elsewhere(built: Any, tmp_path: Path) -> None:
    """Its step fails, and those after it are restored."""
    place = Workspace(built.project.root).write({"specs/a.toml": '[image.x]\nprompt = "p"\nseed = 1\n'})
    engine = load(place.root)
    engine.build()
    first = engine.plan().steps[0]
    assert first.action.output.startswith("a/")
    for path in engine.project.out.rglob("*.png"):
        path.unlink()
    (engine.project.out / "a").rmdir()
    (engine.project.out / "a").symlink_to(tmp_path)
    steps = engine.plan().steps[:3]
    ended = restore(steps, engine.store, Outputs(engine.project.out, tmp_path / "staging"))
    (failed, error), *others = ended
    assert failed.action.output == first.action.output
    assert isinstance(error, OutputError)
    assert error.claim == f"{engine.project.out}/a leads out of {engine.project.out}"
    assert [step for step, _ in others] == list(steps[1:])
    assert all(isinstance(found, os.stat_result) for _, found in others)


def test_an_outdated_output_is_replaced(built: Any) -> None:
    """The file that the plan has seen gives way to the image from the store."""
    spec = '[image.x]\nprompt = "{}"\nseed = 1\n'
    place = Workspace(built.project.root)
    images = []
    for prompt in "pq":
        engine = load(place.write({"specs/s.toml": spec.format(prompt)}).root)
        engine.build()
        images.append((engine.project.out / engine.plan().steps[0].action.output).read_bytes())
    place.write({"specs/s.toml": spec.format("p")})
    [step] = load(place.root).plan().steps
    assert step.seen is not None
    [(_, found)] = restore([step], built.store, Outputs(built.project.out, place.root / "staging"))
    assert isinstance(found, os.stat_result)
    assert (built.project.out / step.action.output).read_bytes() == images[0] != images[1]
