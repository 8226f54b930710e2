"""The transport: the four calls with which a remote cache reads and writes bytes by name."""

from __future__ import annotations

from typing import Final, Protocol

# A build can do without the remote, so a remote that does not answer is given up soon.
CONNECT_S: Final = 2.0  # until a connection stands
SILENCE_S: Final = 5.0  # between two pieces of an answer
TRANSFER_S: Final = 120.0  # for a whole request


class Transport(Protocol):
    """Stores bytes by name: `ac/<64 hex>` or `cas/<64 hex>`. Every method may raise RemoteError."""

    async def get(self, path: str, limit: int) -> bytes | None:
        """Return the bytes of a name, None if it does not exist. More than `limit` bytes are an error."""

    async def has(self, path: str) -> bool:
        """Return whether the name exists."""

    async def put(self, path: str, content: bytes) -> None:
        """Store bytes under a name, and replace what it held."""

    async def aclose(self) -> None:
        """Close all connections."""
