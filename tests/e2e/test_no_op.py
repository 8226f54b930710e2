"""A build that finds nothing to do is instant, loads almost no module, and is never wrong."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.e2e.harness import COMMAND, Ran, Sandbox

HEAVY = {
    "asyncio", "click", "dataclasses", "hashlib", "httpx", "importlib.metadata", "inspect", "jinja2", "json", "logging",
    "pathlib", "PIL", "platformdirs", "pydantic", "re", "rich", "sqlite3", "subprocess", "tempfile", "tomllib",
    "typing", "qwenbuild.cli.main", "qwenbuild.engine.engine", "qwenbuild.errors",
}  # fmt: skip

PROBE = """
import atexit, os, sys
before, leave = set(sys.modules), os._exit
def print_loaded():
    print(*sorted(set(sys.modules) - before), flush=True)
def leave_at_once(code):
    print_loaded()
    leave(code)
os._exit = leave_at_once
atexit.register(print_loaded)
from qwenbuild.__main__ import main
sys.argv = ["qwenbuild", *sys.argv[1:]]
main()
"""


def imported(sandbox: Sandbox, *arguments: str) -> tuple[set[str], Ran]:
    """Run a command; return the modules that it loaded after Python's own start."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROBE, *arguments],
        cwd=sandbox.root, env=sandbox.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return set(done.stdout.splitlines()[-1].split()), Ran(done.returncode, done.stdout, done.stderr)


def test_a_no_op_build_loads_nothing_heavy(sandbox: Sandbox) -> None:
    """A build with a valid snapshot loads a few small modules, and prints the same line as the slow path."""
    sandbox.run("build")
    time.sleep(0.1)  # no snapshot is written for inputs younger than 50 ms
    slow = sandbox.run("build")
    loaded, fast = imported(sandbox, "build")
    assert loaded & HEAVY == set()
    assert sorted(name for name in loaded if not name.startswith("_")) == [
        "fcntl", "itertools", "qwenbuild", "qwenbuild.__main__", "qwenbuild.noop", "qwenbuild.noop_answers",
        "qwenbuild.noop_files", "qwenbuild.noop_snapshot", "qwenbuild.state_folder", "qwenbuild.version", "zlib",
    ]  # fmt: skip
    line = r"nothing to do: 8 up to date in [0-9.]+ s\n"
    assert (fast.code, slow.code) == (0, 0)
    assert re.fullmatch(line, fast.err)
    assert re.fullmatch(line, slow.err)
    assert "qwenbuild.engine.engine" in imported(sandbox, "build", "icons")[0]
    sandbox.edit("templates/base.j2", "poster", "banner")
    assert "qwenbuild.engine.engine" in imported(sandbox, "build")[0]


WAYS: tuple[list[str], ...] = (
    [], ["build", "--json", "--junit", "report.xml"], ["-C", "{root}/specs", "--locked", "-j", "2", "--max-cost", "1"],
    ["status"], ["-C", "{root}/specs", "status", "--json"], ["lock", "--check"], ["plan", "--overwrite"],
    ["-q"], ["build", "-kv"], ["--color", "always", "status"], ["status", "--color=never"], ["build", "-k", "--quiet"],
)  # fmt: skip


@pytest.mark.parametrize("orphans", [0, 2])
def test_each_way_to_ask_is_instant_and_prints_the_same(sandbox: Sandbox, orphans: int) -> None:
    """After one build, no way to ask for the whole project loads the engine; all print what the slow path prints.

    Only a plan that lists orphans does, and switches that share a hyphen.
    """
    sandbox.run("build")
    if orphans:
        (sandbox.root / "specs/icons.toml").unlink()
    time.sleep(0.1)
    sandbox.run("build")
    snapshot, report = sandbox.root / ".qwenbuild/snapshot", sandbox.root / "report.xml"
    content = snapshot.read_bytes()
    assert (b"no longer declared" in sandbox.run("build").err.encode()) == bool(orphans)
    for way in WAYS:
        arguments = [part.format(root=sandbox.root) for part in way]
        loaded, fast = imported(sandbox, *arguments)
        is_slow = (way[:1] == ["plan"] and orphans > 0) or "-kv" in way
        assert ("qwenbuild.engine.engine" in loaded) == is_slow, way
        fast_report = report.read_text("utf-8") if report.exists() else ""
        snapshot.unlink()
        slow = sandbox.run(*arguments)
        slow_report = report.read_text("utf-8") if report.exists() else ""
        snapshot.write_bytes(content)
        said = fast.out.splitlines(keepends=True)[:-2]  # the last two lines are the probe's own
        assert _timeless("".join(said)) == _timeless(slow.out), way
        assert (_timeless(fast.err), fast.code) == (_timeless(slow.err), slow.code), way
        assert _timeless(fast_report) == _timeless(slow_report), way


def test_a_status_on_a_terminal_has_its_colours(sandbox: Sandbox) -> None:
    """The fast path colours it as the slow path does."""
    sandbox.run("build")
    time.sleep(0.1)
    sandbox.run("build")

    def coloured() -> bytes:
        primary, secondary = pty.openpty()
        environ = {**sandbox.environ, "TERM": "xterm"}
        environ.pop("NO_COLOR", None)
        command = [COMMAND, "status"]
        subprocess.run(command, cwd=sandbox.root, env=environ, stdin=secondary, stdout=secondary, check=True)
        os.close(secondary)  # then reading ends with an error
        said = b""
        with contextlib.suppress(OSError):
            while part := os.read(primary, 65536):
                said += part
        os.close(primary)
        return said

    fast = coloured()
    (sandbox.root / ".qwenbuild/snapshot").unlink()
    assert coloured() == fast
    assert b"\x1b[2m" in fast


def _timeless(text: str) -> str:
    return re.sub(r'( in |"seconds": |time=")[0-9.]+', r"\1T", text)


@pytest.mark.parametrize(
    ("option", "said"),
    [("--version", "qwenbuild 0.1.0\n"), ("-V", "qwenbuild 0.1.0\n"), ("--help", "Usage: qwenbuild ")],
)
def test_the_version_and_the_help_load_nothing_heavy(sandbox: Sandbox, option: str, said: str) -> None:
    """`--version`, `-V` and `--help` load none of the heavy modules."""
    loaded, ran = imported(sandbox, option)
    assert ran.out.startswith(said)
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_a_full_standard_output(sandbox: Sandbox, option: str) -> None:
    """If standard output can't be written, a message says so, as for every command."""
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "qwenbuild", option],
            env=sandbox.environ, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        1, "error: standard output can't be written: No space left on device"
    )  # fmt: skip


def test_help_loads_no_engine(sandbox: Sandbox) -> None:
    """`--help` of a command loads neither the engine nor a file format."""
    loaded, ran = imported(sandbox, "build", "--help")
    assert ran.code == 0
    assert loaded & {"qwenbuild.engine.engine", "pydantic", "jinja2", "httpx", "rich", "sqlite3", "PIL"} == set()


def test_the_snapshot_holds_no_key(sandbox: Sandbox) -> None:
    """No file of the project contains the API key from the environment."""
    sandbox.extra["DASHSCOPE_API_KEY"] = "sk-0123456789abcdef"
    sandbox.run("build")
    time.sleep(0.1)
    sandbox.run("build")
    assert (sandbox.root / ".qwenbuild/snapshot").is_file()
    for folder, _, names in os.walk(sandbox.root):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                assert b"0123456789abcdef" not in file.read(), name


def test_a_build_that_runs_is_seen(sandbox: Sandbox) -> None:
    """While a build is running, a second one says so, although all files are still as in its snapshot."""
    sandbox.write({"qwenbuild.toml": 'provider = "null"\n[providers.null]\nlatency_s = 0.5\n'})
    time.sleep(0.1)
    assert sandbox.run("build", "icons").code == 0
    with sandbox.popen("build", "--force", "--json", "icons") as first:
        assert first.stdout is not None
        assert json.loads(first.stdout.readline())["event"] == "started"
        first.send_signal(signal.SIGSTOP)  # the first build must not end before the second one looks
        second = sandbox.run("build", "icons")
        first.send_signal(signal.SIGCONT)
        assert second.err.startswith("error: another build of this project is running\n")
        first.communicate(timeout=60)
        assert (second.code, first.returncode) == (2, 0)
