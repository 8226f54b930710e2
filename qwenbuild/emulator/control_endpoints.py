"""The endpoints under `/_emulator/` that show and control an emulator, and its page for people.

`GET /` is the page. `/_emulator/bill`, `/_emulator/requests`, `/_emulator/faults` and
`/_emulator/clock` answer in JSON. None of them shows an API key.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from qwenbuild.errors import UsageError

from .emulation import Emulation
from .faults import FaultPlan
from .request_body import json_body
from .responses import answer
from .vendor_errors import Refusal
from .wire_format import API_PATH


def control_routes(emulation: Emulation) -> list[Route]:
    """Return the routes of the control endpoints and of the page."""

    async def bill(request: Request) -> Response:
        """GET: the bill. DELETE: the bill, which is cleared afterwards."""
        shown = emulation.bill()
        if request.method == "DELETE":
            emulation.service.bill.charges.clear()
        return answer(shown)

    async def requests(request: Request) -> Response:
        """GET: the recorded calls, oldest first. DELETE: the same calls, which are forgotten afterwards."""
        calls = [exchange.as_json() for exchange in emulation.calls]
        if request.method == "DELETE":
            emulation.calls.clear()
        return answer({"requests": calls})

    async def faults(request: Request) -> Response:
        """GET: the faults. POST `{"faults": ["throttle:create:2"], "seed": 0}`: replace them. DELETE: remove them."""
        if request.method == "DELETE":
            emulation.faults = FaultPlan()
        elif request.method == "POST":
            try:
                emulation.faults = _fault_plan(json_body(await request.body()))
            except (UsageError, Refusal) as error:
                return answer({"error": str(error)}, 400)
        return answer({"faults": [{"fault": text, "fired": count} for text, count in emulation.faults.fired()]})

    async def clock(request: Request) -> Response:
        """GET: the emulated time. POST `{"advance_s": 90000}`: move the clock by that many seconds."""
        if request.method == "POST":
            try:
                emulation.advance(_seconds(json_body(await request.body())))
            except (UsageError, Refusal) as error:
                return answer({"error": str(error)}, 400)
        return answer({"now_s": emulation.now()})

    async def page(request: Request) -> Response:
        return HTMLResponse(_page(emulation, f"{request.url.scheme}://{request.url.netloc}{API_PATH}"))

    return [
        Route("/_emulator/bill", bill, methods=["GET", "DELETE"]),
        Route("/_emulator/requests", requests, methods=["GET", "DELETE"]),
        Route("/_emulator/faults", faults, methods=["GET", "POST", "DELETE"]),
        Route("/_emulator/clock", clock, methods=["GET", "POST"]),
        Route("/", page),
    ]


def _fault_plan(body: Mapping[str, Any]) -> FaultPlan:
    faults, seed = body.get("faults"), body.get("seed", 0)
    if not isinstance(faults, list) or not all(isinstance(text, str) for text in faults) or type(seed) is not int:
        raise UsageError('send {"faults": ["throttle:create:2"], "seed": 0}', name="not-a-fault")
    return FaultPlan(faults, seed)


def _seconds(body: Mapping[str, Any]) -> float:
    seconds = body.get("advance_s")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not abs(seconds) < 1e9:
        raise UsageError('send {"advance_s": 90000}', name="not-a-fault")
    return float(seconds)


def _page(emulation: Emulation, base_url: str) -> str:
    bill = emulation.bill()
    rows = "".join(
        f"<tr><td>{escape(total['account'])}<td>{escape(total['model'])}<td>{total['count']}<td>{total['amount']}"
        for total in bill["totals"]
    )
    tasks = ", ".join(f"{count} {status}" for status, count in emulation.service.tasks_by_status().items())
    faults = "".join(f"<li><code>{escape(text)}</code> {count} times" for text, count in emulation.faults.fired())
    return f"""<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>A local DashScope</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 50rem; padding: 0 1rem }}
td, th {{ padding-right: 1.5rem; text-align: left }}
</style>
<h1>A local DashScope</h1>
<p>Base URL <code>{escape(base_url)}</code>, region {escape(bill["region"])}.
<h2>Would have billed {bill["amount"]} CNY for {bill["count"]} image{"s" * (bill["count"] != 1)}</h2>
<table><tr><th>account<th>model<th>images<th>CNY{rows}</table>
<h2>Tasks</h2>
<p>{tasks or "none"}
<h2>Faults that fired</h2>
<ul>{faults or "<li>none"}</ul>
<p>As JSON: <a href="/_emulator/bill">bill</a>, <a href="/_emulator/requests">requests</a>
"""
