"""What is in flight is kept, whatever ends a build: a closed terminal, a signal, or a reader that leaves."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qwenbuild.emulator.server import Running
from qwenbuild.errors import ProjectBusy
from qwenbuild.plan.plan import Verdict
from qwenbuild.storage.build_lock import hold_build_lock

from .harness import COMMAND
from .studio import PATIENCE_S, Studio, cards
from .terminals import Terminal, on_a_terminal

pytest_plugins = ("tests.support.emulated",)

if not hasattr(signal, "SIGHUP"):
    pytest.skip("this system has neither SIGHUP nor pseudo-terminals", allow_module_level=True)

IN_FLIGHT = {"sync": "sync", "async": "poll"}
TERMS = ("xterm-256color", "dumb")  # the live view, and plain lines


@pytest.fixture
def studio(emulator: Running, tmp_path: Path) -> Studio:
    """Six images at the sync interface, all in flight at once for most of a second."""
    emulator.inject("slow=0.8:sync")
    return Studio.make(tmp_path, emulator, cards(6))


def wait_for_all(studio: Studio, operation: str = "sync", count: int = 6) -> Callable[[], bool]:
    """Return the condition that so many calls of an operation have reached the service."""
    return lambda: studio.calls(operation) >= count


def check_nothing_is_lost(studio: Studio) -> None:
    """Check that all images were kept, that each was billed once, and that the next build has nothing to do."""
    studio.audit()
    assert studio.service.bill()["count"] == 6
    studio.build_nothing()
    assert studio.service.bill()["count"] == 6


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("interface", IN_FLIGHT)
def test_a_closed_terminal_loses_nothing(emulator: Running, tmp_path: Path, interface: str, term: str) -> None:
    """The kernel sends SIGHUP, and nothing can be shown any more. All images in flight are kept."""
    operation = IN_FLIGHT[interface]
    emulator.inject(f"slow=0.8:{operation}")
    studio = Studio.make(tmp_path, emulator, cards(6), interface=f'"{interface}"')
    with on_a_terminal(studio, "build", term=term) as terminal:
        studio.wait(wait_for_all(studio, operation))
        terminal.close()
        assert terminal.process.wait(PATIENCE_S) == 128 + signal.SIGHUP
    check_nothing_is_lost(studio)


def test_a_closed_terminal_of_a_shell_loses_nothing(studio: Studio) -> None:
    """SIGHUP comes several times: from the shell to its job, and from the kernel to the foreground. It counts once."""
    bash = shutil.which("bash")
    assert bash, "the tests need bash"
    terminal = Terminal(studio, [bash, "--norc", "-i"])
    try:
        terminal.press(f"{COMMAND} build; echo code $?\n")
        studio.wait(wait_for_all(studio))
        terminal.close()
        terminal.process.wait(PATIENCE_S)
    finally:
        terminal.process.kill()
        terminal.close()
    studio.wait(lambda: is_free(studio))
    check_nothing_is_lost(studio)


@pytest.mark.parametrize(
    "signals", [("SIGHUP", "SIGHUP", "SIGCONT"), ("SIGHUP", "SIGTERM"), ("SIGTERM", "SIGHUP"), ("SIGINT", "SIGHUP")]
)
def test_a_closing_terminal_is_one_interrupt(studio: Studio, signals: tuple[str, ...]) -> None:
    """Repeated SIGHUPs, a logout's SIGTERM with its SIGHUP, and a SIGHUP after Ctrl-C leave nothing behind."""
    with studio.started("build", "--json") as process:
        studio.wait(wait_for_all(studio), process)
        for name in signals:
            process.send_signal(getattr(signal, name))
            time.sleep(0.05)  # else the system may merge equal signals
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 128 + getattr(signal, signals[0])
    check_nothing_is_lost(studio)


@pytest.mark.parametrize("term", TERMS)
def test_a_detached_build_goes_on_without_its_terminal(studio: Studio, term: str) -> None:
    """Without a SIGHUP (`setsid`, `disown`) the build goes on to its end. Nothing can be shown."""
    studio.edit("qwenbuild.toml", "[providers.dashscope]", "[providers.dashscope]\nmax_concurrency = 2")
    with on_a_terminal(studio, "build", owns=False, term=term) as terminal:
        studio.wait(wait_for_all(studio, count=1))
        terminal.close()
        assert terminal.process.wait(PATIENCE_S) == 0
    check_nothing_is_lost(studio)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGQUIT"])
def test_an_ignored_signal_stays_ignored(studio: Studio, name: str) -> None:
    """`nohup` ignores SIGHUP, and a script ignores SIGINT and SIGQUIT for `qwenbuild build &`. The build goes on."""
    command = f'trap "" {name.removeprefix("SIG")}; exec {COMMAND} build --json'
    process = subprocess.Popen(
        ["sh", "-c", command], cwd=studio.root, env=studio.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        studio.wait(wait_for_all(studio))
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (0, b"")
    assert b'"interrupted": false' in out
    check_nothing_is_lost(studio)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_the_first_signal_waits(emulator: Running, tmp_path: Path, name: str) -> None:
    """Nothing more is submitted, what is in flight is kept, and the exit code names the signal."""
    emulator.inject("slow=0.8:sync")
    studio = Studio.make(tmp_path, emulator, cards(8), max_concurrency="2")
    number = getattr(signal, name)
    with studio.started("build", "--json") as process:
        studio.wait(wait_for_all(studio, count=2), process)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (128 + number, "")
    assert f'"signal": {int(number)}' in out.splitlines()[-1]
    assert (len(studio.outputs()), emulator.bill()["count"], studio.submissions) == (2, 2, [])
    emulator.inject()
    assert studio.build_inside().finished.rendered == 6
    studio.audit()


@pytest.mark.parametrize("names", [("SIGQUIT", "SIGQUIT"), ("SIGHUP", "SIGINT"), ("SIGHUP", "SIGTERM", "SIGTERM")])
def test_the_second_signal_leaves_at_once(emulator: Running, tmp_path: Path, names: tuple[str, ...]) -> None:
    """The next build collects the tasks that were left."""
    studio = Studio.make(tmp_path, emulator, cards(2), interface='"async"')
    emulator.inject("hang-before:poll")
    with studio.started("build", "--json") as process:
        studio.wait(wait_for_all(studio, "poll", 2), process)
        for name in names:
            process.send_signal(getattr(signal, name))
            time.sleep(0.1)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (128 + getattr(signal, names[0]), "")
    assert '"submitted": 2' in out.splitlines()[-1]
    assert studio.engine().plan().count(Verdict.REATTACH) == 2
    emulator.inject()
    assert studio.build_inside().finished.reattached == 2
    studio.audit()


def test_leaving_while_connecting_leaves_nothing_behind(emulator: Running, tmp_path: Path) -> None:
    """A request whose connection was never made was not sent: it is not UNKNOWN, and costs nothing."""
    studio = Studio.make(tmp_path, emulator, cards(1))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections, and never answers a TLS handshake
        studio.extra["DASHSCOPE_HTTP_BASE_URL"] = f"https://127.0.0.1:{silent.getsockname()[1]}/api/v1"
        with studio.started("build", "--json") as process:
            connection, _ = silent.accept()
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE_S)
            connection.close()
    assert (process.returncode, err) == (130, "")
    assert '"unknown": 0' in out.splitlines()[-1]
    assert '"skipped": 1' in out.splitlines()[-1]
    assert '"cost": {}' in out.splitlines()[-1]
    assert studio.submissions == []


def test_leaving_while_a_name_is_looked_up(emulator: Running, tmp_path: Path) -> None:
    """The system's look-up of a host name can't be cancelled. Nobody waits for it."""
    studio = Studio.make(tmp_path, emulator, cards(1))
    begun = tmp_path / "begun"
    studio.site.mkdir()
    (studio.site / "sitecustomize.py").write_text(
        "import pathlib, socket, time\n"
        f"def look_up(*_, **__): pathlib.Path({str(begun)!r}).touch(); time.sleep(600)\n"
        "socket.getaddrinfo = look_up\n"
    )
    studio.extra.update(PYTHONPATH=str(studio.site), DASHSCOPE_HTTP_BASE_URL="https://dashscope.example/api/v1")
    with studio.started("build", "--json") as process:
        studio.wait(begun.exists, process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (130, "")
    assert '"skipped": 1' in out.splitlines()[-1]
    assert studio.submissions == []


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_leaves_ends_the_build(emulator: Running, tmp_path: Path, stream: str) -> None:
    """After `--json | head -1`, or a killed `tee`, nothing more is submitted, and what is in flight is kept."""
    emulator.inject("slow=0.8:sync")
    studio = Studio.make(tmp_path, emulator, cards(8), max_concurrency="2")
    with studio.started("build", *(["--json"] if stream == "stdout" else [])) as process:
        studio.wait(wait_for_all(studio, count=2), process)
        pipe = getattr(process, stream)
        pipe.close()
        setattr(process, stream, None)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out or "", err or "") == (141, "", "")
    in_flight = len(studio.outputs())
    assert 2 <= in_flight < 8
    assert (emulator.bill()["count"], studio.submissions) == (in_flight, [])
    emulator.inject()
    assert studio.build_inside().finished.rendered == 8 - in_flight
    studio.audit()


def test_a_full_disk_below_the_output_ends_the_build(studio: Studio) -> None:
    """What is in flight is kept, and the error is reported after that."""
    studio.edit("qwenbuild.toml", "[providers.dashscope]", "[providers.dashscope]\nmax_concurrency = 2")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [COMMAND, "build", "--json"], cwd=studio.root, env=studio.environ, stdout=full, stderr=subprocess.PIPE,
            text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        1, "error: standard output can't be written: No space left on device"
    )  # fmt: skip
    assert studio.submissions == []
    studio.build_inside()
    studio.audit()


def test_a_closed_terminal_ends_a_watch_after_what_is_in_flight(emulator: Running, tmp_path: Path) -> None:
    """The image that was requested is kept, and no process of the watch stays."""
    studio = Studio.make(tmp_path, emulator, cards(1))
    emulator.inject("slow=0.8:sync")
    with on_a_terminal(studio, "watch") as terminal:
        terminal.until(r"r render \(")
        terminal.press("r")
        studio.wait(wait_for_all(studio, count=1))
        terminal.close()
        assert terminal.process.wait(PATIENCE_S) == 128 + signal.SIGHUP
        assert processes_of(studio) == []
    studio.audit()
    studio.build_nothing()


def test_a_detached_watch_ends_with_its_terminal(emulator: Running, tmp_path: Path) -> None:
    """Without a SIGHUP the watch notices at its next line that nobody can see it, and ends in the same way."""
    studio = Studio.make(tmp_path, emulator, cards(1), config='provider = "null"')
    with on_a_terminal(studio, "watch", "--no-preview", owns=False) as terminal:
        terminal.until("1 up to date")
        terminal.close()
        studio.edit("specs/cards.toml", "card {{ no }}", "another {{ no }}")
        assert terminal.process.wait(PATIENCE_S) == 128 + signal.SIGHUP
        assert processes_of(studio) == []


def is_free(studio: Studio) -> bool:
    """Return True if no build of the project runs."""
    try:
        with hold_build_lock(studio.root / ".qwenbuild"):
            return True
    except ProjectBusy:
        return False


def processes_of(studio: Studio) -> list[str]:
    """Return the command lines of the processes that run in the project's environment."""
    mark, found = f"QWENBUILD_CACHE_DIR={studio.store}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found
