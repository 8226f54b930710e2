"""The client: asks one server of ComfyUI a question, and says whether what answers is a ComfyUI at all.

Nothing that is sent here costs money, so every request may be sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from qwenbuild.errors import ProviderError, Refused, ServiceFault

from ..addresses import Address
from ..server_client import Answer, ServerClient

_ANSWER_S: Final = 60.0  # while a model is loaded, ComfyUI answers late
_DOWNLOAD_S: Final = 300.0
_MAX_JSON_BYTES: Final = 64 * 2**20  # a long queue, with all its workflows; the list of all nodes
_MAX_IMAGE_BYTES: Final = 64 * 2**20
_HINT: Final = "is ComfyUI running there? base_url under [providers.comfyui] names its address"


class NotComfyUI(ProviderError):
    """What answers at the address is no ComfyUI."""

    name = "not-comfyui"
    stops_run = True


class Gone(Refused):
    """The server does not have what was asked for (status 404)."""

    name = "run-failed"


class Client(ServerClient):
    """Connections to one ComfyUI; an async context manager."""

    def __init__(self, address: Address) -> None:
        super().__init__(address, hint=_HINT)

    async def get(self, path: str) -> dict[str, Any]:
        """Return the JSON table at `path`. Raises ProviderError."""
        answer = await self._sent("GET", path)
        if answer.status != 200 or not isinstance(answer.body, dict):
            raise self.stranger(answer)
        return answer.body

    async def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Send JSON, and return the answer, also one that refuses. Raises ProviderError."""
        return await self._sent("POST", path, body)

    async def image(self, query: Mapping[str, str]) -> bytes:
        """Return the file that a query of `/view` names. Raises Gone if the server has it no more, ProviderError."""
        answer = await self._sent("GET", f"/view?{urlencode(query)}", whole_s=_DOWNLOAD_S, most_bytes=_MAX_IMAGE_BYTES)
        if answer.status == 404:
            raise Gone(f"{self.address.origin} does not have the image any more")
        if answer.status != 200:
            raise self.stranger(answer)
        return answer.content

    async def _sent(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, whole_s: float = _ANSWER_S,
        most_bytes: int = _MAX_JSON_BYTES,
    ) -> Answer:  # fmt: skip
        """Send a request. Raises ProviderError if no answer came, or if the server can't work now."""
        answer = await self.send(method, self.address.url + path, body, whole_s=whole_s, most_bytes=most_bytes)
        if answer.status >= 500 or answer.status == 429:
            raise ServiceFault(f"ComfyUI at {self.address.origin} failed", facts=_facts(answer))
        return answer

    def stranger(self, answer: Answer) -> NotComfyUI:
        """Return the error that an answer is not one of ComfyUI."""
        return NotComfyUI(f"what answers at {self.address.origin} is no ComfyUI", facts=_facts(answer), hint=_HINT)


def _facts(answer: Answer) -> list[str]:
    return [f"status {answer.status}", *([f"it says: {answer.excerpt}"] if answer.excerpt else [])]
