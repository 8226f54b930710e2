"""A service of fixed latency in its own process: the synchronous interface of Qwen-Image, and downloads.

    python -m tests.benchmarks.service LATENCY_S IMAGE_BYTES

Prints its base URL, then serves until standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen

from .measure import REPOSITORY, python

WIDTH = HEIGHT = 1328


def png(size_bytes: int) -> bytes:
    """Return a PNG image of 1328x1328 pixels and about `size_bytes` bytes: some rows of noise, the others black."""
    row = 1 + 3 * WIDTH
    noisy = min(HEIGHT, size_bytes // row)
    pixels = b"".join(b"\0" + os.urandom(row - 1) for _ in range(noisy)) + bytes(row * (HEIGHT - noisy))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels, 1)), (b"IEND", b""))
    packed = (struct.pack(">I", len(it)) + kind + it + struct.pack(">I", zlib.crc32(kind + it)) for kind, it in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


class Service:
    """Serves on loopback, and keeps connections open."""

    def __init__(self, latency_s: float, image: bytes) -> None:
        self._latency_s, self._image, self._served = latency_s, image, 0
        self._base = ""

    async def run(self) -> None:
        """Serve until standard input ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self._base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        sys.stdout.write(f"{self._base}/api/v1\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if head.startswith(b"post"):
                    length = head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
                    await reader.readexactly(int(length))
                    await asyncio.sleep(self._latency_s)
                    self._answer(writer, "application/json", self._made())
                else:
                    self._answer(writer, "image/png", self._image)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    def _made(self) -> bytes:
        self._served += 1
        content = [{"image": f"{self._base}/result/{self._served}.png"}]
        message = {"role": "assistant", "content": content}
        output = {"choices": [{"finish_reason": "stop", "message": message}],
                  "task_metric": {"TOTAL": 1, "SUCCEEDED": 1, "FAILED": 0}}  # fmt: skip
        usage = {"width": WIDTH, "height": HEIGHT, "image_count": 1}
        return json.dumps({"output": output, "usage": usage, "request_id": f"r-{self._served}"}).encode()

    def _answer(self, writer: asyncio.StreamWriter, kind: str, body: bytes) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        writer.write(body)


@contextmanager
def running(latency_s: float, image_bytes: int) -> Iterator[str]:
    """Run the service in its own process while the context lasts; yields its base URL."""
    command = python("-m", "tests.benchmarks.service", str(latency_s), str(image_bytes))
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout and process.stdin
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(Service(float(sys.argv[1]), png(int(sys.argv[2]))).run())
