"""Ctrl-C while modules load: leaves at once, for nothing has begun.

As an exception it could get lost: what Python's own callbacks raise while a module is imported is
printed and forgotten.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Have SIGINT end the process with 130 while the context lasts; in the main thread, unless somebody handles it."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    try:
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
