"""Dask clusters of tests: one in threads of this process, and one whose scheduler and workers are processes.

PYTEST_DONT_REWRITE: its assertions carry their own messages, and tests import from it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.executor import Tls

_PATIENCE_S = 60.0  # enough for a busy machine


@pytest.fixture(scope="module")  # its threads take numbers from `random`, which disturbs tests with random examples
def cluster() -> Iterator[str]:
    """The address of a scheduler with two workers in threads of this process, which the tests of a module share."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, host="127.0.0.1", protocol="tcp://",
        dashboard_address="127.0.0.1:0", silence_logs="CRITICAL",
    ) as running:  # fmt: skip
        yield running.scheduler_address


def certificates(folder: Path) -> Tls:
    """Write a certificate authority, a certificate and a key; return their paths."""
    from distributed import Security

    made: Any = Security.temporary()
    folder.mkdir(exist_ok=True)
    for name, text in (("ca.pem", made.tls_ca_file), ("me.pem", made.tls_client_cert), ("me.key", made.tls_client_key)):
        (folder / name).write_text(str(text), "utf-8")
    return Tls(*(str(folder / name) for name in ("ca.pem", "me.pem", "me.key")))


class Processes:
    """A scheduler and workers, each a process, with mutual TLS. Use it as a context."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder, self._environ = folder, environ
        self._started: list[subprocess.Popen[bytes]] = []
        self.tls = certificates(folder / "tls")
        self._options = ["--tls-ca-file", self.tls.ca, "--tls-cert", self.tls.cert, "--tls-key", self.tls.key]
        self.address = ""

    def __enter__(self) -> Processes:
        file = self._folder / "scheduler.json"
        self.scheduler = self._start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--protocol", "tls", "--no-dashboard",
            "--scheduler-file", str(file),
        )  # fmt: skip
        until = time.monotonic() + _PATIENCE_S
        while not self.address:
            assert self.scheduler.poll() is None and time.monotonic() < until, "no scheduler"
            with contextlib.suppress(OSError, ValueError):
                self.address = json.loads(file.read_text())["address"]
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            process.kill()
        for process in self._started:
            process.wait()

    def worker(self, **environ: str) -> subprocess.Popen[bytes]:
        """Start a worker; it may not have reached the scheduler yet."""
        return self._start(
            "dask_worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory",
            str(self._folder), **environ,
        )  # fmt: skip

    def _start(self, name: str, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
        self._started.append(
            subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{name}", *self._options, *arguments],
                env={**os.environ, **self._environ, **environ},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        return self._started[-1]
