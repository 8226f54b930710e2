"""Single key presses on the terminal, read in the event loop.

Invariants: the terminal's mode is restored in the end, whatever happens. Ctrl-C and Ctrl-Z keep their
meaning. A background process neither reads keys nor changes the terminal, since the system would stop it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def listening(pressed: Callable[[str], None], closed: Callable[[], None]) -> Iterator[bool]:
    """Call `pressed` with each key, and `closed` if the terminal was closed; yields True if a keyboard is available.

    Both are called in the running event loop.
    """
    try:
        import termios
        import tty
    except ImportError:  # not a POSIX system
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
        if not typed:  # in this mode, even Ctrl-D is a key
            loop.remove_reader(fd)
            closed()
        for key in typed.decode("ascii", "replace"):
            pressed(key)

    def set_mode() -> None:
        if _is_ours(fd):
            tty.setcbreak(fd, termios.TCSANOW)

    set_mode()
    loop.add_reader(fd, read)
    loop.add_signal_handler(signal.SIGCONT, set_mode)  # after Ctrl-Z the shell leaves its own mode
    try:
        yield True
    finally:
        loop.remove_signal_handler(signal.SIGCONT)
        loop.remove_reader(fd)
        if _is_ours(fd):
            with contextlib.suppress(termios.error):  # the terminal was closed just now
                termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _is_ours(fd: int) -> bool:
    """Return True if `fd` is a terminal and this process runs in its foreground."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
