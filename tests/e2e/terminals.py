"""Commands on a pseudo-terminal, which a test reads, types into and closes; and on a screen of tmux, as people see it.

PYTEST_DONT_REWRITE: its assertions carry their own messages, and tests import from it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence

import pytest

from .harness import COMMAND, Sandbox

_PATIENCE_S = 60


class Terminal:
    """A command on a pseudo-terminal, as the leader of a session.

    If it `owns` the terminal, the terminal controls the session: the command gets keys and a SIGHUP at the end, as
    under a shell. Otherwise it only writes there, as after `setsid` or `disown`.
    """

    def __init__(
        self, sandbox: Sandbox, command: Sequence[str], *, owns: bool = True, term: str = "xterm-256color"
    ) -> None:
        self.master, self._slave = pty.openpty()
        termios.tcsetwinsize(self.master, (30, 120))
        self.before = termios.tcgetattr(self._slave)
        kept = {name: value for name, value in sandbox.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            command, cwd=sandbox.root, env={**kept, "TERM": term},
            stdin=self._slave, stdout=self._slave, stderr=self._slave, start_new_session=True,
            preexec_fn=(lambda: _take(self._slave)) if owns else None,
        )  # fmt: skip
        self.shown = ""

    def until(self, pattern: str) -> str:
        """Return what was shown since the last call, up to the first match."""
        deadline = time.monotonic() + _PATIENCE_S
        while not (match := re.search(pattern, self.shown)):
            assert select.select([self.master], [], [], deadline - time.monotonic())[0], self.shown
            self.shown += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", os.read(self.master, 65536).decode("utf-8", "replace"))
        seen, self.shown = self.shown[: match.end()], self.shown[match.end() :]
        return seen

    def press(self, key: str) -> None:
        os.write(self.master, key.encode())

    def ended(self) -> int:
        """Return the exit code, after checking that the terminal has its old settings."""
        deadline = time.monotonic() + _PATIENCE_S
        while self.process.poll() is None:  # output that nobody reads would block the process
            assert time.monotonic() < deadline, self.shown
            if select.select([self.master], [], [], 0.05)[0]:
                self.shown += os.read(self.master, 65536).decode("utf-8", "replace")
        assert termios.tcgetattr(self._slave) == self.before, "the terminal has other settings"
        return self.process.returncode

    def close(self) -> None:
        """Close the terminal, as its window or an ssh connection does. From now on, writing to it fails with EIO."""
        if self.master >= 0:
            os.close(self.master)
            os.close(self._slave)
            self.master = -1


def _take(terminal: int) -> None:
    """Make `terminal` the controlling terminal, as a shell does. Runs in the new process."""
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


@contextlib.contextmanager
def on_a_terminal(
    sandbox: Sandbox, *arguments: str, owns: bool = True, term: str = "xterm-256color"
) -> Iterator[Terminal]:
    """Run `qwenbuild` on a terminal, and kill it at the end of the context."""
    terminal = Terminal(sandbox, [COMMAND, *arguments], owns=owns, term=term)
    try:
        yield terminal
    finally:
        terminal.process.kill()
        terminal.process.wait()
        terminal.close()


_ENDED = "(ended)"


class Screen:
    """A screen of tmux on which a command runs."""

    def __init__(self, sandbox: Sandbox, size: tuple[int, int], arguments: Sequence[str]) -> None:
        self._environ = {**sandbox.environ, "TMUX_TMPDIR": str(sandbox.root.parent), "TERM": "xterm-256color"}
        for name in ("NO_COLOR", "COLUMNS", "LINES", "TMUX"):
            self._environ.pop(name, None)
        wide, high = map(str, size)
        line = f"clear; {shlex.join([COMMAND, *arguments])}; printf '{_ENDED}'; sleep 600"
        new = ["-f", "/dev/null", "new-session", "-d", "-x", wide, "-y", high, "-c", str(sandbox.root)]
        self._tmux(*new, "sh", "-c", line)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", "screen", *arguments], env=self._environ, capture_output=True, text=True, check=True
        )
        return done.stdout

    def until(self, text: str = _ENDED) -> list[str]:
        """Return the lines of the screen once they have `text`; by default once the command has ended."""
        deadline = time.monotonic() + _PATIENCE_S
        while text not in (shown := self._tmux("capture-pane", "-p")):
            assert time.monotonic() < deadline, shown
            time.sleep(0.05)
        return [line.rstrip() for line in shown.rstrip("\n").splitlines()]

    def is_wrapped(self) -> bool:
        """Whether a line of the screen goes on in the next one."""
        both = [self._tmux("capture-pane", "-p", *joined).rstrip("\n").splitlines() for joined in ([], ["-J"])]
        return len(both[0]) != len(both[1])

    def close(self) -> None:
        """End the command and its screen."""
        self._tmux("kill-server")


@contextlib.contextmanager
def on_a_screen(sandbox: Sandbox, size: tuple[int, int], *arguments: str) -> Iterator[Screen]:
    """Run `qwenbuild` on a screen of (columns, lines), and end it at the end of the context."""
    if not shutil.which("tmux"):
        pytest.skip("this system has no tmux")
    screen = Screen(sandbox, size, arguments)
    try:
        yield screen
    finally:
        screen.close()
