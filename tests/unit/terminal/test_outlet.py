"""The outlet: a failed write ends the output, and nothing else."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from qwenbuild.events import Event, LookingUp
from qwenbuild.terminal.outlet import Outlet, is_closed_terminal

EVENT = LookingUp(1)


class Failing:
    """A view whose every write fails with an error number; `calls` are the calls in order."""

    def __init__(self, number: int = 0) -> None:
        self.number, self.calls = number, list[str]()

    def emit(self, event: Event) -> None:
        self._call("emit")

    def close(self) -> None:
        self._call("close")

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.number:
            raise OSError(self.number, os.strerror(self.number))


def test_events_are_shown() -> None:
    """Without an error, every event reaches the view."""
    view, failures = Failing(), list[OSError]()
    outlet = Outlet(view, failures.append)
    outlet.emit(EVENT)
    outlet.emit(EVENT)
    outlet.close()
    assert (view.calls, failures, outlet.error) == (["emit", "emit", "close"], [], None)


def test_nothing_is_shown_after_a_failed_write() -> None:
    """The error is reported once. The view is still closed, because it may have a thread."""
    view, failures = Failing(errno.EPIPE), list[OSError]()
    outlet = Outlet(view, failures.append)
    outlet.emit(EVENT)
    outlet.emit(EVENT)
    outlet.close()
    assert view.calls == ["emit", "close"]
    assert failures == [outlet.error]


@pytest.mark.parametrize(("number", "is_closed"), [(errno.EIO, True), (errno.EPIPE, False), (errno.ENOSPC, False)])
def test_the_error_of_a_closed_terminal(number: int, is_closed: bool) -> None:
    """Only EIO means that the terminal was closed."""
    assert is_closed_terminal(OSError(number, "")) is is_closed


def test_other_errors_are_raised() -> None:
    """A mistake in a view is not a failed write."""

    class Broken(Failing):
        def emit(self, event: Event) -> None:
            raise ZeroDivisionError

    outlet = Outlet(Broken(), lambda error: None)
    with pytest.raises(ZeroDivisionError):
        outlet.emit(EVENT)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_stream_without_a_reader_is_muted(stream: str) -> None:
    """Later writes to it do not fail, Python reports nothing at exit, and the other stream still works."""
    other = {"stdout": "stderr", "stderr": "stdout"}[stream]
    program = (
        "import sys\nfrom qwenbuild.terminal.outlet import mute\nsys.stdin.read()\n"
        f"try: print('lost', file=sys.{stream}, flush=True)\nexcept BrokenPipeError: mute()\n"
        f"print('lost, too', file=sys.{stream}, flush=True)\nprint('seen', file=sys.{other}, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        getattr(process, stream).close()
        assert process.stdin is not None
        process.stdin.close()
        assert getattr(process, other).read() == "seen\n"
        assert process.wait() == 0


def test_no_view() -> None:
    """An outlet without a view shows nothing, and never fails."""
    outlet = Outlet(None, lambda error: None)
    outlet.emit(EVENT)
    outlet.close()
    assert outlet.error is None
