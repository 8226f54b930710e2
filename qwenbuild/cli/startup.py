"""The time while modules load: Ctrl-C ends the process at once, and garbage collection is off.

As an exception, Ctrl-C could get lost. If a callback of Python itself raises an exception during an import, Python only
prints the exception.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Make SIGINT end the process with exit code 130, and switch garbage collection off, while the context lasts.

    SIGINT is not changed outside the main thread, or if the program has its own handler.
    At the end, all loaded objects are frozen (`gc.freeze`), so that later collections skip them.
    """
    replaces_handler = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        if replaces_handler:
            signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
    except ValueError:  # not the main thread
        replaces_handler = False
    was_enabled = gc.isenabled()
    gc.disable()  # each collection would visit all modules that are loaded so far
    try:
        yield
    finally:
        if was_enabled:
            gc.freeze()
            gc.enable()
        if replaces_handler:
            signal.signal(signal.SIGINT, signal.default_int_handler)
