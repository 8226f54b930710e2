"""The outlet: shows events until the output can't be written any more. A failed write never ends a build.

The output fails if the terminal was closed (EIO), if the reader of a pipe has left (EPIPE), or if a disk is full. What
is in flight then is paid for, so whoever shows events decides how to end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from qwenbuild.events import Event

    from .build_view import View


class Outlet:
    """Shows events in a view, if there is one. `error` is the first write's that failed; then nothing is shown."""

    def __init__(self, view: View | None, failed: Callable[[OSError], None]) -> None:
        """`failed` is called once, with the first error."""
        self._view, self._failed = view, failed
        self.error: OSError | None = None

    def emit(self, event: Event) -> None:
        """Show one event."""
        if self._view and self.error is None:
            with self.guarded():
                self._view.emit(event)

    def close(self) -> None:
        """Restore the terminal."""
        if self._view:
            with self.guarded():
                self._view.close()

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Note a failed write inside this context instead of raising its error."""
        try:
            yield
        except OSError as error:
            mute()
            if self.error is None:
                self.error = error
                self._failed(error)


def mute() -> None:
    """Connect standard streams that can't be written any more to the null device, so that later writes don't fail."""
    for stream in (sys.__stdout__, sys.__stderr__):  # not sys.stderr: a live display may have replaced it
        if stream is not None and not stream.closed and _is_dead(stream):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
            stream.flush()


def _is_dead(stream: TextIO) -> bool:
    """Return True if the rest of the stream's buffer can't be written, or nobody can read the stream any more."""
    try:
        stream.flush()
    except OSError:
        return True
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def is_closed_terminal(error: OSError) -> bool:
    """Return True if a write failed because the terminal was closed."""
    return error.errno == errno.EIO
