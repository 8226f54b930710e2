"""What an injected fault does to a call, to an answer, or to an image.

Invariant: a "before" fault acts before the service sees the call. An "after" fault acts once the
service has carried out the call, so only the answer differs.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from qwenbuild.request import Request as ImageRequest
from qwenbuild.request import Size

from .faults import Fault
from .responses import Connection, Drop, Hang, answer, oss_refused, refused
from .vendor_errors import Refusal
from .wire_format import encode, new_id

RESULTS_PATH = "/results/"
"""The path under which images are downloaded."""

DAMAGING = ("truncated", "corrupt", "wrong-size")
"""The kinds that send a wrong image as if it were right."""

PROXY_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n"
    b"<body><center><h1>502 Bad Gateway</h1></center><hr><center>proxy</center></body></html>\n"
)
"""The page that a proxy sends instead of the service's answer."""

# The error codes of those kinds that have the code neither as their name nor as their value.
_CODES = {
    "throttle": "Throttling.RateQuota", "500": "InternalError", "503": "ServiceUnavailable",
    "moderation": "DataInspectionFailed", "arrearage": "Arrearage",
}  # fmt: skip


class FaultEffects:
    """Answers calls in place of the service. `closing` is set when the server is about to stop."""

    def __init__(self, connection: Connection, closing: asyncio.Event) -> None:
        self._connection = connection
        self._closing = closing

    async def before(self, fault: Fault, request: Request) -> Response | None:
        """Return the answer of a "before" fault, or None if the service is to answer the call."""
        if fault.moment != "before":
            return None
        download = request.url.path.startswith(RESULTS_PATH)
        match fault.kind:
            case "slow":
                await asyncio.sleep(fault.seconds)
                return None
            case "drop-before":
                return Drop(self._connection, reset=True)
            case "hang-before":
                return Hang(self._connection, self._closing)
            case "html":
                return HTMLResponse(PROXY_PAGE, 200 if download else 502)
            case "redirect":
                return Response(status_code=302, headers={"Location": _other_host(request)})
            case "business-error":
                refusal = Refusal(fault.value)
                return answer({"request_id": new_id(), "code": refusal.code, "message": refusal.message})
        refusal = Refusal(_CODES.get(fault.kind, fault.value))
        if download:
            return oss_refused(refusal, request.url.path)
        return refused(refusal, retry_after=fault.value if fault.kind == "throttle" else "")

    def after(self, fault: Fault, body: dict[str, Any]) -> Response:
        """Return what an "after" fault makes of `body`, the service's answer."""
        match fault.kind:
            case "drop-after" | "close-after":
                return Drop(self._connection, reset=fault.kind == "drop-after")
            case "hang-after":
                return Hang(self._connection, self._closing)
            case "html-after":
                return HTMLResponse(PROXY_PAGE, 502)
            case "timeout":
                return refused(Refusal("RequestTimeOut"))
            case "garbage":
                whole = encode(body)
                return Response(whole[: len(whole) // 2], media_type="application/json")
        return answer({"request_id": body["request_id"]})  # "missing"


def other_size(request: ImageRequest) -> ImageRequest:
    """Return the request with another size: two thirds of the width and the height, at least 8 pixels each."""
    return request._replace(size=Size(max(8, request.size.width * 2 // 3), max(8, request.size.height * 2 // 3)))


def damaged(png: bytes, kind: str) -> bytes:
    """Return the image that a fault of `kind` sends: half of it, or all of it with 64 bytes in its middle inverted."""
    if kind == "truncated":
        return png[: len(png) // 2]
    if kind == "corrupt":
        middle = max(0, len(png) // 2 - 32)
        inverted = bytes(byte ^ 0xFF for byte in png[middle : middle + 64])
        return png[:middle] + inverted + png[middle + 64 :]
    return png


def _other_host(request: Request) -> str:
    """Return the call's URL under another host name, which leads to the same emulator."""
    host = "localhost" if request.url.hostname != "localhost" else "127.0.0.1"
    return str(request.url.replace(hostname=host))
