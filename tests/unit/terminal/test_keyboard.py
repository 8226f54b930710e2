"""Key presses on a real pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwenbuild.terminal import keyboard

LISTENER = """
import asyncio, contextlib, fcntl, signal, sys, termios
from qwenbuild.terminal import keyboard

signal.signal(signal.SIGHUP, signal.SIG_IGN)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # the controlling terminal, as in a shell

async def main():
    done = asyncio.Event()

    def pressed(key):
        print(f"<{key}>", flush=True)
        if key == "q":
            done.set()

    def closed():
        open("closed", "x").close()
        done.set()

    with keyboard.listening(pressed, closed) as has_keys:
        with contextlib.suppress(OSError):  # the test may close the terminal during this write
            print(f"keys: {has_keys}", flush=True)
        await done.wait()

asyncio.run(main())
"""


class Listener:
    """A process that prints each key that is pressed, on a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.master, self.slave = pty.openpty()
        self.mode = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [sys.executable, "-c", LISTENER], stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True, cwd=folder,
        )  # fmt: skip
        self.shown = ""

    def until(self, text: str) -> str:
        """Return everything that the process has written, once `text` is in it."""
        while text not in self.shown:
            assert select.select([self.master], [], [], 60)[0], self.shown
            self.shown += os.read(self.master, 65536).decode()
        return self.shown

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.close_terminal()

    def close_terminal(self) -> None:
        if self.master >= 0:
            os.close(self.master)
            os.close(self.slave)
            self.master = -1


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """A process that listens for keys."""
    listener = Listener(tmp_path)
    yield listener
    listener.close()


def test_each_key_is_passed_on_at_once(listener: Listener) -> None:
    """A key needs no Enter and is not echoed; the terminal's mode is restored in the end."""
    listener.until("keys: True")
    os.write(listener.master, b"r")
    listener.until("<r>\r\n")
    os.write(listener.master, b"q")
    listener.until("<q>\r\n")
    assert listener.process.wait(60) == 0
    assert termios.tcgetattr(listener.slave) == listener.mode
    assert listener.shown.replace("\r", "") == "keys: True\n<r>\n<q>\n"


def test_ctrl_c_keeps_its_meaning(listener: Listener) -> None:
    """Ctrl-C interrupts the process instead of being a key; the terminal's mode is restored."""
    listener.until("keys: True")
    os.write(listener.master, b"\x03")
    assert listener.process.wait(60) == -signal.SIGINT
    assert termios.tcgetattr(listener.slave) == listener.mode


def test_a_closed_terminal_is_noticed(listener: Listener) -> None:
    """If SIGHUP is ignored, the end of the keys shows that the terminal was closed."""
    listener.until("keys: True")
    listener.close_terminal()
    assert listener.process.wait(60) == 0
    assert (listener.folder / "closed").exists()


def test_without_a_terminal_there_is_no_keyboard() -> None:
    """Nothing is read if standard input is not a terminal."""

    async def available() -> bool:
        with keyboard.listening(lambda key: None, lambda: None) as has_keys:
            return has_keys

    assert asyncio.run(available()) is False
