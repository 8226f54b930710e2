"""The commands lock and verify."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.cli.conftest import Command


def test_lock_pins_what_is_there(command: Command) -> None:
    """`lock` writes the lock only if it changes, and `--check` fails if it would change."""
    command("build")
    Path("qwenbuild.lock").unlink()
    assert command("lock", "--check")[0] == 3
    assert command("lock") == (0, "     wrote  qwenbuild.lock\n", "")
    assert command("lock") == command("lock", "--check") == (0, "up to date: qwenbuild.lock\n", "")


def test_lock_counts_outputs_that_no_build_has_made(command: Command) -> None:
    """Outputs without an image stay unpinned."""
    assert command("lock")[2] == "2 outputs not pinned: no build has made what the specs declare now\n"


def test_verify_compares_outputs_with_the_lock(command: Command) -> None:
    """`verify` exits with 0 if all outputs are as pinned, else with 3 and a line for each fault."""
    command("build")
    assert command("verify") == (0, "all 2 outputs are what the lock pins\n", "")
    Path("out/s/a-1.png").unlink()
    code, out, _ = command("verify", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 3
    assert [(event["event"], event.get("path")) for event in events] == [("mismatch", "s/a-1.png"), ("verified", None)]


def test_verify_needs_a_lock_without_conflicts(command: Command) -> None:
    """No lock, and a lock with conflicts of a merge, are errors with a hint."""
    assert command("verify") == (
        3,
        "",
        "error: no qwenbuild.lock here\n  = hint: `qwenbuild build` writes it\n\n"
        "`qwenbuild explain-error no-lock` says more about it\n",
    )
    command("build")
    lock = Path("qwenbuild.lock")
    pins = lock.read_text("utf-8")
    lock.write_text(f"<<<<<<< ours\n{pins}=======\n{pins}>>>>>>> theirs\n", "utf-8")
    code, _, err = command("verify")
    assert (code, err.splitlines()[0]) == (3, "error: qwenbuild.lock holds conflicts of a merge")
