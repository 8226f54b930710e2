"""Servers of open weights on loopback: each speaks its dialect with its quirks, and the test may script answers.

A request is checked by the server's own request model (see `server_schemas`): a field that the server does not know,
or of another type, is answered with 422. The images are plain; their colour follows from prompt, seed and steps.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

from qwenbuild.catalogue import builtin
from qwenbuild.errors import ProviderError, QwenbuildError
from qwenbuild.problems import Problem
from qwenbuild.provider import Rendered, Settings
from qwenbuild.providers.images.provider import ImagesProvider
from qwenbuild.request import Request, Size

from .scripted import Journal
from .server_schemas import faults, recorded

MODEL = "Qwen/Qwen-Image"


@dataclass(frozen=True)
class Reply:
    """A scripted answer. With `is_cut`, the connection ends in the middle of the body. `after_s` is a delay."""

    status: int = 200
    body: bytes = b"{}"
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    is_cut: bool = False
    after_s: float = 0.0


def says(status: int, detail: Any, **headers: str) -> Reply:
    """Return an error as FastAPI writes it."""
    return Reply(status, json.dumps({"detail": detail}).encode(), headers=headers)


@dataclass
class ImageServer:
    """A running server. `replies` are answered first, one for each request of an image."""

    dialect: str
    model: str = MODEL
    token: str = ""
    ignores_seed: bool = False
    other_size: tuple[int, int] | None = None
    webp: bool = False
    replies: deque[Reply] = field(default_factory=deque)
    bodies: list[dict[str, Any]] = field(default_factory=list)  # of the requests for images
    paths: list[str] = field(default_factory=list)  # of all requests, with their methods
    tokens: list[str] = field(default_factory=list)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    polls: int = 1  # that a job needs until it is complete
    most_at_once: int = 0
    gate: threading.Event = field(default_factory=threading.Event)  # while it is not set, no image is made
    polled: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    port: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The base URL as people write it."""
        return self.origin if self.dialect == "sdcpp" else f"{self.origin}/v1"

    @property
    def config(self) -> str:
        """A config whose images this server renders."""
        return f'provider = "images"\n[providers.images]\ndialect = "{self.dialect}"\nbase_url = "{self.url}"\n'

    def answer(self, method: str, path: str, body: dict[str, Any], token: str) -> Reply:
        """Return the answer to a request."""
        self.paths.append(f"{method} {path}")
        self.tokens.append(token)
        if self.token and token != f"Bearer {self.token}":
            return says(401, "Not authenticated")
        if path == "/v1/models" and self.dialect != "sdcpp":
            return _json({"object": "list", "data": [{"id": self.model, "object": "model"}]})
        if path == "/version":
            return _json({"version": "1.2.3"})
        if self.dialect == "sdcpp":
            return self._sdcpp(method, path, body)
        if path == "/v1/images/generations":
            return self._image(body)
        return says(404, "Not Found")

    def _image(self, body: dict[str, Any]) -> Reply:
        with self._lock:
            self.bodies.append(body)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        self.arrived.release()
        self.gate.wait(20)
        try:
            return self.replies.popleft() if self.replies else self._made(body)
        finally:
            with self._lock:
                self._at_once -= 1

    def _made(self, body: dict[str, Any]) -> Reply:
        wrong = list(faults(recorded(self.dialect), body))
        if self.dialect in ("vllm-omni", "sglang") and "x" not in body.get("size", ""):
            wrong.append("size: must be in format 'WIDTHxHEIGHT'")
        if wrong:
            loc = [{"loc": ["body", it.partition(":")[0]], "msg": it.partition(": ")[2]} for it in wrong]
            return says(422, loc)
        kwargs = json.loads(body.get("kwargs") or "{}")
        seed = {"xinference": kwargs.get("seed", "random"), "sglang": body.get("seed", 42)}.get(
            self.dialect, body.get("seed", "random")
        )
        if self.dialect == "vllm-omni" and body["model"] != self.model:
            said = f"Model mismatch: request specifies '{body['model']}' but server is running '{self.model}'."
            return says(400, said)
        if self.dialect == "xinference" and body["model"] != self.model:
            return says(404, f"Model not found in the model list, uid: {body['model']}")
        if body.get("response_format", "url") != "b64_json":
            return _json({"created": 1, "data": [{"url": "/image.png", "b64_json": None}]})
        separator = "*" if "*" in body["size"] else "x"
        size = tuple(map(int, body["size"].split(separator)))
        kind = "JPEG" if self.dialect == "xinference" else "PNG"
        text = self.drawn(size, kind, body["prompt"], seed, body.get("num_inference_steps"))
        return _json({"created": 1, "data": [{"b64_json": text, "url": None, "revised_prompt": None}]})

    def drawn(self, size: tuple[int, ...], kind: str, *of: Any) -> str:
        """Return an image in base64; its colour follows from the rest."""
        if self.ignores_seed:
            of = (of[0],)
        colour = tuple(sha256(repr(of).encode()).digest()[:3])
        buffer = io.BytesIO()
        wanted = self.other_size or (size[0], size[1])
        Image.new("RGB", wanted, colour).save(buffer, "WEBP" if self.webp else kind)
        return base64.b64encode(buffer.getvalue()).decode()

    # --- stable-diffusion.cpp ---

    def _sdcpp(self, method: str, path: str, body: dict[str, Any]) -> Reply:
        match path.strip("/").split("/"):
            case ["sdcpp", "v1", "capabilities"]:
                return _json({"model": {"name": f"{self.model}.gguf", "stem": self.model}, "samplers": []})
            case ["sdcpp", "v1", "img_gen"]:
                return self._queued(body)
            case ["sdcpp", "v1", "jobs", name, "cancel"]:
                self.jobs[name]["status"] = "cancelled"
                return _json(self.jobs[name])
            case ["sdcpp", "v1", "jobs", name]:
                return self._job(name)
        return Reply(404, b"File Not Found", "text/plain")

    def _queued(self, body: dict[str, Any]) -> Reply:
        self.bodies.append(body)
        self.arrived.release()
        if self.replies:
            return self.replies.popleft()
        if wrong := list(faults(recorded("sdcpp"), body)):
            return Reply(400, json.dumps({"error": "invalid generation parameters", "message": wrong[0]}).encode())
        name = f"job_{len(self.bodies) - 1}"
        self.jobs[name] = {"id": name, "kind": "img_gen", "status": "queued", "result": None, "error": None, "polls": 0}
        return _json({"id": name, "status": "queued", "poll_url": f"/sdcpp/v1/jobs/{name}"}, 202)

    def _job(self, name: str) -> Reply:
        job = self.jobs.get(name)
        if job is None:
            return Reply(410, b'{"error":"job expired"}')
        job["polls"] += 1
        self.polled.set()
        if job["status"] == "queued" and job["polls"] >= self.polls and self.gate.is_set():
            body = self.bodies[int(name.removeprefix("job_"))]
            text = self.drawn((body["width"], body["height"]), "PNG", body["prompt"], body["seed"])
            job |= {
                "status": "completed",
                "result": {"output_format": "png", "images": [{"index": 0, "b64_json": text}]},
            }
        return _json(job)


def _json(body: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(body).encode())


@contextmanager
def serving(dialect: str = "vllm-omni", **quirks: Any) -> Iterator[ImageServer]:
    """Yield a running server of a dialect; `quirks` are fields of `ImageServer`."""
    server = ImageServer(dialect, **quirks)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            content = self.rfile.read(length)
            body = json.loads(content) if content else {}
            reply = server.answer(self.command, self.path, body, self.headers.get("Authorization", ""))
            time.sleep(reply.after_s)
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.is_cut else reply.body)
            self.close_connection = self.close_connection or reply.is_cut

        do_GET = _answer  # noqa: N815 - the base class names them
        do_POST = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Stay silent."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:  # the client has left
                self.close_connection = True

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        server.port = http.server_address[1]
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.gate.set()
            http.shutdown()
            thread.join()


# --- the provider, in this process ---


def made(*servers: ImageServer, environ: Mapping[str, str] = {}, **table: Any) -> ImagesProvider:
    """Return the provider of these servers."""
    urls = [server.url for server in servers]
    stated = {"dialect": servers[0].dialect, "base_url": urls if len(urls) > 1 else urls[0]} if servers else {}
    return ImagesProvider(Settings({**stated, **table}, builtin(), environ))


def wanted(prompt: str = "a red ball", **fields: Any) -> Request:
    """Return a request."""
    size = Size(*fields.pop("size", (64, 32)))
    known = {"negative_prompt": "", "seed": 7, "prompt_extend": False, "watermark": False, **fields}
    return Request(**{"family": "images-vllm-omni", "model": MODEL, "prompt": prompt, "size": size, **known})


def rendered(provider: ImagesProvider, *requests: Request) -> list[Rendered | ProviderError]:
    """Render requests one after another in one session; an error takes the place of its image."""

    async def each() -> list[Rendered | ProviderError]:
        found: list[Rendered | ProviderError] = []
        async with provider.session():
            for request in requests:
                try:
                    found.append(await provider.render(request, Journal()))
                except ProviderError as error:
                    found.append(error)
        return found

    return asyncio.run(each())


def told(error: QwenbuildError | Problem) -> str:
    """Return the claim, the facts and the hint of an error, each on a line."""
    return "\n  ".join([error.claim, *error.facts, *([error.hint] if error.hint else [])])


def failed(provider: ImagesProvider, request: Request | None = None) -> str:
    """Return the text of the error of a render."""
    [error] = rendered(provider, request or wanted())
    assert isinstance(error, ProviderError)
    return told(error)
