"""A cloned project can't take anything: no server that only its files name gets a request, a key or a token."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwenbuild.emulator.server import Running
from qwenbuild.trust import TRUST_ENV
from tests.support.caches import Cache

from .studio import KEY, Studio, cards
from .terminals import Terminal

pytest_plugins = ("tests.support.emulated",)

TOKEN = "tok-canary-9d3f"
COMMANDS = (
    ("plan",), ("status",), ("explain", "cards"), ("build",), ("build", "--json"), ("tasks",), ("tasks", "cancel", "x"),
    ("cache", "status"), ("cache", "pull"), ("cache", "push"), ("doctor",), ("build", "--resubmit"), ("report",),
)  # fmt: skip


@pytest.fixture
def thief() -> Iterator[Cache]:
    """A server that keeps the headers of every request. It answers as a remote cache."""
    with Cache().running() as running:
        yield running


def clone(folder: Path, emulator: Running, thief: Cache, *, remote: bool = True, service: bool = True) -> Studio:
    """Return a cloned project whose config names the thief's server. The environment has a key and a token."""
    config = f'[remote]\nurl = "{thief.url}"\ntoken_env = "QWENBUILD_REMOTE_TOKEN"\n' if remote else ""
    table = {"base_url": f'"{thief.url}/api/v1"'} if service else {}
    made = Studio.make(folder, emulator, cards(2), config=config, **table)
    made.extra = {"DASHSCOPE_API_KEY": KEY, "QWENBUILD_REMOTE_TOKEN": TOKEN}
    return made


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nothing_is_sent_without_approval(
    emulator: Running, tmp_path: Path, thief: Cache, command: tuple[str, ...]
) -> None:
    """Neither the API key nor the token, nor any other request. The message names the destination."""
    ran = clone(tmp_path, emulator, thief).here(*command)
    assert thief.headers == []
    if command[0] not in ("explain", "report"):  # these neither pay nor restore, so they have nothing to say of it
        assert thief.url in ran.out + ran.err
        assert "`qwenbuild trust`" in ran.out + ran.err
    if command[0] in ("build", "tasks", "cache"):
        assert ran.code == 2


def test_what_is_approved_is_sent(emulator: Running, tmp_path: Path, thief: Cache) -> None:
    """After `trust`, for one command with --trust-project, and in CI with the variable."""
    studio = clone(tmp_path, emulator, thief)
    studio.extra["DASHSCOPE_HTTP_BASE_URL"] = emulator.base_url  # the user's own choice: needs no approval
    assert studio.here("build").code == 2
    assert studio.here("build", "--trust-project").code == 0
    assert [headers["Authorization"] for headers in thief.headers][:1] == [f"Bearer {TOKEN}"]
    seen = len(thief.headers)
    assert studio.here("trust", "--yes").code == 0
    studio.extra["QWENBUILD_CACHE_DIR"] = str(tmp_path / "second-store")
    assert studio.here("cache", "status").code == 0
    assert len(thief.headers) > seen
    assert studio.here("trust", "--revoke").code == 0
    assert studio.here("cache", "status").code == 2
    studio.extra[TRUST_ENV] = "1"
    assert studio.here("cache", "status").code == 0


def test_an_older_projects_remote_stops_only_what_would_pay(emulator: Running, tmp_path: Path, thief: Cache) -> None:
    """What is there stays up to date, and what the store has is restored."""
    studio = clone(tmp_path, emulator, thief, service=False)
    studio.extra |= emulator.environment(KEY)
    assert studio.here("build", "--trust-project").code == 0
    charges = len(emulator.bill()["records"])
    assert studio.here("build").code == 0
    for path in sorted((studio.root / "out").rglob("*.png"))[:1]:
        path.unlink()
    thief.headers.clear()
    ran = studio.here("build")
    assert (ran.code, "not approved" in ran.err or "have not approved" in ran.err) == (0, True)
    assert len(studio.outputs()) == 2
    studio.write({"specs/cards.toml": cards(3)["cards"]})
    ran = studio.here("build")
    assert (ran.code, thief.headers) == (2, [])
    assert len(emulator.bill()["records"]) == charges


@pytest.mark.parametrize(("answer", "code"), [("y\r", 0), ("\r", 1)])
def test_the_user_is_asked(emulator: Running, tmp_path: Path, thief: Cache, answer: str, code: int) -> None:
    """On a terminal, `trust` shows what the project asks for. Without an answer nothing is approved."""
    studio = clone(tmp_path, emulator, thief)
    command = [os.path.join(os.path.dirname(sys.executable), "qwenbuild"), "trust"]
    terminal = Terminal(studio, command)
    seen = terminal.until(r"Approve this\? \[y/N\]")
    assert f"the API key would go to {thief.url}" in seen
    terminal.press(answer)
    assert terminal.ended() == code
    assert studio.here("cache", "status").code == (2 if code else 0)


def test_a_linked_folder_sends_nothing(emulator: Running, tmp_path: Path) -> None:
    """A linked `templates` folder would send the user's files as prompts."""
    secrets = tmp_path / "aws"
    secrets.mkdir()
    (secrets / "credentials").write_text("aws_secret_access_key = canary")
    studio = Studio.make(tmp_path, emulator, {"a": '[image.a]\ntemplate = "credentials"\n'})
    (studio.root / "templates").symlink_to(secrets)
    for command in (("plan",), ("build",), ("explain",), ("status",)):
        ran = studio.here(*command)
        assert (ran.code, f"to {secrets}" in ran.err, "canary" in ran.err + ran.out) == (2, True, False)
    assert emulator.bill()["records"] == []
