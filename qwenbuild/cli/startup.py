"""While modules load: Ctrl-C leaves at once, for nothing has begun, and no garbage is looked for, for there is none.

As an exception Ctrl-C could get lost: what Python's own callbacks raise while a module is imported
is printed and forgotten.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Have SIGINT end the process with 130 while the context lasts; in the main thread, unless somebody handles it.

    Until then no garbage is collected, and what is there at the end is never looked through for any.
    """
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        if is_ours:
            signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
    except ValueError:  # not the main thread
        is_ours = False
    collects = gc.isenabled()
    gc.disable()  # it would look through all that is loaded, again and again
    try:
        yield
    finally:
        if collects:
            gc.freeze()  # what is loaded stays
            gc.enable()
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
