"""The emulator's HTTP: calls reach the service, or the fault that befalls them, and answers go out as the vendor's do.

Invariants:
- A call befallen by a "before" fault never reaches the service; one befallen by an "after" fault
  was carried out in full, and only its answer is spoilt.
- A dropped connection is a dropped TCP connection, reset or closed; no answer is sent on it.
- What a foreign page sends (`Origin`) is refused; the Authorization header is masked before a call
  is remembered; nothing is logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from .emulator_answers import NO_SYNC, PROXY_PAGE, Refusal, encode, link_expired, new_id, oss_error
from .emulator_bill import Charge, Exchange, Image
from .emulator_faults import Fault, FaultPlan
from .emulator_images import Renderer, corrupted, other_size
from .emulator_orders import json_body
from .emulator_service import Service
from .errors import UsageError

API = "/api/v1"
_SYNC = f"{API}/services/aigc/multimodal-generation/generation"
_CREATE = f"{API}/services/aigc/text2image/image-synthesis"
_MAX_BODY_BYTES = 6 * 2**20
_CHUNK_BYTES = 64 * 1024
_REMEMBERED_CALLS = 10_000

Connection = Callable[[Scope], asyncio.Transport | None]
"""Finds the open TCP connection that a call came by."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that got through to the service."""

    request: Request
    account: str
    content: bytes
    exchange: Exchange
    fault: Fault | None

    def body(self) -> Mapping[str, Any]:
        """Return the JSON that came; raises Refusal."""
        if len(self.content) > _MAX_BODY_BYTES:
            raise Refusal("BadRequest.TooLarge")
        return json_body(self.content)

    def link(self, path: str) -> str:
        """Return the URL of a path under the name by which the client knows the emulator."""
        return f"{self.request.url.scheme}://{self.request.headers['host']}{path}"


class Application:
    """One emulator's ASGI application, with all of its state."""

    def __init__(self, service: Service, renderer: Renderer, faults: FaultPlan, connection: Connection) -> None:
        self.service = service
        self.faults = faults
        self.calls: deque[Exchange] = deque(maxlen=_REMEMBERED_CALLS)
        self.closing = asyncio.Event()
        self._renderer = renderer
        self._connection = connection
        self._ahead_s = 0.0
        acts: Mapping[str, Callable[[_Call], Awaitable[dict[str, Any]]]] = {
            "sync": self._sync, "create": self._create, "poll": self._poll, "cancel": self._cancel, "list": self._list,
        }  # fmt: skip

        def route(path: str, method: str, operation: str) -> Route:
            async def endpoint(request: Request) -> Response:
                return await self._call(request, operation, acts[operation])

            return Route(path, endpoint, methods=[method])

        self._router = Router(
            [
                route(_SYNC, "POST", "sync"),
                route(_CREATE, "POST", "create"),
                route(f"{API}/tasks", "GET", "list"),
                route(f"{API}/tasks/{{task_id}}", "GET", "poll"),
                route(f"{API}/tasks/{{task_id}}/cancel", "POST", "cancel"),
                Route("/results/{name:path}", self._download),
                Route("/_emulator/bill", self._bill, methods=["GET", "DELETE"]),
                Route("/_emulator/requests", self._requests, methods=["GET", "DELETE"]),
                Route("/_emulator/faults", self._faults, methods=["GET", "POST", "DELETE"]),
                Route("/_emulator/clock", self._clock, methods=["GET", "POST"]),
                Route("/", self._page),
            ],
            redirect_slashes=False,
            default=_no_such_path,
        )

    def now(self) -> float:
        """Return the emulated time in seconds since the epoch."""
        return time.time() + self._ahead_s

    def advance(self, seconds: float) -> None:
        """Move the emulated clock; links and tasks age by it."""
        self._ahead_s += seconds

    def reset(self) -> None:
        """Forget everything: be as if just started, without faults."""
        self.service = Service(self.service.terms)
        self.faults = FaultPlan()
        self.calls.clear()
        self._ahead_s = 0.0

    def bill(self) -> dict[str, Any]:
        """Return the bill as of now."""
        self.service.settle(self.now())
        return self.service.bill.as_json()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request. Trailing slashes are as good as none: the vendor's clients send both."""
        scope["path"] = scope["path"].rstrip("/") or "/"
        request = Request(scope, receive)
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            await Response("foreign Origin\n", 403, media_type="text/plain")(scope, receive, send)
            return
        # The client is gone: there is nobody to answer.
        with contextlib.suppress(ClientDisconnect):
            await self._router(scope, receive, send)

    async def _call(
        self, request: Request, operation: str, act: Callable[[_Call], Awaitable[dict[str, Any]]]
    ) -> Response:
        content = await _content(request)
        exchange = self._remember(request, operation, content)
        fault = self._draw(exchange)
        early = await self._before(fault, request) if fault else None
        if early is None:
            early = await self._carry_out(request, content, exchange, fault, act)
        exchange.status = early.status_code
        return early

    async def _carry_out(
        self, request: Request, content: bytes, exchange: Exchange, fault: Fault | None,
        act: Callable[[_Call], Awaitable[dict[str, Any]]],
    ) -> Response:  # fmt: skip
        try:
            account = self.service.account(request.headers.get("authorization"))
            answer = await act(_Call(request, account, content, exchange, fault))
        except Refusal as refusal:
            return _refused(refusal)
        if fault and fault.moment == "after":
            return self._spoilt(fault, answer)
        exchange.answered = self._connection(request.scope) is not None
        return _json(answer)

    async def _sync(self, call: _Call) -> dict[str, Any]:
        images = self.service.render(
            call.account, call.body(), call.exchange, self.now(), asynchronous=_is_async(call.request)
        )
        await asyncio.sleep(self.service.terms.latency_s)
        return self.service.sync_answer(images, call.link)

    async def _create(self, call: _Call) -> dict[str, Any]:
        if not _is_async(call.request):
            raise Refusal("AccessDenied", NO_SYNC)
        kind = call.fault.kind if call.fault else ""
        code = call.fault.value if call.fault else ""
        return self.service.create(
            call.account, call.body(), call.exchange, self.now(),
            failing=code if kind == "task-failed" else "", failing_item=code if kind == "item-failed" else "",
        )  # fmt: skip

    async def _poll(self, call: _Call) -> dict[str, Any]:
        return self.service.poll(call.account, call.request.path_params["task_id"], self.now(), call.link)

    async def _cancel(self, call: _Call) -> dict[str, Any]:
        return self.service.cancel(call.account, call.request.path_params["task_id"], self.now())

    async def _list(self, call: _Call) -> dict[str, Any]:
        return self.service.listing(call.account, call.request.query_params, self.now())

    async def _download(self, request: Request) -> Response:
        exchange = self._remember(request, "download", b"")
        fault = self._draw(exchange)
        response = await self._before(fault, request) if fault else None
        if response is None:
            try:
                image = self.service.results.open(request.url.path, request.query_params, self.now())
                response = await self._image(image, fault)
                exchange.answered = True
            except Refusal as refusal:
                response = _oss(refusal, request)
        exchange.status = response.status_code
        return response

    async def _image(self, image: Image, fault: Fault | None) -> Response:
        kind = fault.kind if fault else ""
        if kind == "expired":
            raise link_expired()
        wanted = image.request(self._renderer.family)
        png = await self._renderer.png(other_size(wanted) if kind == "wrong-size" else wanted)
        if kind == "cut":
            return _Cut(png, self._connection)
        if kind == "truncated":
            png = png[: len(png) // 2]
        if kind == "corrupt":
            png = corrupted(png)

        spoilt = kind in ("truncated", "corrupt", "wrong-size")
        return _Delivery(png, None if spoilt else image.charge, self._connection)

    async def _before(self, fault: Fault, request: Request) -> Response | None:
        """Return what a "before" fault answers; None where the call goes on."""
        download = request.url.path.startswith("/results/")
        match fault.kind:
            case "slow":
                await asyncio.sleep(fault.seconds)
                return None
            case "drop-before":
                return _Drop(self._connection, reset=True)
            case "hang-before":
                return _Hang(self._connection, self.closing)
            case "html":
                return HTMLResponse(PROXY_PAGE, 200 if download else 502)
            case "redirect":
                return Response(status_code=302, headers={"Location": _elsewhere(request)})
            case "business-error":
                return _json({"request_id": new_id(), "code": fault.value, "message": Refusal(fault.value).message})
            case "throttle":
                return _refused(Refusal("Throttling.RateQuota"), retry_after=fault.value)
        codes = {
            "500": "InternalError", "503": "ServiceUnavailable", "error": fault.value,
            "moderation": "DataInspectionFailed", "arrearage": "Arrearage",
        }  # fmt: skip
        if fault.kind not in codes:
            return None
        refusal = Refusal(codes[fault.kind])
        return _oss(refusal, request) if download else _refused(refusal)

    def _spoilt(self, fault: Fault, answer: dict[str, Any]) -> Response:
        """Return what an "after" fault makes of `answer`."""
        match fault.kind:
            case "drop-after" | "close-after":
                return _Drop(self._connection, reset=fault.kind == "drop-after")
            case "hang-after":
                return _Hang(self._connection, self.closing)
            case "timeout":
                return _refused(Refusal("RequestTimeOut"))
            case "garbage":
                whole = encode(answer)
                return Response(whole[: len(whole) // 2], media_type="application/json")
        return _json({"request_id": answer["request_id"]})

    def _remember(self, request: Request, operation: str, content: bytes) -> Exchange:
        headers = dict(request.headers)
        if "authorization" in headers:
            headers["authorization"] = "***"
        try:
            body = json.loads(content) if content else None
        except (ValueError, RecursionError):
            body = content[:1000].decode("utf-8", "replace")
        exchange = Exchange(operation, request.method, request.url.path, request.url.query, headers, body, self.now())
        self.calls.append(exchange)
        return exchange

    def _draw(self, exchange: Exchange) -> Fault | None:
        fault = self.faults.draw(exchange.operation)
        exchange.fault = str(fault or "")
        return fault

    async def _bill(self, request: Request) -> Response:
        bill = self.bill()
        if request.method == "DELETE":
            self.service.bill.charges.clear()
        return _json(bill)

    async def _requests(self, request: Request) -> Response:
        calls = [exchange.as_json() for exchange in self.calls]
        if request.method == "DELETE":
            self.calls.clear()
        return _json({"requests": calls})

    async def _faults(self, request: Request) -> Response:
        """GET: the plan; POST `{"faults": ["throttle:create:2"], "seed": 0}`: another one; DELETE: none."""
        if request.method == "DELETE":
            self.faults = FaultPlan()
        elif request.method == "POST":
            try:
                self.faults = _plan(json_body(await _content(request)))
            except (UsageError, Refusal) as error:
                return _json({"error": str(error)}, 400)
        return _json({"faults": [{"fault": text, "fired": count} for text, count in self.faults.fired()]})

    async def _clock(self, request: Request) -> Response:
        """GET: the emulated time; POST `{"advance_s": 90000}`: move it."""
        if request.method == "POST":
            try:
                self.advance(_seconds(json_body(await _content(request))))
            except (UsageError, Refusal) as error:
                return _json({"error": str(error)}, 400)
        return _json({"now_s": self.now()})

    async def _page(self, request: Request) -> Response:
        bill = self.bill()
        base_url = f"{request.url.scheme}://{request.headers['host']}{API}"
        rows = "".join(
            f"<tr><td>{escape(total['account'])}<td>{escape(total['model'])}<td>{total['count']}<td>{total['amount']}"
            for total in bill["totals"]
        )
        faults = "".join(f"<li><code>{escape(text)}</code>: {count}" for text, count in self.faults.fired())
        tasks = ", ".join(f"{count} {status}" for status, count in self.service.tasks_by_status().items())
        return HTMLResponse(
            "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>qwenbuild emulator</title>"
            "<style>body{font:16px/1.5 system-ui;margin:2rem;max-width:50rem}td,th{padding:0 1rem 0 0;text-align:left}"
            "</style><h1>A local DashScope</h1>"
            f"<p>Base URL <code>{escape(base_url)}</code>, region {escape(bill['region'])}."
            f"<h2>Would have billed: {bill['count']} images, {bill['amount']} CNY</h2>"
            f"<table><tr><th>account<th>model<th>images<th>CNY{rows}</table>"
            f"<h2>Tasks</h2><p>{tasks or 'none'}<h2>Faults that fired</h2><ul>{faults or '<li>none'}</ul>"
            "<p><a href=/_emulator/bill>bill</a>, <a href=/_emulator/requests>requests</a>, as JSON"
        )


class _Drop(Response):
    """No answer: the connection is reset, or closed."""

    def __init__(self, connection: Connection, *, reset: bool) -> None:
        super().__init__()
        self.status_code = 0
        self._connection, self._reset = connection, reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _drop(self._connection(scope), reset=self._reset)
        await _disconnected(receive)


class _Hang(Response):
    """No answer: the connection stays open until the client, or the server, gives up."""

    def __init__(self, connection: Connection, closing: asyncio.Event) -> None:
        super().__init__()
        self.status_code = 0
        self._connection, self._closing = connection, closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given_up = {asyncio.create_task(self._closing.wait()), asyncio.create_task(_disconnected(receive))}
        _, waiting = await asyncio.wait(given_up, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        _drop(self._connection(scope), reset=True)


class _Delivery(Response):
    """An image; its charge is told when the last of it was handed to a connection that still stood."""

    def __init__(self, content: bytes, charge: Charge | None, connection: Connection) -> None:
        super().__init__(content, media_type="image/png")
        self._charge = charge
        self._connection = connection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for first in range(0, len(self.body), _CHUNK_BYTES):
            if self._connection(scope) is None:
                await _disconnected(receive)
                return
            last = first + _CHUNK_BYTES
            more = last < len(self.body)
            await send({"type": "http.response.body", "body": self.body[first:last], "more_body": more})
        if self._charge is not None and scope["method"] == "GET":
            self._charge.delivered = True


class _Cut(Response):
    """The headers and half of the body, then a reset."""

    def __init__(self, content: bytes, connection: Connection) -> None:
        super().__init__(content, media_type="image/png")
        self._connection = connection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        half = self.body[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        _drop(self._connection(scope), reset=False)
        await _disconnected(receive)


def _drop(transport: asyncio.Transport | None, *, reset: bool) -> None:
    if transport is None:
        return
    if not reset:
        transport.close()
        return
    # A linger of 0 makes the kernel send RST instead of FIN.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _content(request: Request) -> bytes:
    """Return the body, up to one byte more than is allowed."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MAX_BODY_BYTES:
            break
    return bytes(content[: _MAX_BODY_BYTES + 1])


def _is_async(request: Request) -> bool:
    return request.headers.get("x-dashscope-async", "").lower() == "enable"


def _elsewhere(request: Request) -> str:
    """Return the call's URL under another host name, behind which a client that follows finds the same emulator."""
    host = "localhost" if request.url.hostname != "localhost" else "127.0.0.1"
    return str(request.url.replace(hostname=host))


def _json(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(encode(body), status, headers, media_type="application/json")


def _refused(refusal: Refusal, *, retry_after: str = "") -> Response:
    body = {"request_id": new_id(), "code": refusal.code, "message": refusal.message}
    return _json(body, refusal.status, {"Retry-After": retry_after} if retry_after else None)


def _oss(refusal: Refusal, request: Request) -> Response:
    host = request.url.path.split("/")[2] if request.url.path.startswith("/results/") else ""
    return Response(oss_error(refusal.code, refusal.message, host), refusal.status, media_type="application/xml")


def _plan(body: Mapping[str, Any]) -> FaultPlan:
    faults, seed = body.get("faults"), body.get("seed", 0)
    if not isinstance(faults, list) or not all(isinstance(text, str) for text in faults) or type(seed) is not int:
        raise UsageError('send {"faults": ["throttle:create:2"], "seed": 0}')
    return FaultPlan(faults, seed)


def _seconds(body: Mapping[str, Any]) -> float:
    seconds = body.get("advance_s")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise UsageError('send {"advance_s": 90000}')
    return float(seconds)


async def _no_such_path(scope: Scope, receive: Receive, send: Send) -> None:
    response: ASGIApp = (
        _refused(Refusal("InvalidParameter", "url error, please check url！"))
        if scope["path"].startswith(API)
        else Response("no such page\n", 404, media_type="text/plain")
    )
    await response(scope, receive, send)
