"""Completion in real shells: a test types a line with Tabs, and reads the words that the shell sees."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qwenbuild.cli.completion import SHELLS
from tests.e2e.harness import COMMAND, Sandbox

HOSTILE = "x$(touch pwned)'\"`touch pwned`;z"
SPEC = f"""\
[image.banner]
prompt = "{{{{ palette }}}}"
matrix.palette = ["sunset oranges", {json.dumps(HOSTILE)}]
matrix.seed = {{ start = 7, count = 2 }}
matrix.flower = {{ file = "data/flowers.csv" }}
"""
PREPARED = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
SETUP = {
    "bash": "bind 'set bell-style none'; eval \"$(qwenbuild completion bash)\"",
    "zsh": "bindkey -e; autoload -Uz compinit; compinit -D; source =(qwenbuild completion zsh)",
    "fish": "qwenbuild completion fish | source",
}


def installed(shell: str) -> None:
    """Skip a test if the shell is not installed."""
    if shutil.which(shell) is None or shutil.which("setsid") is None:
        pytest.skip(f"the distribution's {shell} is not installed: its completion is not tested")


def typed(sandbox: Sandbox, shell: str, line: str) -> list[str]:
    """Type a line in a shell on a terminal; return the words of the completed line as the shell reads them."""
    master, slave = pty.openpty()
    path = f"{Path(COMMAND).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**sandbox.environ, "PATH": path, "TERM": "xterm", "LC_ALL": "C.UTF-8", "PS1": "", "XDG_CONFIG_HOME": ""}
    with subprocess.Popen(
        ["setsid", "--ctty", *PREPARED[shell]],
        cwd=sandbox.root, env=environ, stdin=slave, stdout=slave, stderr=slave,
    ) as process:  # fmt: skip
        os.close(slave)
        written = b""

        def wait_for(mark: bytes) -> None:
            nonlocal written
            until = time.monotonic() + 30
            while mark not in written:
                ready, _, _ = select.select([master], [], [], max(0.0, until - time.monotonic()))
                assert ready, f"no {mark!r} in {written!r}"
                try:
                    written += os.read(master, 65536)
                except OSError:  # the shell ended
                    raise AssertionError(f"{shell} ended: {written!r}") from None

        try:
            os.write(master, f"{SETUP[shell]}; printf 'it is %s\\n' ready\r".encode())
            wait_for(b"it is ready\r\n")
            # Ctrl-A goes to the line's start: the completed words become the arguments of `printf`.
            os.write(master, f"{line}\x01printf '<%s>\\n' \x05 ; printf 'it is %s\\n' over\r".encode())
            wait_for(b"it is over\r\n")
        finally:
            process.kill()
            process.wait()
            os.close(master)
    text = re.sub(r"\x1b(\[[0-9;?>=]*[a-zA-Z]|[()][A-Z0-9]|[=>]|\][^\x07]*\x07)|\r", "", written.decode())
    return re.findall(r"^<(.*)>$", text, re.MULTILINE)


@pytest.fixture
def posters(sandbox: Sandbox) -> Sandbox:
    """A project with a spec whose values need quotes."""
    return sandbox.write({"specs/posters.toml": SPEC})


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("qwenbuild stat\tposters/b\t-w pal\tsun\t", ["status", "posters/banner", "-w", "palette=sunset oranges"]),
        ('qwenbuild status -w "palette=sun\t', ["status", "-w", "palette=sunset oranges"]),
        ("qwenbuild status -w palette=x\t", ["status", "-w", f"palette={HOSTILE}"]),
        ("qwenbuild plan --over\tQposters/banner[pal\tsun\tfl\tro\tse\t7\t",
         ["plan", "--overwrite", "posters/banner[palette=sunset oranges,flower=rose,seed=7]"]),
    ],
    ids=["words", "quotes", "hostile", "cell"],
)  # fmt: skip
def test_a_tab(posters: Sandbox, shell: str, line: str, words: list[str]) -> None:
    """Commands, options, images, axes, values and cells are completed, and the shell never runs text of a spec."""
    installed(shell)
    line = line.replace("Q", '"' if shell == "zsh" else "")  # zsh takes an unquoted bracket for a pattern
    assert typed(posters, shell, line) == ["qwenbuild", *words]
    assert not (posters.root / "pwned").exists()


def asked(sandbox: Sandbox, line: str) -> list[str]:
    """Return the completions that bash gets for a line."""
    sandbox.extra |= {"_QWENBUILD_COMPLETE": "bash_complete", "COMP_LINE": line}
    ran = sandbox.run()
    assert (ran.code, ran.err) == (0, "")
    return ran.out.splitlines()


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ("qwenbuild e", ["plain,explain", "plain,explain-error", "plain,emulator"]),
        ("qwenbuild --proj", ["plain,--project"]),
        ("qwenbuild --max-c", ["plain,--max-cost"]),  # an option of the default command
        ("qwenbuild build --provider d", ["plain,dashscope", "plain,draft"]),
        ("qwenbuild build --interface=s", ["plain,sync"]),
        ("qwenbuild plan garden/f", ["plain,garden/flower"]),
        ("qwenbuild plan -w seed=", ["plain,1", "plain,2", "plain,7", "plain,8"]),
        ("qwenbuild plan posters -w f", ["open,flower="]),
        ("qwenbuild plan garden/flower -w s", ["open,size=", "open,seed="]),
        ("qwenbuild plan out/ga", ["file,out/ga"]),
        ("qwenbuild -C ", ["dir,"]),
        ("qwenbuild -C / plan p", ["file,p"]),
        ("qwenbuild completion f", ["plain,fish"]),
        ("qwenbuild nosuch ", []),
        ("qwenbuild plan -w nosuch=", []),
        ("qwenbuild plan \"'", ["file,'"]),
    ],
)
def test_completions_of_a_line(posters: Sandbox, line: str, answers: list[str]) -> None:
    """The line so far decides which names fit; files are offered if none does."""
    assert asked(posters, line) == answers


def test_mistakes_are_silent(posters: Sandbox) -> None:
    """A file that can't be read is left out without a message, and so is an unknown request."""
    posters.write({"specs/torn.toml": "[image", "specs/odd.toml": "image = 3\n[x]", "specs/data/flowers.csv": '"'})
    posters.write({"specs/wild.toml": '[image.w]\nprompt = "x"\nmatrix = { a = ["\\u001b[31m", "ok"], b = 3.5 }\n'})
    assert asked(posters, "qwenbuild plan posters -w flower=") == []
    assert asked(posters, "qwenbuild plan wild -w a=") == ["plain,ok"]
    assert asked(posters, "qwenbuild plan po") == ["plain,posters", "plain,posters/banner"]
    posters.write({"qwenbuild.toml": "torn = "})
    assert asked(posters, "qwenbuild plan po") == []
    for strange in ("bash_source", "tcsh_complete", "zsh_complete", "fish_complete", "x"):
        posters.extra |= {"_QWENBUILD_COMPLETE": strange}
        ran = posters.run()
        assert (ran.code, ran.out, ran.err) == (0, "", ""), strange


def test_a_tab_loads_little(posters: Sandbox) -> None:
    """A Tab must be quick, so it loads neither pydantic nor Jinja nor the modules of a build."""
    environ = posters.environ | {
        "_QWENBUILD_COMPLETE": "bash_complete",
        "COMP_LINE": "qwenbuild plan posters -w flower=",
    }
    done = subprocess.run(
        [sys.executable, "-X", "importtime", COMMAND], cwd=posters.root, env=environ, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout == "plain,rose\nplain,lily\n"
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    heavy = {"pydantic", "jinja2", "httpx", "rich", "sqlite3", "asyncio", "qwenbuild.engine.engine", "qwenbuild.events"}
    assert loaded & heavy == set()
