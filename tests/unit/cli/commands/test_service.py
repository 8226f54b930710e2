"""The commands tasks and emulator, tasks against a local emulator."""

from __future__ import annotations

import pytest

from qwenbuild.emulator import server
from tests.unit.cli.conftest import Command


def test_tasks_need_a_service(command: Command) -> None:
    """`tasks` asks the service; without a key it is an error that says so."""
    code, _, err = command("tasks")
    assert code in (1, 2)
    assert "key" in err


def test_tasks_of_an_account(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account without tasks has an empty list; cancelling an unknown task exits with 1."""
    with server.running() as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        assert command("tasks") == (0, "nothing is in flight\n", "")
        assert command("tasks", "--json", "--status", "pending") == (0, "", "")
        code, out, err = command("tasks", "cancel", "nosuch")
    assert (code, out) == (1, "")
    assert err.startswith("error: ")


def test_the_emulator_explains_its_faults(command: Command) -> None:
    """`emulator --faults` explains how faults are written, and starts no server."""
    code, out, _ = command("emulator", "--faults")
    assert (code, "throttle" in out) == (0, True)
