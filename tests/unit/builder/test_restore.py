"""Restoring: images come back from the store in batches, and each step has its own result."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from qwenbuild import load
from qwenbuild.builder.restore import batches, restore
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
