"""The transport: the four calls with which a remote cache reads and writes bytes by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

# A build works without the remote, so these limits are short.
CONNECT_S: Final = 2.0  # to connect
SILENCE_S: Final = 5.0  # between two parts of an answer
TRANSFER_S: Final = 120.0  # for a whole request that carries an image
ENTRY_S: Final = 15.0  # for a whole request of few bytes: about an action result, or whether a name exists

WHOLE_S: Final[Mapping[str, float]] = MappingProxyType({"ac": ENTRY_S, "cas": TRANSFER_S})
"""The longest time for a whole request, by the kind of the name that is read or written."""


class Transport(Protocol):
    """Stores bytes by name: `ac/<64 hex>` or `cas/<64 hex>`. Every method may raise RemoteError.

    A transport limits the time to connect and the time between two parts of an answer. The remote cache cancels a call
    that takes too long as a whole.
    """

    async def get(self, path: str, limit: int) -> bytes | None:
        """Return the bytes of a name, None if the name does not exist. More than `limit` bytes are an error."""

    async def has(self, path: str) -> bool:
        """Return whether the name exists."""

    async def put(self, path: str, content: bytes) -> None:
        """Store bytes under a name, and replace earlier bytes."""

    async def aclose(self) -> None:
        """Close all connections."""
