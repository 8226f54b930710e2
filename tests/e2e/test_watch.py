"""`qwenbuild watch` in a pipe and on a terminal: output, keys, signals and locks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from qwenbuild.emulator.server import running
from qwenbuild.local_server.ports import port_of
from qwenbuild.storage.build_lock import hold_build_lock
from tests.e2e.harness import Sandbox
from tests.e2e.terminals import Terminal, on_a_terminal
from tests.support.emulated import QUICK
from tests.support.gated import Gate

SPEC = '[image.poster]\ntemplate = "poster.j2"\nmatrix.colour = ["red", "blue"]\n'
FREE = {"qwenbuild.toml": 'provider = "null"\n', "specs/a.toml": SPEC, "templates/poster.j2": "a {{ colour }} ball"}
PAID = {**FREE, "qwenbuild.toml": '[providers.dashscope]\nsubmits = "1000/second"\n'}
_PATIENCE_S = 60


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path / "project", tmp_path / "store").write(FREE)


def read_until(stream: IO[str], pattern: str) -> str:
    """Return the lines of a pipe up to the first one that matches."""
    lines = ""
    for line in stream:
        lines += line
        if re.search(pattern, line):
            return lines
    raise AssertionError(f"no {pattern!r} in:\n{lines}")


@contextlib.contextmanager
def started(sandbox: Sandbox, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a watch in a pipe, and kill it at the end of the context."""
    process = sandbox.popen("watch", *arguments)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_in_a_pipe_each_reading_and_each_image_is_a_line(sandbox: Sandbox) -> None:
    """Each reading, error and image has its line; Ctrl-C ends the watch with exit code 130."""
    with started(sandbox, "--no-preview") as process:
        assert process.stderr is not None
        first = read_until(process.stderr, r"\[2/2\]")
        assert first.splitlines()[0] == "  watching 2 to render"
        sandbox.write({"templates/poster.j2": "a {{ color }} ball"})
        frame = read_until(process.stderr, "keeping the last good plan")
        assert 'error: undefined variable "color"' in frame
        assert "1 | a {{ color }} ball" in frame
        sandbox.write({"templates/poster.j2": "one {{ colour }} ball"})
        again = read_until(process.stderr, r"\[2/2\]")
        # A reading that had begun before the event of the save came has no name of a file to show.
        reading = re.compile(r" +(watching|changed templates/poster\.j2:) \d.*")
        assert " 2 to render" in next(filter(reading.fullmatch, again.splitlines()))
        assert "a/poster[colour=red] (prompt changed: -a +one)" in again
        process.send_signal(signal.SIGINT)
        assert process.wait(_PATIENCE_S) == 130
        assert [line for line in process.stderr.read().splitlines() if not reading.fullmatch(line)] == []
    assert sandbox.changed() == {}


def test_json_is_one_event_a_line(sandbox: Sandbox) -> None:
    """With --json, standard output has one event a line, the page's address among them."""
    with started(sandbox, "--json") as process:
        assert process.stdout is not None and process.stderr is not None
        events: list[dict[str, Any]] = []
        while not {"serving", "finished"} <= {event["event"] for event in events}:
            events.append(json.loads(process.stdout.readline()))
        first = next(event for event in events if event["event"] == "replanned")
        assert first["plan"]["render"] == 2
        [serving] = [event for event in events if event["event"] == "serving"]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#token=\S+", serving["address"])
        process.terminate()
        assert process.wait(_PATIENCE_S) == 128 + signal.SIGTERM
        assert process.stderr.read() == ""


def test_a_project_has_its_port_and_a_second_watch_the_next_one(sandbox: Sandbox) -> None:
    """The port follows from the project's folder. A second watch takes another port, and a later one the same again."""

    def serving(process: subprocess.Popen[str]) -> int:
        assert process.stdout is not None
        line = read_until(process.stdout, '"serving"').splitlines()[-1]
        return int(re.findall(r"127\.0\.0\.1:(\d+)", line)[0])

    with started(sandbox, "--json") as first, started(sandbox, "--json") as second:
        ports = serving(first), serving(second)
        assert port_of(sandbox.root) in ports
        assert ports[0] != ports[1]
    with started(sandbox, "--json") as later:
        assert serving(later) == port_of(sandbox.root)
    help_text = " ".join(sandbox.run("watch", "--help").out.split())
    assert "on any (default: the project's own, else the next)" in help_text


def test_a_watch_ends_with_its_reader(sandbox: Sandbox) -> None:
    """If the reader of standard output closes the pipe, the watch ends without a message."""
    with started(sandbox, "--json", "--no-preview") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        sandbox.write({"templates/poster.j2": "one {{ colour }} ball"})
        assert process.wait(_PATIENCE_S) != 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.stdout = None


def test_the_lock_is_free_between_builds(sandbox: Sandbox) -> None:
    """Another build can run while the watch waits for a save."""
    with started(sandbox, "--no-preview") as process:
        assert process.stderr is not None
        read_until(process.stderr, r"\[2/2\]")
        deadline = time.monotonic() + _PATIENCE_S
        while sandbox.run("build", "--force").code == 2:  # the watch may still hold the lock
            assert time.monotonic() < deadline
        assert len(sandbox.outputs()) == 2


def test_a_mistyped_selection_is_a_usage_error(sandbox: Sandbox) -> None:
    """A selection that matches nothing ends the watch with exit code 2 and a message."""
    ran = sandbox.run("watch", "poter", "--no-preview")
    assert ran.code == 2
    assert 'error: nothing is named "poter"' in ran.err


def test_a_killed_watch_leaves_a_project_that_builds(sandbox: Sandbox) -> None:
    """After kill -9 during a build, the next build finds no incomplete file and no lock."""
    sandbox.write({"specs/b.toml": '[image.x]\nprompt = "x"\nmatrix.seed = { start = 1, count = 200 }\n'})
    with started(sandbox, "--no-preview", "--json") as process:
        assert process.stdout is not None
        read_until(process.stdout, '"image_finished"')
        process.kill()
    sandbox.build()


def on_terminal(sandbox: Sandbox, *arguments: str) -> contextlib.AbstractContextManager[Terminal]:
    """Run a watch on a terminal, and kill it at the end of the context."""
    return on_a_terminal(sandbox, "watch", *arguments)


def test_on_a_terminal_one_status_changes_in_place(sandbox: Sandbox) -> None:
    """The status shows changed files, the plan and errors; `q` exits with 0 and restores the terminal."""
    with on_terminal(sandbox, "--no-preview") as terminal:
        terminal.until("2 up to date")
        terminal.until("q quit")
        sandbox.write({"templates/poster.j2": "a {{ color }} ball"})
        seen = terminal.until("q quit(?s:.)*undefined variable(?s:.)*q quit")
        assert "changed  templates/poster.j2" in seen
        assert "2 up to date, before the error" in seen
        sandbox.write({"templates/poster.j2": "one {{ colour }} ball"})
        terminal.until("2 up to date\\s")
        terminal.press("q")
        assert terminal.ended() == 0


def test_ctrl_c_restores_the_terminal(sandbox: Sandbox) -> None:
    """Ctrl-C ends the watch with exit code 130 and restores the terminal."""
    with on_terminal(sandbox, "--no-preview") as terminal:
        terminal.until("2 up to date")
        terminal.press("\x03")
        assert terminal.ended() == 130


def test_a_key_renders_at_the_price_that_is_shown(sandbox: Sandbox) -> None:
    """If images cost money, the status shows the price, and `r` renders at that price."""
    sandbox.write(PAID)
    with running(QUICK) as service:
        sandbox.extra.update(service.environment())
        with on_terminal(sandbox, "--no-preview") as terminal:
            seen = terminal.until(r"r render \((\d+\.\d\d CNY)\)")
            price = re.findall(r"render \((.*)\)", seen)[-1]
            assert sandbox.outputs() == {}
            assert service.requests() == []
            terminal.press("r")
            terminal.until(re.escape(f"{price} spent"))
            terminal.until("2 up to date")
            terminal.press("q")
            terminal.until(re.escape(f"     spent  {price}"))
            assert terminal.ended() == 0
    assert len(sandbox.outputs()) == 2


def test_the_first_ctrl_c_waits_for_images_in_flight(sandbox: Sandbox) -> None:
    """An image that has been requested is waited for and kept, and the status says so."""
    gate = Gate.install(sandbox.site)
    sandbox.extra["PYTHONPATH"] = str(sandbox.site)
    sandbox.write({"qwenbuild.toml": gate.config})
    with on_terminal(sandbox, "--no-preview", "--jobs", "1") as terminal:
        terminal.until(r"r render \(")
        terminal.press("r")
        gate.wait_for_sent(1)
        terminal.press("\x03")
        terminal.until("finishing what is in flight")
        gate.open()
        assert terminal.ended() == 130
    assert len(sandbox.outputs()) == 1


def test_a_suspended_watch_goes_on(sandbox: Sandbox) -> None:
    """After Ctrl-Z and fg the keys work, and files that were saved meanwhile are read."""
    with on_terminal(sandbox, "--no-preview") as terminal:
        terminal.until("2 up to date(?s:.)*q quit")
        os.kill(terminal.process.pid, signal.SIGSTOP)  # Ctrl-Z needs a shell, and there is none
        termios.tcsetattr(terminal.master, termios.TCSANOW, terminal.before)  # as a shell does
        sandbox.write({"templates/poster.j2": "one {{ colour }} ball"})
        os.kill(terminal.process.pid, signal.SIGCONT)
        terminal.until("changed  templates/poster.j2")
        terminal.press("q")
        assert terminal.ended() == 0


def test_a_resized_terminal_shows_what_fits(sandbox: Sandbox) -> None:
    """The status follows the size of the terminal, and the keys stay visible."""
    with on_terminal(sandbox, "--no-preview") as terminal:
        terminal.until("2 up to date(?s:.)*q quit")
        sandbox.write({"templates/poster.j2": "a {{ color }} ball"})
        terminal.until("= hint(?s:.)*q quit")
        termios.tcsetwinsize(terminal.master, (9, 40))
        seen = terminal.until(r"and \d+ more lines(?s:.)*q quit")
        assert "error: undefined variable" in seen
        terminal.press("\x03")
        assert terminal.ended() == 130


def test_the_second_ctrl_c_leaves_at_once(sandbox: Sandbox) -> None:
    """The second Ctrl-C ends the watch at once; a request in flight becomes unknown."""
    sandbox.write(PAID)
    with running(replace(QUICK, latency_s=60.0)) as service:
        sandbox.extra.update(service.environment())
        with on_terminal(sandbox, "--no-preview", "--jobs", "1") as terminal:
            terminal.until(r"r render \(")
            terminal.press("r")
            terminal.until(r"building  0 of 2  a/poster\[colour=red\]")
            deadline = time.monotonic() + _PATIENCE_S
            while not service.requests():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            terminal.press("\x03")
            terminal.until("finishing what is in flight")
            terminal.press("\x03")
            assert terminal.ended() == 130
    assert "1 to render, 1 unknown" in sandbox.run("status").out


def test_a_watch_waits_for_another_build(sandbox: Sandbox) -> None:
    """While another process holds the lock, the status says so; then the watch goes on."""
    with contextlib.ExitStack() as other_build:
        other_build.enter_context(hold_build_lock(sandbox.root / ".qwenbuild"))
        with on_terminal(sandbox, "--no-preview") as terminal:
            terminal.until("another build of this project is running")
            other_build.close()
            terminal.until("2 up to date")
            terminal.press("q")
            assert terminal.ended() == 0
