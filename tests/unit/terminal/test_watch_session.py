"""A running watch in a pipe; the e2e tests run it on a terminal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.terminal.watch_session import Choices, watch
from tests.support.workspace import Workspace


def test_ctrl_c_ends_a_watch_with_130(project: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    """Free images are built first; `--json` prints each event, and without a preview no page is served."""
    project.write({"specs/s.toml": '[image.a]\nprompt = "a"\n'})
    image = Path(project.root, "out/s/a.png")

    def interrupt_after_build() -> None:
        while not image.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt_after_build, daemon=True)
    thread.start()
    code = asyncio.run(watch(load(project.root, provider="null"), Choices(preview=False, as_json=True)))
    thread.join()
    events = [json.loads(line)["event"] for line in capfd.readouterr().out.splitlines()]
    assert code == 130
    assert events[0] == "replanned"
    assert {"started", "image_finished", "finished"} <= set(events)
    assert "serving" not in events
