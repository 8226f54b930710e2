"""The emulator's HTTP: each call reaches the service, or the fault that befalls it, and is answered as the vendor does.

Invariants:
- A call befallen by a "before" fault never reaches the service; one befallen by an "after" fault
  was carried out in full, and only its answer is spoilt.
- What a foreign page sends (`Origin`) is refused. The Authorization header is masked before a call
  is remembered; nothing is logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from qwenbuild.errors import ProviderError

from .bill import Exchange, Image
from .control_endpoints import API, Emulation, control_routes
from .dashscope import Service
from .faults import Fault
from .images import Renderer, corrupted, other_size
from .request_body import json_body
from .responses import Connection, Delivery, Drop, Hang, answer, oss_refused, refused
from .wire_format import NO_SYNC, PROXY_PAGE, Refusal, encode, link_expired, new_id

_SYNC = f"{API}/services/aigc/multimodal-generation/generation"
_CREATE = f"{API}/services/aigc/text2image/image-synthesis"
_RESULTS = "/results/"
_MAX_BODY_BYTES = 6 * 2**20

# The codes of the faults that answer with one, beside those that say it themselves.
_CODES = {
    "throttle": "Throttling.RateQuota", "500": "InternalError", "503": "ServiceUnavailable",
    "moderation": "DataInspectionFailed", "arrearage": "Arrearage",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that got through to the service."""

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
        found: str = self.request.path_params["task_id"]
        return found

    def body(self) -> Mapping[str, Any]:
        """Return the JSON that came; raises Refusal."""
        if len(self.content) > _MAX_BODY_BYTES:
            raise Refusal("BadRequest.TooLarge")
        return json_body(self.content)

    def failing(self, kind: str) -> str:
        """Return the code with which a fault of that kind lets the task fail, empty for none."""
        return self.fault.value if self.fault and self.fault.kind == kind else ""

    def link(self, path: str) -> str:
        """Return the URL of a path under the name by which the client knows the emulator."""
        return f"{self.request.url.scheme}://{self.request.url.netloc}{path}"


_Act = Callable[[_Call], Awaitable[dict[str, Any]]]


class Application:
    """One emulator's ASGI application. `closing` is set when the server is about to stop."""

    def __init__(self, emulation: Emulation, renderer: Renderer, connection: Connection) -> None:
        self.closing = asyncio.Event()
        self._emulation = emulation
        self._renderer = renderer
        self._connection = connection
        self._date = (0, b"")
        routes = [
            self._route(_SYNC, "POST", "sync", self._sync),
            self._route(_CREATE, "POST", "create", self._create),
            self._route(f"{API}/tasks", "GET", "list", self._list),
            self._route(f"{API}/tasks/{{task_id}}", "GET", "poll", self._poll),
            self._route(f"{API}/tasks/{{task_id}}/cancel", "POST", "cancel", self._cancel),
            Route(_RESULTS + "{name:path}", self._download),
            *control_routes(emulation),
        ]
        self._router = Router(routes, redirect_slashes=False, default=_no_such_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request. Trailing slashes are as good as none: the vendor's clients send both."""
        scope["path"] = scope["path"].rstrip("/") or "/"

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"date", self._date_header())]
            await send(message)

        # Where the client is gone there is nobody to answer.
        with contextlib.suppress(ClientDisconnect):
            await self._router(scope, receive, dated)

    def _route(self, path: str, method: str, operation: str, act: _Act) -> Route:
        async def endpoint(request: Request) -> Response:
            content = await _content(request)
            service = self._emulation.service  # a call that waits past a reset belongs to what was before it
            exchange = self._remember(request, operation, content)
            fault = self._draw(exchange)
            reply = await self._before(fault, request) if fault else None
            if reply is None:
                reply = await self._carry_out(service, request, content, exchange, fault, act)
            exchange.status = reply.status_code
            return reply

        return Route(path, endpoint, methods=[method])

    async def _carry_out(
        self,
        service: Service,
        request: Request,
        content: bytes,
        exchange: Exchange,
        fault: Fault | None,
        act: _Act,
    ) -> Response:
        try:
            account = service.account(request.headers.get("authorization"))
            found = await act(_Call(service, request, account, content, exchange, fault))
        except Refusal as refusal:
            return refused(refusal)
        if fault and fault.moment == "after":
            return self._spoilt(fault, found)
        exchange.answered = self._connection(request.scope) is not None
        return answer(found)

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
        exchange = self._remember(request, "download", b"")
        fault = self._draw(exchange)
        reply = await self._before(fault, request) if fault else None
        if reply is None:
            try:
                now = self._emulation.now()
                image = self._emulation.service.results.open(request.url.path, request.query_params, now)
                reply = await self._image(image, fault.kind if fault else "")
                exchange.answered = True
            except Refusal as refusal:
                reply = oss_refused(refusal, request.url.path)
            except ProviderError as error:
                reply = oss_refused(Refusal("InternalError", error.claim), request.url.path)
        exchange.status = reply.status_code
        return reply

    async def _image(self, image: Image, fault: str) -> Response:
        if fault == "expired":
            raise link_expired()
        wanted = image.request(self._renderer.family)
        png = await self._renderer.png(other_size(wanted) if fault == "wrong-size" else wanted)
        if fault == "truncated":
            png = png[: len(png) // 2]
        if fault == "corrupt":
            png = corrupted(png)

        def delivered() -> None:
            if fault not in ("truncated", "corrupt", "wrong-size"):
                image.charge.delivered = True

        return Delivery(png, self._connection, delivered, cut=fault == "cut")

    async def _before(self, fault: Fault, request: Request) -> Response | None:
        """Return what a "before" fault answers; None where the call goes on."""
        if fault.moment != "before":
            return None
        download = request.url.path.startswith(_RESULTS)
        match fault.kind:
            case "slow":
                await asyncio.sleep(fault.seconds)
                return None
            case "drop-before":
                return Drop(self._connection, reset=True)
            case "hang-before":
                return Hang(self._connection, self.closing)
            case "html":
                return HTMLResponse(PROXY_PAGE, 200 if download else 502)
            case "redirect":
                return Response(status_code=302, headers={"Location": _elsewhere(request)})
            case "business-error":
                refusal = Refusal(fault.value)
                return answer({"request_id": new_id(), "code": refusal.code, "message": refusal.message})
        refusal = Refusal(_CODES.get(fault.kind, fault.value))
        if download:
            return oss_refused(refusal, request.url.path)
        return refused(refusal, retry_after=fault.value if fault.kind == "throttle" else "")

    def _spoilt(self, fault: Fault, found: dict[str, Any]) -> Response:
        """Return what an "after" fault makes of an answer."""
        match fault.kind:
            case "drop-after" | "close-after":
                return Drop(self._connection, reset=fault.kind == "drop-after")
            case "hang-after":
                return Hang(self._connection, self.closing)
            case "html-after":
                return HTMLResponse(PROXY_PAGE, 502)
            case "timeout":
                return refused(Refusal("RequestTimeOut"))
            case "garbage":
                whole = encode(found)
                return Response(whole[: len(whole) // 2], media_type="application/json")
        return answer({"request_id": found["request_id"]})

    def _remember(self, request: Request, operation: str, content: bytes) -> Exchange:
        headers = dict(request.headers)
        if "authorization" in headers:
            scheme, space, _ = headers["authorization"].partition(" ")
            headers["authorization"] = f"{scheme} ***" if space else "***"
        try:
            body = json.loads(content) if content else None
        except (ValueError, RecursionError):
            body = content[:1000].decode("utf-8", "replace")
        path = request.scope["raw_path"].decode("ascii", "replace")
        now = self._emulation.now()
        exchange = Exchange(operation, request.method, path, request.url.query, headers, body, now)
        self._emulation.calls.append(exchange)
        return exchange

    def _draw(self, exchange: Exchange) -> Fault | None:
        fault = self._emulation.faults.draw(exchange.operation)
        exchange.fault = str(fault or "")
        return fault

    def _date_header(self) -> bytes:
        now = int(self._emulation.now())
        if now != self._date[0]:
            self._date = (now, formatdate(now, usegmt=True).encode())
        return self._date[1]


async def _content(request: Request) -> bytes:
    """Return the body; of one that is too large, a little more than is allowed."""
    content = bytearray()
    async for chunk in request.stream():
        if len(content) <= _MAX_BODY_BYTES:
            content += chunk
    return bytes(content)


def _elsewhere(request: Request) -> str:
    """Return the call's URL under another host name, behind which a client that follows finds the same emulator."""
    host = "localhost" if request.url.hostname != "localhost" else "127.0.0.1"
    return str(request.url.replace(hostname=host))


async def _no_such_path(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"].startswith(API):
        reply = refused(Refusal("InvalidParameter", "url error, please check url！"))
    else:
        reply = Response("no such page\n", 404, media_type="text/plain")
    await reply(scope, receive, send)
