"""The nursery: a process that has loaded qwenbuild, and forks a child for each command.

Starting Python and loading qwenbuild takes most of the time of a small command; a forked child needs a tenth of it.
Working directory, environment, standard streams, signals and exit code are those of a process of its own. What depends
on how Python itself starts gets a real one: see `suits`.

A client connects to the nursery's socket. It sends one byte with its three standard streams, then the order, a line of
JSON. It gets a line with the child's PID, and at the end a line with its exit code, negative for a signal.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import resource
import select
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

COMMAND = str(Path(sys.executable).with_name("qwenbuild"))
"""The installed command, which starts an interpreter of its own."""

REPOSITORY = Path(__file__).parents[2]

_LATER = ("PIL.PngImagePlugin", "filelock", "httpx", "httpcore", "sqlite3", "tenacity", "anyio._backends._asyncio")
_APART = ("qwenbuild.__main__", "qwenbuild.watch", "qwenbuild.pages", "qwenbuild.emulator", "qwenbuild.executors")
_AT_START = ("LANG", "LC_", "PYTHON")  # variables that Python reads when it starts

_STUB = """#!{python} -IS
import json, os, signal, socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.connect({address!r})
socket.send_fds(sock, [b"-"], [0, 1, 2])
mask = os.umask(0)
order = {{"arguments": sys.argv[1:], "cwd": os.getcwd(), "environ": dict(os.environ), "umask": mask, "session": False}}
sock.sendall(json.dumps(order).encode() + b"\\n")
answers = sock.makefile()
pid = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, lambda number, frame: os.kill(pid, number))
code = int(answers.readline())
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
    os.kill(os.getpid(), -code)
os._exit(code)
"""


class Process(subprocess.Popen[str]):
    """A command that the nursery runs, used like a `Popen` whose output goes to pipes."""

    _child_created = False  # it is no child of this process

    def __init__(self, arguments: Sequence[str], cwd: Path, environ: Mapping[str, str], *, session: bool) -> None:
        """Start a command; with `session` it leads a session of its own."""
        self.args, self.returncode, self.stdin = [COMMAND, *arguments], None, None
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(_address())
            socket.send_fds(self._socket, [b"-"], [nothing, out_end, err_end])
        finally:
            for number in (nothing, out_end, err_end):
                os.close(number)
        self.stdout, self.stderr = os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8")
        mask = os.umask(0)
        os.umask(mask)
        order = {
            "arguments": list(arguments), "cwd": str(cwd), "environ": dict(environ), "umask": mask, "session": session,
        }  # fmt: skip
        self._socket.sendall(json.dumps(order).encode() + b"\n")
        self.pid = self._number()

    def poll(self) -> int | None:
        """Return the exit code, or None while the command runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code; raises TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._socket], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = self._number()
            self._socket.close()
        return self.returncode

    def __del__(self, *_: object) -> None:
        self._socket.close()

    def _number(self) -> int:
        """Read a line, and no byte more: `wait` looks whether another one has come."""
        line = b""
        while not line.endswith(b"\n"):
            line += self._socket.recv(1) or b"1\n"  # a nursery that has ended sends nothing
        return int(line)

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str, str]:  # noqa: A002, Popen's
        """Return all output, on both streams; raises TimeoutExpired. The command reads nothing."""
        assert input is None
        until = None if timeout is None else time.monotonic() + timeout
        found: dict[str, str] = {}
        readers = []
        for name, stream in (("out", self.stdout), ("err", self.stderr)):
            if stream is None:
                continue
            reader = threading.Thread(target=lambda name, it: found.__setitem__(name, it.read()), args=(name, stream))
            reader.daemon = True
            reader.start()
            readers.append(reader)
        for reader in readers:
            reader.join(None if until is None else max(0.0, until - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(None if until is None else max(0.1, until - time.monotonic()))
        for stream in (self.stdout, self.stderr):
            if stream:
                stream.close()
        return found.get("out", ""), found.get("err", "")


def suits(environ: Mapping[str, str]) -> bool:
    """Whether a command behaves in the nursery as in a process of its own."""
    if not hasattr(os, "pidfd_open") or os.geteuid() != os.getuid():
        return False
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        return False
    names = [name for name in {*environ, *os.environ} if name.startswith(_AT_START)]
    return all(environ.get(name) == os.environ.get(name) for name in names)


@functools.cache
def stub() -> Path:
    """Return a folder with a `qwenbuild` that asks the nursery, for the PATH of scripts without a terminal.

    Where no nursery can run, it is the folder of the installed command.
    """
    if not suits(os.environ):
        return Path(COMMAND).parent
    folder = Path(_address()).parent
    (folder / "bin").mkdir()
    path = folder / "bin/qwenbuild"
    path.write_text(_STUB.format(python=sys.executable, address=_address()))
    path.chmod(0o755)
    return path.parent


@functools.cache
def _address() -> str:
    """Return the socket of this process's nursery, which lives as long as this process does."""
    folder = tempfile.mkdtemp(prefix="qwenbuild-nursery-")
    address = f"{folder}/socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.nursery", address], cwd=REPOSITORY, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip

    def end() -> None:
        assert process.stdin
        process.stdin.close()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return address


def main(address: str) -> None:
    """Run orders until standard input ends."""
    load()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ)
    waiting.register(0, selectors.EVENT_READ)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        for ready, _ in waiting.select():
            client: socket.socket
            if ready.fd == 0:
                os._exit(0)
            if ready.fileobj is not listener:
                waiting.unregister(ready.fileobj)
                pid, client = ready.data
                if ready.fd == client.fileno():  # it has the exit code, so that nobody signals the PID any more
                    os.waitpid(pid, 0)
                    client.close()
                    continue
                ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
                assert ended
                code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
                os.close(ready.fd)
                with contextlib.suppress(OSError):
                    client.sendall(f"{code}\n".encode())
                waiting.register(client, selectors.EVENT_READ, (pid, client))
                continue
            client, _ = listener.accept()
            _, streams, _, _ = socket.recv_fds(client, 1, 3)
            with client.makefile() as orders:
                order = json.loads(orders.readline())
            pid = os.fork() or _run(order, streams)
            for number in streams:
                os.close(number)
            waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, client))
            with contextlib.suppress(OSError):
                client.sendall(f"{pid}\n".encode())


def load(spec: str = '[image.a]\nprompt = "a"\n') -> None:
    """Import everything, and build a `spec` once: what that leaves in memory, the children need not do."""
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
        (Path(folder) / "specs" / "fair.toml").write_text(spec, "utf-8")
        places = dict.fromkeys(("QWENBUILD_CACHE_DIR", "QWENBUILD_LEDGER_DIR"), f"{folder}/store")
        assert Engine(project.find(Path(folder)), Options(), places).build(lambda event: None).complete
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()  # else each child's first collection would copy all pages


def _run(order: Mapping[str, Any], streams: Sequence[int]) -> NoReturn:
    """Be the command, and end with its exit code."""
    try:
        if order["session"]:
            os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, 4096)
        os.umask(order["umask"])
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    sys.path[0] = str(Path(COMMAND).parent)  # as for a script
    become(order["arguments"], order["cwd"], order["environ"])


def become(arguments: Sequence[str], cwd: str, environ: Mapping[str, str]) -> NoReturn:
    """Run a command in this process, with the streams that it has, and end with the command's exit code."""
    code = 1
    try:
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environ)
        time.tzset()
        tempfile.tempdir = None
        sys.argv = [COMMAND, *arguments]
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


if __name__ == "__main__":
    main(sys.argv[1])
