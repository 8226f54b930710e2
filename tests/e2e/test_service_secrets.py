"""No output and no file of a build shows the API key or a signed link."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from qwenbuild.emulator.server import Running

from .studio import KEY, Studio, cards

pytest_plugins = ("tests.support.emulated",)

COMMANDS = (
    ("build", "--json"), ("build",), ("build", "--json"), ("plan", "--json"), ("plan",), ("status",),
    ("status", "--json"), ("tasks",), ("tasks", "--json"), ("tasks", "cancel", "no-such-task"), ("build", "--json"),
    ("build",),
)  # fmt: skip


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_no_output_and_no_file_holds_a_secret(emulator: Running, tmp_path: Path, interface: str) -> None:
    """No command shows the key or a link's signature, with or without faults. No file holds the key."""
    studio = Studio.make(tmp_path, emulator, cards(6), interface=f'"{interface}"', max_concurrency="2")
    # A user can turn on the debug output of libraries.
    studio.extra["PYTHONASYNCIODEBUG"] = "1"
    output = ""
    for number, command in enumerate(COMMANDS):
        if number < 3:
            emulator.inject(
                "drop-after:sync,create:20%", "garbage:sync,create:20%", "html:download:20%", "truncated:download:20%",
                "redirect:download:20%", "error=InvalidApiKey:sync,create:10%", "500:poll:20%", seed=number,
            )  # fmt: skip
        else:
            emulator.inject()
        ran = studio.run(*command) if number < 2 else studio.here(*command)
        output += ran.out + ran.err
    for path in studio.outputs():
        output += studio.here("show", str(studio.root / "out" / path)).out
    assert studio.here("build", "--resubmit").code == 0
    assert len(output) > 2000
    for secret in (KEY, KEY[-12:], "Signature="):
        assert secret not in output
    assert studio.search(KEY) == []
    holders = {path.name.removesuffix("-wal").removesuffix("-shm") for path in studio.search("Signature=")}
    assert holders <= {"state.sqlite3", "ledger.sqlite3"}  # the next build collects with these links


def test_a_snapshot_holds_no_key(emulator: Running, tmp_path: Path) -> None:
    """Without a key, another build still has nothing to do."""
    studio = Studio.make(tmp_path, emulator, cards(2))
    assert studio.run("build").code == 0
    time.sleep(0.1)  # no snapshot is written for inputs younger than 50 ms, and this build wrote the lock
    assert studio.run("build").code == 0
    assert (studio.root / ".qwenbuild" / "snapshot").exists()
    assert studio.search(KEY) == []
    del studio.extra["DASHSCOPE_API_KEY"]
    again = studio.run("build")
    assert (again.code, again.err[:13]) == (0, "nothing to do")
