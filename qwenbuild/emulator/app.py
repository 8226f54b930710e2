"""The emulator's HTTP application: the vendor's endpoints, answered by the service or by a fault.

Each call to the vendor's API is recorded as an exchange. Then a fault may be drawn for it. A
"before" fault answers in place of the service; otherwise the service answers, and an "after" fault
spoils that answer.

Invariant: the application logs nothing, and the recorded calls hold no API key.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from qwenbuild.emulation import HEADER
from qwenbuild.errors import ProviderError
from qwenbuild.version import __version__

from .control_endpoints import control_routes
from .dashscope import Service
from .emulation import Emulation
from .exchange import Exchange
from .fault_effects import DAMAGING, RESULTS_PATH, FaultEffects, damaged, other_size
from .faults import Fault
from .images import Renderer
from .request_body import json_body
from .responses import Connection, Delivery, answer, oss_refused, refused
from .results import Image
from .vendor_errors import NO_SYNC, Refusal, link_expired
from .wire_format import API_PATH

_SYNC = f"{API_PATH}/services/aigc/multimodal-generation/generation"
_CREATE = f"{API_PATH}/services/aigc/text2image/image-synthesis"
_MAX_BODY_BYTES = 6 * 2**20
_MARKED = (HEADER.lower().encode(), __version__.encode())  # in each answer; a client must not take it for the service's


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that reaches the service."""

    service: Service
    request: Request
    account: str
    content: bytes
    exchange: Exchange
    fault: Fault | None

    @property
    def asynchronous(self) -> bool:
        return self.request.headers.get("x-dashscope-async", "").lower() == "enable"

    @property
    def task_id(self) -> str:
        task_id: str = self.request.path_params["task_id"]
        return task_id

    def body(self) -> Mapping[str, Any]:
        """Return the body's JSON object; raises Refusal."""
        if len(self.content) > _MAX_BODY_BYTES:
            raise Refusal("BadRequest.TooLarge")
        return json_body(self.content)

    def failing(self, kind: str) -> str:
        """Return the error code of the call's fault if the fault is of `kind`, else ""."""
        return self.fault.value if self.fault and self.fault.kind == kind else ""

    def link(self, path: str) -> str:
        """Return the URL of a path, with the host name that the client used for this call."""
        return f"{self.request.url.scheme}://{self.request.url.netloc}{path}"


_Operation = Callable[[_Call], Awaitable[dict[str, Any]]]


class Application:
    """One emulator's ASGI application. The server sets `closing` when it is about to stop."""

    def __init__(self, emulation: Emulation, renderer: Renderer, connection: Connection) -> None:
        self.closing = asyncio.Event()
        self._emulation = emulation
        self._renderer = renderer
        self._connection = connection
        self._effects = FaultEffects(connection, self.closing)
        self._date = (0, b"")
        routes = [
            self._route(_SYNC, "POST", "sync", self._sync),
            self._route(_CREATE, "POST", "create", self._create),
            self._route(f"{API_PATH}/tasks", "GET", "list", self._list),
            self._route(f"{API_PATH}/tasks/{{task_id}}", "GET", "poll", self._poll),
            self._route(f"{API_PATH}/tasks/{{task_id}}/cancel", "POST", "cancel", self._cancel),
            Route(RESULTS_PATH + "{name:path}", self._download),
            *control_routes(emulation),
        ]
        self._router = Router(routes, redirect_slashes=False, default=_no_such_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request. A trailing slash is ignored, because one of the vendor's clients sends it."""
        scope["path"] = scope["path"].rstrip("/") or "/"

        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"date", self._date_header()), _MARKED]
            await send(message)

        with contextlib.suppress(ClientDisconnect):  # the client has gone, so nobody waits for an answer
            await self._router(scope, receive, send_dated)

    def _route(self, path: str, method: str, name: str, operation: _Operation) -> Route:
        """Return the route of one of the vendor's endpoints, which is called `name` in faults and exchanges."""

        async def endpoint(request: Request) -> Response:
            content = await _content(request)
            service = self._emulation.service  # a call that began before a reset still belongs to the old service
            exchange, fault = self._record(request, name, content)
            response = await self._effects.before(fault, request) if fault else None
            if response is None:
                response = await self._carry_out(service, request, content, exchange, fault, operation)
            exchange.status = response.status_code
            return response

        return Route(path, endpoint, methods=[method])

    async def _carry_out(
        self,
        service: Service,
        request: Request,
        content: bytes,
        exchange: Exchange,
        fault: Fault | None,
        operation: _Operation,
    ) -> Response:
        """Let the service carry out a call. Return its answer, spoilt if the call has an "after" fault."""
        try:
            account = service.account(request.headers.get("authorization"))
            body = await operation(_Call(service, request, account, content, exchange, fault))
        except Refusal as refusal:
            return refused(refusal)
        if fault and fault.moment == "after":
            return self._effects.after(fault, body)
        exchange.answered = self._connection(request.scope) is not None
        return answer(body)

    async def _sync(self, call: _Call) -> dict[str, Any]:
        service = call.service
        images = service.render(
            call.account, call.body(), call.exchange, self._emulation.now(), asynchronous=call.asynchronous
        )
        await asyncio.sleep(service.terms.latency_s)
        return service.sync_answer(images, call.link)

    async def _create(self, call: _Call) -> dict[str, Any]:
        if not call.asynchronous:
            raise Refusal("AccessDenied", NO_SYNC)
        return call.service.create(
            call.account, call.body(), call.exchange, self._emulation.now(),
            failing=call.failing("task-failed"), failing_item=call.failing("item-failed"),
        )  # fmt: skip

    async def _poll(self, call: _Call) -> dict[str, Any]:
        return call.service.poll(call.account, call.task_id, self._emulation.now(), call.link)

    async def _cancel(self, call: _Call) -> dict[str, Any]:
        return call.service.cancel(call.account, call.task_id, self._emulation.now())

    async def _list(self, call: _Call) -> dict[str, Any]:
        return call.service.listing(call.account, call.request.query_params, self._emulation.now())

    async def _download(self, request: Request) -> Response:
        exchange, fault = self._record(request, "download", b"")
        response = await self._effects.before(fault, request) if fault else None
        if response is None:
            try:
                now = self._emulation.now()
                image = self._emulation.service.results.open(request.url.path, request.query_params, now)
                response = await self._image(image, fault.kind if fault else "")
                exchange.answered = True
            except Refusal as refusal:
                response = oss_refused(refusal, request.url.path)
            except ProviderError as error:
                response = oss_refused(Refusal("InternalError", error.claim), request.url.path)
        exchange.status = response.status_code
        return response

    async def _image(self, image: Image, fault_kind: str) -> Response:
        if fault_kind == "expired":
            raise link_expired()
        wanted = image.request(self._renderer.family)
        png = await self._renderer.png(other_size(wanted) if fault_kind == "wrong-size" else wanted)

        def delivered() -> None:
            if fault_kind not in DAMAGING:
                image.charge.delivered = True

        return Delivery(damaged(png, fault_kind), self._connection, delivered, cut=fault_kind == "cut")

    def _record(self, request: Request, operation: str, content: bytes) -> tuple[Exchange, Fault | None]:
        """Record a call, and draw the fault that hits it."""
        exchange = Exchange.of(request, operation, content, self._emulation.now())
        self._emulation.calls.append(exchange)
        fault = self._emulation.faults.draw(operation)
        exchange.fault = str(fault or "")
        return exchange, fault

    def _date_header(self) -> bytes:
        now = int(self._emulation.now())
        if now != self._date[0]:
            self._date = (now, formatdate(now, usegmt=True).encode())
        return self._date[1]


async def _content(request: Request) -> bytes:
    """Return the request's body. A body that is too large is cut a little above `_MAX_BODY_BYTES`."""
    content = bytearray()
    async for chunk in request.stream():
        if len(content) <= _MAX_BODY_BYTES:
            content += chunk
    return bytes(content)


async def _no_such_path(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"].startswith(API_PATH):
        response = refused(Refusal("InvalidParameter", "url error, please check url！"))
    else:
        response = Response("no such page\n", 404, media_type="text/plain")
    await response(scope, receive, send)
