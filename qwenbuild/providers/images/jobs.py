"""Jobs: submits one to stable-diffusion.cpp, follows it, and cancels it if nobody waits for it any more.

Source: stable-diffusion.cpp, `examples/server/api.md`, November 2026.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from qwenbuild.errors import ProviderError, Refused, ServiceFault

from .servers import Server

_FIRST_POLL_S: Final = 0.1
_POLL_S: Final = 2.0  # the longest time between two polls
_CANCEL_S: Final = 5.0
_LOST_POLLS: Final = 5  # in a row; a job goes on at the server if a poll gets no answer


async def image(server: Server, body: Mapping[str, Any], model: str, whole_s: float) -> str:
    """Return the image of a new job in base64, within `whole_s` seconds. Raises ProviderError."""
    answer = await server.ask("POST", f"{server.root}/sdcpp/v1/img_gen", body)
    server.reader.check(answer, model)
    name = answer.body.get("id") if isinstance(answer.body, dict) else None
    if not isinstance(name, str) or not name:
        raise server.reader.without_image(answer)
    job = f"{server.root}/sdcpp/v1/jobs/{quote(name, safe='')}"
    try:
        async with asyncio.timeout(whole_s):
            return await _result(server, job, model)
    except TimeoutError:
        await _cancel(server, job)
    except asyncio.CancelledError:  # the user does not want to wait
        await _cancel(server, job)
        raise
    raise ServiceFault(f"{server.origin} did not answer", facts=[f"the job was not complete within {whole_s:g} s"])


async def _result(server: Server, job: str, model: str) -> str:
    wait_s, lost = _FIRST_POLL_S, 0
    while True:
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, _POLL_S)
        try:
            answer = await server.ask("GET", job)
        except ProviderError:
            lost += 1
            if lost >= _LOST_POLLS:
                raise
            continue
        lost = 0
        if answer.status in (404, 410):
            hint = "a server that was started again has no jobs: the image is asked for again"
            raise ServiceFault(f"{server.origin} has forgotten the job", facts=[f"status {answer.status}"], hint=hint)
        server.reader.check(answer, model)
        told = answer.body if isinstance(answer.body, dict) else {}
        match told.get("status"):
            case "completed":
                result = told.get("result")
                images = result.get("images") if isinstance(result, dict) else None
                first = images[0] if isinstance(images, list) and images else None
                text = first.get("b64_json") if isinstance(first, dict) else None
                if not isinstance(text, str):
                    raise server.reader.without_image(answer)
                return text
            case "failed":
                raise ServiceFault(f"{server.origin} failed", facts=[f"it says: {server.reader.said(answer)}"])
            case "cancelled":
                hint = "build again to render it"
                raise Refused(f"the job was cancelled at {server.origin}", hint=hint, name="task-cancelled")


async def _cancel(server: Server, job: str) -> None:
    """Ask the server to cancel a job. A server that does not answer is left alone."""
    with contextlib.suppress(ProviderError):
        await server.ask("POST", f"{job}/cancel", {}, whole_s=_CANCEL_S)
