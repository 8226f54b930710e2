"""A scripted service on loopback: real HTTP, and the test decides each answer.

The service can answer both interfaces with success. A test queues `Reply`s for a route ("sync", "create",
"task", "list", "cancel", "result"). A route answers with its queued replies first, and then with success.
"""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from qwenbuild.catalogue import builtin
from qwenbuild.emulation import HEADER
from qwenbuild.errors import ProviderError
from qwenbuild.provider import Settings
from qwenbuild.providers.dashscope.provider import DashScopeProvider
from qwenbuild.request import Request, Size, Submission
from qwenbuild.trust import Trust

CANARY = "sk-canary0123456789abcdefcanary"
SIZE = Size(1328, 1328)
TRUSTED = Trust(allow_all=True)
"""The user has approved the address of the scripted service."""


def png_of(size: Size = SIZE) -> bytes:
    """Return a small PNG file with a plain image of that size."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (40, 90, 160)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


PNG = png_of()


def request_of(prompt: str = "a cat “purring” 猫", **changes: Any) -> Request:
    """Return a request that every model with fixed sizes accepts."""
    fields: dict[str, Any] = {
        "family": "dashscope", "model": "qwen-image-plus", "prompt": prompt, "negative_prompt": "blurry",
        "size": SIZE, "seed": 7, "prompt_extend": False, "watermark": False,
    }  # fmt: skip
    return Request(**{**fields, **changes})


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that reached the server; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, or a fault.

    `fault` is "" (none), "drop" (close without an answer), "hang" (never answer), "cut" (stop half-way), "drip" (send
    the body without end, a byte at a time), "drip-head" (the same with the headers) or "raw" (the body without HTTP).
    With `made`, a create or a sync call makes a billed image, whatever the answer says.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""
    made: bool = False


def says(status: int, body: object, **headers: str) -> Reply:
    """Return a JSON answer."""
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})


def fails(status: int, code: str, message: str = "no", **headers: str) -> Reply:
    """Return the service's error answer."""
    return says(status, {"code": code, "message": message, "request_id": "req-failed"}, **headers)


class Scripted:
    """The server, an async context manager. `bill` counts the images that a user would pay for."""

    def __init__(self, task_polls: int = 1) -> None:
        self.seen: list[Seen] = []
        self.script: dict[str, deque[Reply]] = defaultdict(deque)
        self.tasks: dict[str, dict[str, Any]] = {}
        self.bill = 0
        self.ahead_s = 0.0  # how far this server's clock is ahead
        self.marked: Sequence[str] = ()  # the routes whose answers have the mark of an emulator
        self.after: Callable[[Seen], None] = lambda seen: None
        self.base_url = ""  # known once the server runs
        self._task_polls = task_polls  # how many polls see a task running
        self._open: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}

    async def __aenter__(self) -> Self:
        self._closing = asyncio.Event()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}/api/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        self._closing.set()
        left = dict(self._open)
        for writer in left:
            writer.transport.abort()
        if answering := [task for task in left.values() if task]:
            await asyncio.wait(answering)
        await self._server.wait_closed()

    def provider(self, jobs: int | None = None, key: str = CANARY, **table: Any) -> DashScopeProvider:
        """Return a provider of this service with the shortest possible waits."""
        quick = {"submits": "1000/second", "poll_s": 0.01, "retry_wait_s": 0.001, "base_url": self.base_url}
        return DashScopeProvider(Settings({**quick, **table}, builtin(), {"DASHSCOPE_API_KEY": key}, jobs, TRUSTED))

    def paths(self, method: str = "POST") -> list[str]:
        """Return the paths of the requests seen so far."""
        return [one.path.removeprefix("/api/v1") for one in self.seen if one.method == method]

    def add_task(self, prompt: str, *, model: str = "qwen-image-plus", age_s: float = 0.0, **more: Any) -> str:
        """Add a task, as if another program of the account had created it; return its id."""
        task_id = f"task-{len(self.tasks)}"
        created_s = time.time() + self.ahead_s - age_s
        self.tasks[task_id] = {"prompt": prompt, "model": model, "created_s": created_s, "polls": 0, **more}
        return task_id

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        try:
            seen = await _read(reader)
            if seen:
                self.seen.append(seen)
                reply = self._reply(seen)
                self.after(seen)
                await _write(writer, reply, self.ahead_s, self._closing)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.pop(writer, None)
            writer.close()

    def _reply(self, seen: Seen) -> Reply:
        path = seen.path.removeprefix("/api/v1")
        route = _route(seen.method, path)
        scripted = self.script[route].popleft() if self.script[route] else None
        happy = None if scripted and not scripted.made else self._happy(route, seen, path)
        reply = scripted or happy or Reply(404, b"<html>no such page</html>")
        return replace(reply, headers={**reply.headers, HEADER: "1"}) if route in self.marked else reply

    def _happy(self, route: str, seen: Seen, path: str) -> Reply | None:
        """Do what a success does, and return its answer."""
        happy: dict[str, Callable[[Seen, str], Reply]] = {
            "sync": self._sync, "create": self._create, "task": self._task, "list": self._list,
            "cancel": lambda seen, path: says(200, {"request_id": "req-cancel"}),
            "result": lambda seen, path: Reply(200, PNG, {"Content-Type": "image/png"}),
        }  # fmt: skip
        return happy[route](seen, path) if route in happy else None

    def _sync(self, seen: Seen, path: str) -> Reply:
        self.bill += 1
        url = f"http://127.0.0.1:{self.port}/result/{self.bill}.png?Signature=secret-signature&Expires=9999999999"
        message = {"role": "assistant", "content": [{"image": url}]}
        output = {
            "choices": [{"finish_reason": "stop", "message": message}],
            "task_metric": {"TOTAL": 1, "SUCCEEDED": 1, "FAILED": 0},
        }
        usage = {"width": 1328, "height": 1328, "image_count": 1}
        return says(200, {"output": output, "usage": usage, "request_id": "req-sync", "new_field": [1]})

    def _create(self, seen: Seen, path: str) -> Reply:
        self.bill += 1
        task_id = self.add_task(seen.json["input"]["prompt"], model=seen.json["model"])
        return says(200, {"output": {"task_status": "PENDING", "task_id": task_id}, "request_id": "req-create"})

    def _task(self, seen: Seen, path: str) -> Reply:
        task_id = path.removeprefix("/tasks/")
        task = self.tasks.get(task_id)
        if task is None:
            return says(200, {"output": {"task_id": task_id, "task_status": "UNKNOWN"}, "request_id": "req-task"})
        task["polls"] += 1
        output: dict[str, Any] = {"task_id": task_id, "task_status": "RUNNING"}
        if task["polls"] > self._task_polls:
            output |= {"submit_time": "2026-02-10 11:38:54.741", "end_time": "2026-02-10 11:39:19.484"}
            output |= {"task_status": "SUCCEEDED", "results": [self._made(task, task_id)]}
            output |= task.get("ends", {})
        return says(200, {"output": output, "usage": {"image_count": 1}, "request_id": "req-task"})

    def _made(self, task: Mapping[str, Any], task_id: str) -> dict[str, str]:
        url = f"http://127.0.0.1:{self.port}/result/{task_id}.png?Signature=secret-signature&Expires=9999999999"
        return {"orig_prompt": task["prompt"], "actual_prompt": f"Photo: {task['prompt']}", "url": url}

    def _list(self, seen: Seen, path: str) -> Reply:
        model, page, size = seen.query.get("model_name"), int(seen.query["page_no"]), int(seen.query["page_size"])
        entries = [
            {
                "task_id": task_id, "model_name": task["model"], "gmt_create": int(task["created_s"] * 1000),
                "status": task.get("ends", {}).get("task_status", "SUCCEEDED"), "request_id": "req-listed",
            }
            for task_id, task in self.tasks.items()
            if model in (None, task["model"])
        ]  # fmt: skip
        data = entries[(page - 1) * size : page * size]
        return says(200, {"data": data, "total": len(entries), "page_no": page, "request_id": "req-list"})


def _route(method: str, path: str) -> str:
    if method == "POST" and path.startswith("/services/"):
        return "sync" if "multimodal" in path else "create"
    if path.endswith("/cancel"):
        return "cancel"
    if path.rstrip("/") == "/tasks":
        return "list"
    if path.startswith("/tasks/"):
        return "task"
    return "result" if path.startswith("/result/") else "other"


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    line, *lines = head.rstrip().split("\r\n")
    method, target, _ = line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    return Seen(method, parts.path, {k: v[0] for k, v in parse_qs(parts.query).items()}, headers, body)


async def _write(writer: asyncio.StreamWriter, reply: Reply, ahead_s: float, closing: asyncio.Event) -> None:
    if reply.fault == "drop":
        return
    if reply.fault == "hang":
        await closing.wait()
        return
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + ahead_s))
    headers = {"Content-Length": str(len(reply.body)), "Connection": "close", "Date": date, **reply.headers}
    lines = [f"HTTP/1.1 {reply.status} X", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    if reply.fault.startswith("drip"):
        if reply.fault == "drip-head":
            writer.write(b"HTTP/1.1 200 X\r\nX-Slow: ")
        else:
            writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 1000000\r\n\r\n")
        while not closing.is_set():  # or until the client has closed the connection
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)
    body = reply.body[: len(reply.body) // 2] if reply.fault == "cut" else reply.body
    writer.write(body if reply.fault == "raw" else "\r\n".join(lines).encode("latin-1") + body)
    await writer.drain()


class Journal:
    """A journal in memory. `log` holds the records in order, `delays` each error with the wait after it."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []
        self.delays: list[tuple[ProviderError, float]] = []
        self.emulated_by = ""  # as the provider told when a request was accepted

    async def intend(self, context: Mapping[str, Any]) -> None:
        self.log.append(("intend", json.loads(json.dumps(context))))

    async def accepted(self, handle: str, *, emulated_by: str = "") -> None:
        self.log.append(("accepted", handle))
        self.emulated_by = emulated_by

    async def refused(self) -> None:
        self.log.append(("refused", None))

    def delayed(self, error: ProviderError, wait_s: float) -> None:
        self.delays.append((error, wait_s))

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.log]

    @property
    def handle(self) -> str:
        """The handle of the last submission; empty if it was lost or refused."""
        kind, value = self.log[-1]
        return value if kind == "accepted" else ""

    def submission(self, request: Request, number: int = 1, **changes: Any) -> Submission:
        """Return the submission that a later build would find after a crash at this point."""
        context = next(value for kind, value in reversed(self.log) if kind == "intend")
        fields: dict[str, Any] = {
            "id": number, "key": request.key, "request": request, "provider": "dashscope", "handle": self.handle,
            "context": context, "intended_at_s": time.time(),
        }  # fmt: skip
        return Submission(**{**fields, **changes})


def attempt(interface: str, *replies: Reply, request: Request | None = None, **table: Any) -> tuple[Any, ...]:
    """Render one request; `replies` answer its submits. Return the image or the error, the journal and the server."""

    async def main() -> tuple[Any, ...]:
        journal = Journal()
        async with Scripted() as server:
            server.script["create" if interface == "async" else "sync"].extend(replies)
            provider = server.provider(interface=interface, **table)
            async with provider.session():
                try:
                    outcome: Any = await provider.render(request or request_of(), journal)
                except ProviderError as error:
                    outcome = error
        return outcome, journal, server

    return asyncio.run(main())
