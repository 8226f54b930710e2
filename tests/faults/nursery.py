"""The nursery of the faults: like `tests.support.nursery`, but with the injector loaded.

The parent writes a line of JSON for each order and reads a line of JSON for each answer:

    {"arguments", "cwd", "environ", "out", "err", "arming"}   ->   the child's PID
    {"wait": PID}                                             ->   its exit code, negative for a signal
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tests.support.nursery import REPOSITORY, become, load

from .injector import Arming, arms
from .scenarios import SPEC


class Nursery:
    """The parent's side. Used by one thread."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @classmethod
    @contextlib.contextmanager
    def running(cls, library: Path) -> Iterator[Nursery]:
        """Start a nursery with the injector `library`, and end it with the context."""
        command = [sys.executable, "-m", "tests.faults.nursery"]
        environ = {**os.environ, "LD_PRELOAD": str(library)}
        with subprocess.Popen(
            command, cwd=REPOSITORY, env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin
            try:
                yield cls(process)
            finally:
                process.stdin.close()

    def start(
        self, arguments: Sequence[str], cwd: Path, environ: Mapping[str, str], into: Path, arming: Arming | None = None
    ) -> int:
        """Start a command; return its PID. Its output goes to the files `into`.out and `into`.err."""
        armed = arms(arming) if arming else None
        order = {"arguments": list(arguments), "cwd": str(cwd), "environ": dict(environ), "arming": armed}
        return self._ask({**order, "out": f"{into}.out", "err": f"{into}.err"})

    def wait(self, pid: int, timeout_s: float) -> int | None:
        """Return the exit code of a command; None if it had to be killed, because it took longer than `timeout_s`."""
        late = threading.Event()

        def end() -> None:
            late.set()
            os.kill(pid, signal.SIGKILL)

        timer = threading.Timer(timeout_s, end)
        timer.start()
        try:
            code = self._ask({"wait": pid})
        finally:
            timer.cancel()
            timer.join()
        return None if late.is_set() else code

    def _ask(self, order: Mapping[str, Any]) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(json.loads(self._process.stdout.readline()))


def main() -> None:
    """Answer orders on standard input until it ends."""
    load(SPEC)
    orders, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nothing, number)
    for line in orders:
        order = json.loads(line)
        if "wait" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        else:
            answer = os.fork() or _run(order)
        answers.write(f"{answer}\n")
        answers.flush()


def _run(order: Mapping[str, Any]) -> NoReturn:
    """Be the command, and end with its exit code."""
    try:
        for name, number in (("out", 1), ("err", 2)):
            os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), number)
        os.chdir(order["cwd"])
        if arming := order["arming"]:
            _arm(**arming)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    become(order["arguments"], order["cwd"], order["environ"])


def _arm(log: str, paths: str, ports: str, at: int, act: str, data: int) -> None:
    arm = ctypes.CDLL(None).faults_arm
    arm.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_long, ctypes.c_char_p, ctypes.c_int]
    arm(os.fsencode(log), os.fsencode(paths), ports.encode(), at, act.encode(), data)


if __name__ == "__main__":
    main()
