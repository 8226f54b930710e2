"""Tests of collecting garbage: what projects still refer to is spared."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.errors import StateError
from qwenbuild.storage.gc import collect_garbage
from tests.support.workspace import Workspace


def test_garbage_of_every_project(tmp_path: Path) -> None:
    """What the outputs of any project come from is spared; where a state can't be read nothing is removed."""
    one, other = (
        Workspace(tmp_path / name).write({
            "qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": f'[image.z]\nprompt = "{name}"\n'
        })
        for name in ("one", "other")
    )  # fmt: skip
    load(one.root).build()
    load(other.root).build()
    planned, done = collect_garbage(os.environ, unreferenced=True)
    assert (planned.entries, done.entries if done else -1) == (0, 0)
    other.write({".qwenbuild/state.sqlite3": "torn" * 100})
    with pytest.raises(StateError):
        collect_garbage(os.environ, unreferenced=True)
    shutil.rmtree(other.root)
    planned, done = collect_garbage(os.environ, unreferenced=True, dry_run=True)
    assert (planned.entries, done) == (1, None)
