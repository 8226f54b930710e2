"""Servers of the HTTP cache protocol: one in memory that can fail on purpose, and the real nginx."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

_CONFIG = """\
daemon off;
{user}
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/a; fastcgi_temp_path {folder}/b; uwsgi_temp_path {folder}/c; scgi_temp_path {folder}/d;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      root {folder}/files;
      dav_methods PUT;
      create_full_put_path on;
      client_max_body_size 100m;
    }}
  }}
}}
"""

Fault = Callable[[BaseHTTPRequestHandler, str, bytes], bool]
"""Gets handler, path and stored bytes. Returns True if it answered; False leaves the answer to the server."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that were killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Cache:
    """A cache in memory: `files` by path, `calls` by method, the `headers` of each call, and a `fault`."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.calls: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.fault: Fault | None = None
        self.url = ""
        self.closing = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[Cache]:
        """Serve on loopback while the context lasts."""
        cache = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                cache.calls[self.command] += 1
                cache.headers.append({"method": self.command, "path": self.path, **dict(self.headers)})
                path = self.path.lstrip("/")
                if cache.fault and cache.fault(self, path, cache.files.get(path, b"")):
                    return
                if self.command == "PUT":
                    cache.files[path] = content
                    self.answer(201)
                elif path in cache.files:
                    self.answer(200, cache.files[path])
                else:
                    self.answer(404)

            do_GET = do_PUT = do_HEAD = handle_any  # noqa: N815 - as http.server wants them

            def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        server = _Server(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            self.closing.set()
            server.shutdown()
            thread.join()
            server.server_close()

    def names(self, kind: str) -> list[str]:
        """Return the sorted names of kind `ac` or `cas`."""
        return sorted(path.partition("/")[2] for path in self.files if path.startswith(f"{kind}/"))


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """Run the real nginx with WebDAV on loopback, and yield its address. Its files are in `folder`/files."""
    assert NGINX
    (folder / "files").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_CONFIG.format(folder=folder, port=port, user=user), "utf-8")
    process = subprocess.Popen(
        [NGINX, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, (folder / "error.log").read_text("utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
