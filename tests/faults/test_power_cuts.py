"""Power cuts at every call of a build, in a model of the disk, see `disk`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from qwenbuild.digest import sha256
from qwenbuild.storage.store import Store

from . import injector
from .disk import Disk, write
from .injector import Arming, Fault
from .power import cuts, recorded, sendings
from .scenarios import SCENARIOS
from .stage import Stage

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["draft", "sync", "async", "restore", "force", "remote"])
def test_power_cuts(stage: Stage, name: str) -> None:
    """What is read is whole or absent, never another image, never an error; what was called done is there."""
    assert [*cuts(stage, recorded(stage, SCENARIOS[name]))] == []


def test_power_cuts_while_the_snapshot_is_written(stage: Stage) -> None:
    """A torn snapshot of a build that had nothing to do is ignored."""
    recording = recorded(stage, replace(SCENARIOS["force"], name="again", arguments=()), ["build"])
    assert f"{stage.project('one')}/.qwenbuild/snapshot" in {call.second for call in recording.calls}
    assert [*cuts(stage, recording)] == []


_KEY = sha256(b"a key")
_PUT = f"""
import pathlib, sys
from qwenbuild.storage.store import Store
store = Store(pathlib.Path(sys.argv[1]))
store.prepare()
store.put("{_KEY}", sys.argv[2].encode(), b"{{}}")
"""


def test_an_image_that_another_process_stored_is_safe_too(stage: Stage, tmp_path: Path) -> None:
    """A put that finds an image there makes it safe, because the process that stored it may have been killed."""
    disk, library, place = Disk([tmp_path]), stage.folder / "injector.so", tmp_path / "store"

    def put(image: str, fault: Fault | None = None) -> int:
        arming = Arming(stage.log, (tmp_path,), (), fault, records_data=True)
        stage.log.unlink(missing_ok=True)
        command = [sys.executable, "-c", _PUT, str(place), image]
        return subprocess.run(command, env={**os.environ, **arming.environment(library)}, check=False).returncode

    assert put("first") == 0
    renamed = [call.number for call in injector.read(stage.log) if call.name == "rename"]
    shutil.rmtree(place)
    assert put("first", Fault(renamed[-1], "kill-after")) == -signal.SIGKILL
    for call in injector.read(stage.log):
        disk.do(call)
    assert put("second") == 0
    for call in injector.read(stage.log):
        disk.do(call)
    write(disk.least, tmp_path)
    store = Store(place)
    entry = store.lookup(_KEY)
    assert entry
    assert store.read(entry) == b"first"


@pytest.mark.parametrize("name", ["sync", "async", "force", "force-async"])
def test_what_is_sent_is_on_the_disk_before(stage: Stage, name: str) -> None:
    """When a request is sent, its intent survives a power cut; when its image is asked for, its handle does."""
    sent = [*sendings(stage, recorded(stage, SCENARIOS[name]))]
    assert [problem for sending in sent for problem in sending.problems] == []
    assert Counter(sending.kind for sending in sent if sending.kind != "poll") == {"request": 2, "download": 2}
    assert ("poll" in {sending.kind for sending in sent}) == name.endswith("async")
