"""The nursery: a process that has loaded qwenbuild and the injector, and forks a child for each command.

Starting Python and loading qwenbuild takes most of the time of a small build. A forked child needs a tenth of it.

The parent writes a line of JSON for each order and reads a line of JSON for each answer:

    {"arguments", "cwd", "environ", "out", "err", "arming"}   ->   the child's PID
    {"wait": PID}                                             ->   its exit code, negative for a signal
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .injector import Arming, arms
from .scenarios import SPEC

REPOSITORY = Path(__file__).parents[2]

_LATER = ("PIL.PngImagePlugin", "filelock", "httpx", "httpcore", "sqlite3", "tenacity", "anyio._backends._asyncio")
_APART = ("qwenbuild.__main__", "qwenbuild.watch", "qwenbuild.pages", "qwenbuild.emulator")


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
    _load()
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


def _load() -> None:
    """Import everything, and build once: what that leaves in memory, the children need not do."""
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "true"  # as the command does
    import qwenbuild

    for module in pkgutil.walk_packages(qwenbuild.__path__, "qwenbuild."):
        if not module.name.startswith(_APART):
            importlib.import_module(module.name)
    for name in _LATER:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    from qwenbuild.engine.engine import Engine
    from qwenbuild.options import Options
    from qwenbuild.specs import project

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "specs").mkdir()
        (Path(folder) / "qwenbuild.toml").write_text('provider = "draft"\n', "utf-8")
        (Path(folder) / "specs" / "fair.toml").write_text(SPEC, "utf-8")
        places = dict.fromkeys(("QWENBUILD_CACHE_DIR", "QWENBUILD_LEDGER_DIR"), f"{folder}/store")
        assert Engine(project.find(Path(folder)), Options(), places).build(lambda event: None).complete
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()  # else each child's first collection would copy all pages


def _run(order: Mapping[str, Any]) -> NoReturn:
    """Be the command, and end with its exit code."""
    code = 1
    try:
        for name, number in (("out", 1), ("err", 2)):
            os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), number)
        os.chdir(order["cwd"])
        os.environ.clear()
        os.environ.update(order["environ"])
        sys.argv = ["qwenbuild", *order["arguments"]]
        if arming := order["arming"]:
            _arm(**arming)
        from qwenbuild.__main__ import main as command

        command()
        code = 0
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _arm(log: str, paths: str, ports: str, at: int, act: str, data: int) -> None:
    arm = ctypes.CDLL(None).faults_arm
    arm.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_long, ctypes.c_char_p, ctypes.c_int]
    arm(os.fsencode(log), os.fsencode(paths), ports.encode(), at, act.encode(), data)


if __name__ == "__main__":
    main()
