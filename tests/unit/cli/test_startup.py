"""Signals and garbage collection while modules load."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from qwenbuild.cli.startup import loading


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Restores the handler of SIGINT, and what garbage collection skips."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)
    gc.unfreeze()


def test_garbage_collection_is_off_while_modules_load() -> None:
    """Collection is on again in the end, unless it was off before."""
    with loading():
        assert gc.isenabled() is False
    assert gc.isenabled() is True
    gc.disable()
    try:
        with loading():
            pass
        assert gc.isenabled() is False
    finally:
        gc.enable()


def test_ctrl_c_ends_the_process_at_once() -> None:
    """The exit code is 130, and no `except` or `finally` of an import can prevent that."""
    code = (
        "import os, signal\n"
        "from qwenbuild.cli.startup import loading\n"
        "with loading():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    finally:\n"
        "        print('not reached')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_default_handler_is_restored() -> None:
    """After loading Ctrl-C raises KeyboardInterrupt again."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with loading():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_programs_own_handler_stays() -> None:
    """A handler that the program has set is never replaced."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with loading():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_set_no_handler() -> None:
    """Outside the main thread signals are left alone."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    seen: list[object] = []

    def load() -> None:
        with loading():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
