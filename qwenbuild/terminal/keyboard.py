"""Single keys from the terminal, and how it was before given back, whatever happens in between.

Ctrl-C and Ctrl-Z stay what they are. A process in the background neither reads keys nor changes
the terminal: the system would stop it for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def listening(pressed: Callable[[str], None]) -> Iterator[bool]:
    """Call `pressed` in this event loop with each key; the value is whether there are keys to be pressed."""
    try:
        import termios
        import tty
    except ImportError:  # no POSIX
        yield False
        return
    fd = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else -1
    if not _is_ours(fd):
        yield False
        return
    loop, before = asyncio.get_running_loop(), termios.tcgetattr(fd)

    def read() -> None:
        try:
            typed = os.read(fd, 64)
        except OSError:
            typed = b""
        if not typed:  # the terminal has gone
            loop.remove_reader(fd)
        for key in typed.decode("ascii", "replace"):
            pressed(key)

    def take() -> None:
        if _is_ours(fd):
            tty.setcbreak(fd, termios.TCSANOW)

    take()
    loop.add_reader(fd, read)
    loop.add_signal_handler(signal.SIGCONT, take)  # after Ctrl-Z the shell has given it its own modes
    try:
        yield True
    finally:
        loop.remove_signal_handler(signal.SIGCONT)
        loop.remove_reader(fd)
        if _is_ours(fd):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _is_ours(fd: int) -> bool:
    """Whether `fd` is a terminal, and this process in its foreground."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
