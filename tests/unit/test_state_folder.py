"""The state's folder: the state, the build's lock and the fast path agree on its names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qwenbuild import noop, noop_snapshot
from qwenbuild.specs import project
from qwenbuild.state_folder import BUILD_LOCK, FOLDER, STATE
from qwenbuild.storage.build_lock import hold_build_lock
from qwenbuild.storage.state import State


def test_a_project_keeps_its_state_in_one_folder(tmp_path: Path) -> None:
    """The state, the build's lock, the snapshot and temporary files lie in the project's `.qwenbuild/`."""
    (tmp_path / "qwenbuild.toml").write_text("")
    folder = project.find(tmp_path).state_dir
    assert folder == tmp_path / FOLDER == (tmp_path / noop_snapshot.NAME).parent
    with hold_build_lock(folder):
        State.of(tmp_path, create=True).close()
        assert sorted(os.listdir(folder)) == [".gitignore", BUILD_LOCK, STATE, f"{STATE}-checked", "tmp"]


def test_the_fast_path_sees_a_running_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a build holds its lock, the snapshot is not trusted."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / FOLDER).mkdir()
    answer = noop.answer(noop.Asked(["build"]), str(tmp_path), 0, 0, 0)
    noop_snapshot.save(str(tmp_path), noop_snapshot.pack([], [], [[answer], [], [], []], [], b""))
    assert noop.find(["build"])
    with hold_build_lock(tmp_path / FOLDER):
        assert noop.find(["build"]) is None
    assert noop.find(["build"])
