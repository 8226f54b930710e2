"""The servers of one session: the least busy one renders next, and one that does not answer is left out for a while."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from qwenbuild.errors import ModelRefused, ProviderError, ServiceFault, Throttled, Unreachable
from qwenbuild.problems import did_you_mean, listing

from ..addresses import Address
from ..server_client import Answer, ServerClient
from .answers import Reader
from .dialects import Dialect

_OUT_S: Final = 30.0  # a server that does not answer
_BUSY_S: Final = 2.0  # one whose queue is full
_LONGEST_VERSION: Final = 100
_ASK_S: Final = 30.0  # a question that needs no GPU
_MOST_BYTES: Final = 88 * 2**20  # an image of 64 MiB in base64; a 2048 x 2048 RGBA image has 16 MiB
_HINT: Final = "is the server running? base_url under [providers.images] names its address"


class Server:
    """One server: how many requests it has, and until when it is left out."""

    def __init__(self, dialect: Dialect, address: Address, token: str) -> None:
        self.client = ServerClient(address, token=token, hint=_HINT)
        self.reader = Reader(dialect, address.origin, self.client.hide)
        self.busy = 0
        self.out_until_s = 0.0  # by the monotonic clock
        self._dialect = dialect
        self._models: Sequence[str] | None = None
        self._version: str | None = None
        parts = urlsplit(address.url)
        root = parts._replace(path=parts.path.removesuffix("/v1")).geturl()
        # People write the address with the version and without.
        self.root, self.base = root, address.url if parts.path else f"{address.url}/v1"

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return self.client.address.origin

    async def ask(
        self, method: str, url: str, body: Mapping[str, Any] | None = None, *, whole_s: float = _ASK_S
    ) -> Answer:
        """Send a request, and return the answer, also one that refuses. Raises ProviderError if none came."""
        return await self.client.send(method, url, body, whole_s=whole_s, most_bytes=_MOST_BYTES)

    async def models(self) -> Sequence[str]:
        """Return the names of the models that the server serves, empty if it does not say so. Raises ProviderError."""
        if self._dialect.has_jobs:
            answer = await self.ask("GET", f"{self.root}/sdcpp/v1/capabilities")
            self.reader.check(answer, "")
            model = answer.body.get("model") if isinstance(answer.body, dict) else None
            found = [model.get(name) for name in ("stem", "name")] if isinstance(model, dict) else []
        else:
            answer = await self.ask("GET", f"{self.base}/models")
            self.reader.check(answer, "")
            data = answer.body.get("data") if isinstance(answer.body, dict) else None
            found = [it.get("id") for it in data if isinstance(it, dict)] if isinstance(data, list) else []
        return [self.client.hide(name) for name in found if isinstance(name, str) and name]

    async def facts(self) -> Mapping[str, str]:
        """Return what the provenance of an image says about the server: where it is, and its version if it tells it."""
        if self._version is None:
            self._version, path = "", self._dialect.version_path
            with contextlib.suppress(ProviderError):
                answer = await self.ask("GET", self.root + path) if path else None
                told = answer.body.get("version") if answer and isinstance(answer.body, dict) else None
                self._version = self.client.hide(told)[:_LONGEST_VERSION] if isinstance(told, str) else ""
        version = {f"{self._dialect.name}_version": self._version} if self._version else {}
        return {"server": self.origin, **version}

    async def check_model(self, model: str) -> None:
        """Raise ModelRefused if the server serves other models only. It is asked once; other errors are its own."""
        if self._models is None:
            self._models = await self.models()
        if self._models and model not in self._models:
            raise ModelRefused(
                f'{self.origin} does not serve "{model}"',
                facts=[f"it serves: {listing(self._models)}", f"{self._dialect.title} would render with that instead"],
                name="model-not-offered",
                hint=did_you_mean(model, self._models) or f'write model = "{self._models[0]}"',
            )


class Servers:
    """All servers of a session; an async context manager. Each gets at most `at_once` requests at once."""

    def __init__(self, dialect: Dialect, addresses: Sequence[Address], token: str, at_once: int) -> None:
        self.every = [Server(dialect, address, token) for address in addresses]
        self._at_once = at_once
        self._changed = asyncio.Condition()
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for server in self.every:
            await self._exits.enter_async_context(server.client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    @asynccontextmanager
    async def seat(self) -> AsyncIterator[Server]:
        """Yield the least busy server once one has room; if it fails, it is left out for a while."""
        async with self._changed:
            while (server := self._next()) is None:
                await self._changed.wait()
            server.busy += 1
        try:
            yield server
        except ProviderError as error:
            server.out_until_s = time.monotonic() + _out_s(error)
            raise
        else:
            server.out_until_s = 0.0
        finally:
            server.busy -= 1
            async with self._changed:
                self._changed.notify_all()

    def _next(self) -> Server | None:
        """Return the least busy server that is not left out; if all are, the one that was left out first.

        None if each of them has as many requests as it may have.
        """
        now_s = time.monotonic()
        live = [it for it in self.every if it.out_until_s <= now_s]
        some = live or [min(self.every, key=lambda it: it.out_until_s)]
        least = min(some, key=lambda it: it.busy)
        return least if least.busy < self._at_once else None


def _out_s(error: ProviderError) -> float:
    """Return for how many seconds a server gets no request after an error."""
    if isinstance(error, Throttled):
        return error.retry_after_s or _BUSY_S
    return _OUT_S if isinstance(error, Unreachable | ServiceFault) else 0.0
