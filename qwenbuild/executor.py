"""The executor: where free work is done, which is this machine by default, or the workers of a cluster.

A task is a function at the top of a module, whose arguments and result can be pickled. It costs nothing and may run
twice: no cluster keeps both "all done" and "at most once". So work that has a price is never a task.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from .trust import Item, Kind, is_loopback, origin

_T = TypeVar("_T")

LOCAL: Final = "local"
"""In place of an address: a cluster of this machine, which lasts as long as the build."""

HINT: Final = (
    "such as dask=local, dask=tcp://127.0.0.1:8786, dask=tls://scheduler:8786, or local for this machine alone"
)

SLOTS: Final[ContextVar[int]] = ContextVar("slots", default=0)
"""Inside a task: how many tasks its process does at once; 0 if that is unknown."""


class Executor(Protocol):
    """Does tasks inside the context of `running`. `name` is what messages call it."""

    name: str

    def running(self) -> AbstractAsyncContextManager[Any]:
        """Return the context in which tasks are done. Raises ExecutorError on entry."""

    async def do(self, task: Callable[..., _T], *arguments: object, needs: str = "") -> _T:
        """Return what a task returns, and raise what it raises. Cancelling the call drops a task that has not begun.

        Only a worker with the resource `needs`, such as "GPU", does the task. Raises ExecutorError if no further task
        can be done, and ProviderError if this one can't.
        """


@dataclass(frozen=True, slots=True)
class Tls:
    """The paths of PEM files: the cluster's certificate authority, and this machine's certificate and its key.

    The texts of such files are as good as their paths.
    """

    ca: str
    cert: str
    key: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cluster is: `LOCAL`, or the address of its scheduler. Without `tls`, the library's own config has it."""

    address: str
    tls: Tls | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return "a cluster of this machine" if self.address == LOCAL else f"the cluster of {origin(self.address)}"


def address_of(text: str) -> str:
    """Return the address in a value of `--executor`, empty for this machine alone. Raises ValueError: the reason."""
    if text == LOCAL:
        return ""
    kind, separator, address = text.partition("=")
    if not separator or kind != "dask":
        raise ValueError("it is none of dask=ADDRESS, dask=local and local")
    if fault := address_fault(address):
        raise ValueError(fault)
    return address


def address_fault(address: str) -> str | None:
    """Return what is wrong with the address of a scheduler, None if it can be used."""
    if address == LOCAL:
        return None
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "it is no address"
    if parts.scheme not in ("tcp", "tls") or not host or not port or parts.path.strip("/") or parts.query:
        return "the address of a scheduler is tls://HOST:PORT, or tcp://HOST:PORT on this machine"
    if parts.scheme == "tcp" and not is_loopback(host):
        return "tcp:// is neither encrypted nor guarded; a scheduler on another machine needs tls://"
    return None


def ask(address: str) -> Item:
    """Return the item that a project's file names the scheduler at `address`.

    Whoever answers there runs code on this machine, because answers are pickled.
    """
    server = origin(address)
    claim = f"prompts would go to {server}, and what answers there can run code on this machine"
    return Item(Kind.EXECUTORS, server, claim, "[executor] dask")


def ask_authority(ca: str) -> Item:
    """Return the item that a project's file names `ca`, the certificate authority of clusters.

    Whoever has its key can answer in place of any scheduler, also of one that the command line names.
    """
    claim = f"{ca} would say which scheduler is the right one, and what answers can run code on this machine"
    return Item(Kind.EXECUTORS, f"certificates of {ca}", claim, "[executor] tls")


def resource_of(maker: object) -> str:
    """Return the resource that a worker needs for a provider's images: its attribute `worker_resource`, else none."""
    return str(getattr(maker, "worker_resource", ""))
