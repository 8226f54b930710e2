"""The command `trust`, and the option --trust-project."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.conftest import Command

CONFIG = '[remote]\nurl = "https://127.0.0.1:9/team"\n'


def write(folder: Path) -> None:
    """Write a project that asks for a remote cache into `folder`."""
    (folder / "specs").mkdir(parents=True, exist_ok=True)
    (folder / "specs" / "s.toml").write_text('[image.a]\nprompt = "x"\n')
    (folder / "qwenbuild.toml").write_text(CONFIG)


def test_without_a_terminal_nothing_is_approved(command: Command) -> None:
    """The message names the ways for scripts."""
    write(Path())
    code, out, err = command("trust")
    assert (code, "new  images would come from https://127.0.0.1:9/team" in out) == (2, True)
    assert "`qwenbuild trust --yes`" in err
    assert "--trust-project" in err


def test_yes_approves_and_revoke_takes_it_back(command: Command) -> None:
    """A second `trust` has nothing to ask."""
    write(Path())
    code, out, _ = command("trust", "--yes")
    assert (code, "approved  1 more" in out) == (0, True)
    assert "all of it is approved" in command("trust")[1]
    assert command("trust", "--revoke")[0] == 0
    assert command("trust")[0] == 2


def test_trust_project_allows_one_command(command: Command) -> None:
    """Nothing is recorded."""
    write(Path())
    assert "not approved" in command("plan")[2]
    code, _, err = command("plan", "--trust-project")
    assert (code, "not approved" in err) == (0, False)
    assert "can't be reached" in err
