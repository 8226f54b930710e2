"""One HTTP call to the emulator: what the client sent, and how the call was answered.

Invariant: an exchange never holds an API key. The Authorization header is masked before it is stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from .wire_format import china_time


@dataclass(slots=True, eq=False)
class Exchange:
    """A call and its outcome.

    `operation` is one of `faults.OPERATIONS`. `body` is the parsed JSON, or the start of the text if
    it is not JSON. `at_s` is in seconds since the epoch. `fault` is the notation of the fault that
    hit the call, `status` the HTTP status of the answer (0 until there is one). `answered` is True
    once an unspoilt answer was handed to the network.
    """

    operation: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Any
    at_s: float
    fault: str = ""
    status: int = 0
    answered: bool = False

    @classmethod
    def of(cls, request: Request, operation: str, content: bytes, at_s: float) -> Exchange:
        """Return the exchange for a request whose body, `content`, was read at `at_s`."""
        headers = dict(request.headers)
        if "authorization" in headers:
            scheme, space, _ = headers["authorization"].partition(" ")
            headers["authorization"] = f"{scheme} ***" if space else "***"
        try:
            body = json.loads(content) if content else None
        except (ValueError, RecursionError):
            body = content[:1000].decode("utf-8", "replace")
        path = request.scope["raw_path"].decode("ascii", "replace")
        return cls(operation, request.method, path, request.url.query, headers, body, at_s)

    def as_json(self) -> dict[str, Any]:
        return {
            "at": china_time(self.at_s), "operation": self.operation, "method": self.method, "path": self.path,
            "query": self.query, "headers": dict(self.headers), "body": self.body,
            "fault": self.fault, "status": self.status, "answered": self.answered,
        }  # fmt: skip
