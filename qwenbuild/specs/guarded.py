"""The guarded worker: a process that makes the texts that take many steps, with 2 s of CPU time and 256 MB of memory.

Steps are what limits a template. Time and memory are only the backstop, for a fault in Jinja, Python or a limit.

The parent writes each job to the worker as a length (eight bytes, big-endian) and a pickle. The worker answers with a
length and JSON, so the parent never unpickles what a stranger's template had a hand in. A worker gets no secrets: its
environment holds only what Python needs. It ends when it has no job for a while, and when its parent ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import IO, Any, NamedTuple

from .limits import MAX_STEPS
from .template_problems import Failure

CPU_S = 2.0
"""How long the worker may work on one text, in seconds of CPU time."""

MEMORY_BYTES = 256 * 1024**2
"""How much memory the worker may take, beyond what it has when it starts."""

_WALL_S = 30.0  # for systems that can't limit CPU time, and for a worker that waits for something
_IDLE_S = 2.0
_PROGRAM = f"from {__name__} import serve; serve()"
_PASSED = ("PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "LANG", "LC_ALL", "LC_CTYPE", "SYSTEMROOT", "TEMP", "TMP",
           "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # fmt: skip


class Job(NamedTuple):
    """A text to make."""

    folder: Path  # of the templates
    shown: str
    name: str | None  # the file; None: `source` is the template
    source: str
    values: dict[str, Any]
    texts: dict[str, str | None]  # the files that were read so far


class Answer(NamedTuple):
    """A text or a failure, and the files that the worker read; None: no such file."""

    text: str
    steps: int
    failure: Failure | None
    texts: dict[str, str | None]


class Guard:
    """Starts a worker when there is a job, and sends it one job at a time. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize[..., Any] | None = None

    def make(self, job: Job) -> Answer:
        """Return the text of a job, or why there is none. Raises OSError if no process can be started."""
        packed = pickle.dumps(tuple(job))
        with self._lock:
            while True:
                worker = self._running()
                answer = _asked(worker, packed)
                if answer is not None:
                    return answer
                code = self._stopped()
                if code != 0:  # 0: it had been idle for too long
                    return Answer("", 0, _died(code), {})

    def _running(self) -> subprocess.Popen[bytes]:
        if self._worker is None:
            apart: dict[str, Any] = {"start_new_session": True}  # Ctrl-C does not reach it
            if sys.platform == "win32":
                apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
            environ = {name: os.environ[name] for name in _PASSED if name in os.environ}
            self._worker = subprocess.Popen(  # noqa: S603 - Python itself
                [sys.executable, "-P", "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env=environ, **apart,
            )  # fmt: skip
            self._end = weakref.finalize(self, _end, self._worker)
        return self._worker

    def _stopped(self) -> int:
        """End the worker; return its exit code."""
        worker, self._worker = self._worker, None
        assert worker is not None
        assert self._end is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(timeout=5)  # it has closed its output, so it is about to end
        self._end()
        return worker.returncode


def _asked(worker: subprocess.Popen[bytes], packed: bytes) -> Answer | None:
    """Return the worker's answer; None if it ended."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    timer = threading.Timer(_WALL_S, worker.kill)
    timer.daemon = True
    timer.start()
    try:
        _write(worker.stdin, packed)
        told = json.loads(_read(worker.stdout))
    except (OSError, EOFError):
        return None
    finally:
        timer.cancel()
    failure = None if told["failure"] is None else Failure.from_json(told["failure"])
    return Answer(told["text"], told["steps"], failure, told["texts"])


def _end(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    worker.wait()


def _died(code: int) -> Failure:
    """Return why a worker died."""
    import signal

    if code in (-getattr(signal, "SIGPROF", 1000), -getattr(signal, "SIGKILL", 1000), 1 if os.name == "nt" else 1000):
        return Failure("steps", f"the template takes more than {CPU_S:g} seconds")
    return Failure("steps", f"the process that renders the template ended with code {code}")


def _write(pipe: IO[bytes], packed: bytes) -> None:
    pipe.write(len(packed).to_bytes(8, "big") + packed)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes:
    """Return the next message; raises EOFError if there is none."""
    size = pipe.read(8)
    packed = pipe.read(int.from_bytes(size, "big"))
    if len(size) < 8 or len(packed) < int.from_bytes(size, "big"):
        raise EOFError
    return packed


# --- in the worker ---


def serve() -> None:
    """Make texts for the parent until it ends, or until there is no job for a while."""
    from . import template  # before memory is limited

    _limit_memory()
    asked, told_to = open(0, "rb", closefd=False), open(1, "wb", closefd=False)  # noqa: SIM115 - they end with the process
    made: dict[tuple[Path, str], template.Templates] = {}
    while _has_job(asked):
        try:
            job = Job(*pickle.loads(_read(asked)))  # noqa: S301 - the parent wrote it
        except EOFError:
            return
        at = (job.folder, job.shown)
        if at not in made:
            made[at] = template.Templates(job.folder, job.shown, easy_steps=MAX_STEPS)
        with _limited_time():
            text, steps, failure = made[at].work(job.name, job.source, job.values, job.texts)
        told = {"text": text, "steps": steps, "failure": failure and failure.as_json(), "texts": made[at].texts}
        # Unpaired surrogates stay as they are: \ud800.
        _write(told_to, json.dumps(told).encode())


def _has_job(pipe: IO[bytes]) -> bool:
    if os.name == "nt":
        return True
    import select

    return bool(select.select([pipe], [], [], _IDLE_S)[0])


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows and macOS have no such limit
        import resource

        taken = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_BYTES, taken + MEMORY_BYTES))


@contextlib.contextmanager
def _limited_time() -> Any:
    """Have the process killed, wherever it is, when it has worked for `CPU_S`."""
    import signal

    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
