"""The output of the real command: on a terminal, in a pipe, as JSON, and its help."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.harness import COMMAND, Sandbox
from tests.e2e.terminals import Terminal

REPOSITORY = Path(__file__).parents[2]
COMMANDS = (
    "build", "watch", "plan", "explain", "lint", "status", "show", "clean", "report", "sheet", "ls", "log", "diff",
    "cost", "pick", "keep", "lock", "verify", "cache", "gc", "doctor", "explain-error", "trust", "init", "schema",
    "completion", "tasks", "emulator", "help",
)  # fmt: skip
HOSTILE = "owned \u202eeert \u2066"


def on_terminal(sandbox: Sandbox, *arguments: str, **environ: str) -> tuple[int, str]:
    """Run a command on a terminal of 100 columns; return its exit code and its output."""
    master, slave = pty.openpty()
    extra = {"TERM": "xterm-256color", "COLUMNS": "100", **environ}
    kept = {name: value for name, value in sandbox.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        [COMMAND, *arguments], cwd=sandbox.root, env={**kept, **extra}, stdin=slave, stdout=slave, stderr=slave
    ) as process:
        os.close(slave)
        written = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # the command has closed the terminal
                break
            if not part:
                break
            written += part
    os.close(master)
    return process.returncode, written.decode()


def test_the_last_line_of_json(sandbox: Sandbox) -> None:
    """`build --json` prints one event a line; the last begins with the documented counts, in a fixed order."""
    ran = sandbox.run("build", "--json")
    assert ran.err == ""
    kinds = [event["event"] for event in ran.events]
    assert (kinds[0], kinds[-1]) == ("started", "finished")
    assert sorted(kinds[1:-1]) == ["image_finished"] * 8 + ["image_started"] * 8
    last = ran.out.splitlines()[-1]
    assert re.fullmatch(
        r'\{"event": "finished", "rendered": 8, "restored": 0, "up_to_date": 0, "failed": 0, "edited": 0, '
        r'"unknown": 0, "seconds": [0-9.]+(, .*)?\}',
        last,
    )
    assert list(ran.finished)[7:] == [
        "seconds", "reattached", "submitted", "skipped", "missing", "orphans", "strays", "interrupted", "cost"
    ]  # fmt: skip
    assert ran.events[0]["plan"]["render"] == 8


def test_a_plan_as_json(sandbox: Sandbox) -> None:
    """`plan --json` prints a line for each step and each orphan, then a summary."""
    sandbox.build()
    (sandbox.root / "specs/icons.toml").unlink()
    ran = sandbox.here("plan", "--json")
    assert [event["event"] for event in ran.events] == ["step"] * 6 + ["orphan"] * 2 + ["planned"]
    first, orphan, summary = ran.events[0], ran.events[6], ran.events[-1]
    assert {key: first[key] for key in first if key != "key"} == {
        "event": "step", "name": "garden/poster[seed=1,size=1664x928]", "path": "garden/poster-1664x928-1.png",
        "verdict": "up_to_date", "reason": "up to date", "cell": {"size": "1664x928", "seed": "1"},
        "model": "qwen-image-plus",
    }  # fmt: skip
    assert re.fullmatch("[0-9a-f]{64}", first["key"])
    assert orphan == {"event": "orphan", "path": "icons/moon.png", "name": "icons/moon", "edited": False}
    assert summary == {
        "event": "planned", "up_to_date": 6, "restore": 0, "reattach": 0, "render": 0, "edited": 0, "unknown": 0,
        "missing": 0, "failed": 0, "orphans": 2, "strays": 0, "cost": {}, "shortest_s": 0.0,
    }  # fmt: skip


def test_a_pipe(sandbox: Sandbox) -> None:
    """In a pipe a build writes a plain line for each image that it makes, or one line if there is nothing to do."""
    first = sandbox.run("build", "icons", "-j1")
    assert first.out == ""
    made = re.fullmatch(
        r"    \[1/2\] rendered   icons/(\w+) \(never rendered\)\n"
        r"    \[2/2\] rendered   icons/(\w+) \(never rendered\)\n"
        r"2 rendered in [0-9.]+ s\n",
        first.err,
    )
    assert made and {*made.groups()} == {"sun", "moon"}  # both are made durable at the same time
    second = sandbox.run("build", "icons", "-j1")
    assert re.fullmatch(r"nothing to do: 2 up to date in [0-9.]+ s\n", second.err)
    plan = sandbox.run("plan", "garden/flower", "icons", "--all")
    assert plan.out == (
        "    render  garden/flower[flower=rose]  never rendered\n"
        "    render  garden/flower[flower=lily]  never rendered\n"
        "up to date  icons/sun                   up to date\n"
        "up to date  icons/moon                  up to date\n"
        "2 to render, 2 up to date\n"
    )


def test_a_terminal(sandbox: Sandbox) -> None:
    """On a terminal a build shows a live block, which it removes in the end, and a coloured summary, which stays."""
    sandbox.write({"qwenbuild.toml": 'provider = "null"\n[providers.null]\nlatency_s = 0.2\n'})
    code, written = on_terminal(sandbox, "build", "-j1")
    assert code == 0
    assert "building" in written
    assert re.search(r"[1-7]/8", written)
    assert "\x1b[32m8 rendered\x1b[0m in " in written
    assert written.endswith("     files  out/\r\n      next  `qwenbuild report --open` shows the images on a page\r\n")
    assert written.index("\x1b[?25l") < written.rindex("\x1b[?25h")  # the cursor is shown again
    code, written = on_terminal(sandbox, "plan", "--all", "icons")
    assert written.startswith("\x1b[2mup to date\x1b[0m  icons/sun   \x1b[2mup to date\x1b[0m\r\n")


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour(sandbox: Sandbox, environ: dict[str, str]) -> None:
    """Nothing is coloured if NO_COLOR is set or the terminal is dumb."""
    for arguments in (["plan"], ["build"], ["build", "nosuch"]):
        _, written = on_terminal(sandbox, *arguments, **environ)
        assert written != ""
        assert re.findall(r"\x1b\[[0-9;]*m", written) == []


def test_hostile_text(sandbox: Sandbox) -> None:
    """Control, escape and bidi characters of prompts and names never reach the terminal."""
    hostile = json.dumps(HOSTILE)
    sandbox.write({"specs/bad.toml": f"[image.x]\nprompt = {hostile}\nmatrix = {{ word = [{hostile}] }}\n"})
    seen = on_terminal(sandbox, "build", NO_COLOR="1")[1]

    def say(*arguments: str) -> str:
        ran = sandbox.here(*arguments)
        return ran.out + ran.err

    path = next((sandbox.root / "out/bad").iterdir())
    seen += say("plan", "--all") + say("status") + say("show", str(path)) + say("build", "bad/x[word=\x1b[31mno]")
    path.write_bytes(b"edited")
    sandbox.edit("specs/bad.toml", "owned", "taken")
    seen += say("plan") + on_terminal(sandbox, "build", NO_COLOR="1")[1]
    (sandbox.root / "specs/bad.toml").unlink()
    seen += say("plan") + say("clean")
    cursor = re.sub(r"\x1b\[(\?25[lh]|2K|1A)|\r", "", seen)  # the live line's own control sequences
    assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2066]", cursor) == []
    assert "owned \\u202eeert" in seen
    assert "word=\\x1b[31mno" in seen


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(sandbox: Sandbox, command: str) -> None:
    """The help of every command shows its usage and examples."""
    ran = sandbox.here(*command.split(), "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: qwenbuild {command}".rstrip())
    assert re.search(rf"^ +qwenbuild {command}", ran.out.partition("Usage:")[2].partition("\n")[2], re.MULTILINE)


def test_every_command_is_tested_for_help(sandbox: Sandbox) -> None:
    """The list of commands in this file is complete."""
    listed = sandbox.here("--help").out.partition("Commands:\n")[2]
    assert tuple(re.findall(r"^  ([\w-]+)", listed, re.MULTILINE)) == COMMANDS


def test_show(sandbox: Sandbox) -> None:
    """`show` prints the provenance in an image; a file without provenance is an error."""
    sandbox.build("garden/flower")
    ran = sandbox.here("show", "out/garden/flower-rose.png")
    assert ran.code == 0
    facts = dict(line.strip().split("  ", 1) for line in ran.out.split("\n\n")[0].splitlines())
    assert {key: facts[key] for key in ("model", "size", "provider", "negative prompt")} == {
        "model": "qwen-image-plus", "size": "1328*1328", "provider": "null", "negative prompt": "blurry"
    }  # fmt: skip
    assert ran.out.endswith("\n\nA red rose in a cheerful garden\n")
    shown = sandbox.here("show", "--json", "out/garden/flower-rose.png").finished
    assert shown["request"]["prompt"] == "A red rose in a cheerful garden"
    assert shown["generator"] == "qwenbuild"
    for name in ("specs/garden.toml", "nosuch.png", "out"):
        assert sandbox.here("show", name).code == 2


def test_status(sandbox: Sandbox) -> None:
    """`status` counts each image's outputs by verdict, and shows the result of the last build."""
    assert sandbox.here("status").out.splitlines()[0] == "garden/poster  4 to render"
    sandbox.build("icons", "garden/flower")
    (sandbox.root / "out/icons/sun.png").write_bytes(b"x")
    lines = sandbox.here("status").out.splitlines()
    assert lines[:4] == [
        "garden/poster  4 to render",
        "garden/flower  2 up to date",
        "icons/sun      1 edited",
        "icons/moon     1 up to date",
    ]
    assert re.fullmatch(r"last build \d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d: 4 rendered", lines[4])
    events = sandbox.here("status", "--json").events
    assert events[1] == {"event": "image", "name": "garden/flower", "up_to_date": 2}
    assert events[-1]["event"] == "status"
    assert events[-1]["last_run"]["summary"]["rendered"] == 4


def test_init(tmp_path: Path) -> None:
    """`init` writes a project that can be built; into a folder with a project and specs it writes nothing."""
    outside = Sandbox(tmp_path, tmp_path / "store")
    ran = outside.run("init", "posters")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "next: cd posters && qwenbuild build")
    inside = Sandbox(tmp_path / "posters", tmp_path / "store")
    assert inside.build()["rendered"] == 11
    again = outside.run("init", "posters")
    assert again.code == 2
    assert "has these files already" in again.err


@pytest.mark.parametrize(("answer", "ignored"), [("store\r", [".qwenbuild/", "/out/"]), ("\r", [".qwenbuild/"])])
def test_init_asks_on_a_terminal(tmp_path: Path, answer: str, ignored: list[str]) -> None:
    """It shows what each answer means; the first is the default."""
    terminal = Terminal(Sandbox(tmp_path, tmp_path / "store"), [COMMAND, "init"])
    assert "committed with Git LFS" in terminal.until(r"Images \(git, lfs, store\) \[git\]: ")
    terminal.press(answer)
    assert terminal.ended() == 0
    assert (tmp_path / ".gitignore").read_text().splitlines() == ignored


def test_schema(sandbox: Sandbox) -> None:
    """`schema` prints the committed JSON Schema, which the repository's specs refer to."""
    committed = REPOSITORY / "specs/spec.schema.json"
    assert sandbox.here("schema").out == committed.read_text("utf-8")
    for spec in sorted((REPOSITORY / "specs").glob("*.toml")):
        assert spec.read_text("utf-8").startswith("#:schema ./spec.schema.json\n"), spec.name
    assert json.loads(sandbox.here("schema", "config").out)["title"] == "qwenbuild config"


def test_a_reader_that_leaves(sandbox: Sandbox) -> None:
    """If the reader closes the pipe, the command ends without an error message."""
    for command in ("plan --all", "schema", "build --json"):
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {COMMAND} {command} | head -n1"],
            cwd=sandbox.root, env=sandbox.environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode in (0, 141), done.stderr) == (True, ""), command
        assert done.stdout.count("\n") == 1


def test_output_that_can_not_be_written(sandbox: Sandbox) -> None:
    """If standard output is on a full disk, the command reports the error and exits with 1."""
    for command in ("--help", "build --json"):
        done = subprocess.run(
            ["bash", "-c", f"{COMMAND} {command} > /dev/full"],
            cwd=sandbox.root, env=sandbox.environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        assert "No space left on device" in done.stderr
        assert done.returncode == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(sandbox: Sandbox, closed: str) -> None:
    """A command works if a standard stream is closed from the start; no other file gets its output."""
    for command, code in [("plan", 0), ("build", 0), ("build", 0), ("--version", 0), ("plan --json", 0), ("nosuch", 2)]:
        done = subprocess.run(
            ["bash", "-c", f"{COMMAND} {command} {closed}"],
            cwd=sandbox.root, env=sandbox.environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), command
        if "2>&-" in closed:
            assert done.stderr == "", command
    assert sandbox.run("status").out.splitlines()[-1].endswith(": 8 rendered")


def test_an_encoding_that_can_not_show_a_name(sandbox: Sandbox) -> None:
    """A command works if the encoding of standard output lacks characters of a name or a prompt."""
    sandbox.write({"specs/de.toml": '[image.x]\nprompt = "{{ wort }}"\nmatrix = { wort = ["schön 中文"] }\n'})
    sandbox.extra["PYTHONIOENCODING"] = "ascii"
    for command in ("plan", "build", "status"):
        assert sandbox.run(command, "de").code == 0, command


def test_a_project_elsewhere(sandbox: Sandbox) -> None:
    """`-C DIR` uses the project in DIR, however the option is written."""
    outside = Sandbox(sandbox.root.parent, sandbox.store)
    for arguments in (["-C", "project", "plan"], ["--project=project", "plan"], ["-Cproject", "plan"]):
        assert outside.here(*arguments).out.endswith("8 to render\n"), arguments
    assert outside.here("-C", "project").code == 0
    assert outside.here("plan").code == 2
    assert outside.here("-C", "nosuch", "plan").code == 2
