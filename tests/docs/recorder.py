"""Records a command on a terminal: what its screen shows, and when."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyte

_PATIENCE_S = 60


class Recorder:
    """A command on a terminal of (columns, lines), which `until` and `ended` read."""

    def __init__(self, command: Sequence[str], place: Path, environ: Mapping[str, str], size: tuple[int, int]) -> None:
        self._terminal, slave = pty.openpty()
        termios.tcsetwinsize(slave, (size[1], size[0]))
        left_out = ("NO_COLOR", "COLUMNS", "LINES", "CI")
        environ = {name: value for name, value in environ.items() if name not in left_out}
        self._process = subprocess.Popen(
            command, cwd=place, env={**environ, "TERM": "xterm-256color"},
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self.screen)

    @property
    def text(self) -> str:
        """What the screen shows, without blank lines below and white space on the right."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip("\n") + "\n"

    def read(self, at_most_s: float) -> bool:
        """Wait for output, and show it on the screen. Return False once there is no more."""
        if select.select([self._terminal], [], [], at_most_s)[0]:
            try:
                said = os.read(self._terminal, 65536)
            except OSError:  # Linux says so once the command has ended
                return False
            self._stream.feed(said.replace(b"\x1b[2m", b"\x1b[90m"))  # pyte knows no dim text
            return bool(said)
        return True

    def read_now(self) -> bool:
        """Show the output that is there already. Return whether there was any."""
        return bool(select.select([self._terminal], [], [], 0)[0]) and self.read(0)

    def until(self, pattern: str) -> None:
        """Wait until the whole screen matches."""
        deadline = time.monotonic() + _PATIENCE_S
        while not re.fullmatch(pattern, self.text, re.DOTALL):
            goes_on = self.read(deadline - time.monotonic())
            assert goes_on and time.monotonic() < deadline, f"{pattern}\n{self.text}"

    def press(self, key: str) -> None:
        """Type a key."""
        os.write(self._terminal, key.encode())

    def ended(self) -> int:
        """Wait until the command ends; return its exit code."""
        while self.read(_PATIENCE_S):
            pass
        return self._process.wait(_PATIENCE_S)

    def close(self) -> None:
        """End the command."""
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)
