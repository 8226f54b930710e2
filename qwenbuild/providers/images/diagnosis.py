"""Diagnosis: what `doctor` says about the servers: whether they answer, and serve the models of the project."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

from qwenbuild.errors import QwenbuildError
from qwenbuild.finding import Finding, Level
from qwenbuild.problems import listing

from .servers import Server, Servers

_PATIENCE_S: Final = 10.0


async def diagnose(servers: Servers, models: Collection[str], level: Level) -> Sequence[Finding]:
    """Return a finding for each server. `models` are those that the project asks for; problems have the `level`."""
    return await asyncio.gather(*(_examined(server, models, level) for server in servers.every))


async def _examined(server: Server, models: Collection[str], level: Level) -> Finding:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            served = await server.models()
    except TimeoutError:
        return Finding("server", level, f"{server.origin} did not answer within {_PATIENCE_S:g} s", name="unreachable")
    except QwenbuildError as error:
        return Finding.of_error("server", error, level)
    if not served:
        return Finding("server", Level.OK, f"{server.origin} answers; it does not say which models it serves")
    if lacking := [model for model in models if model not in served]:
        facts = (f"it serves: {listing(served)}",)
        hint = f'write model = "{served[0]}", or start the server with the other model'
        claim = f"{server.origin} does not serve {listing(lacking)}"
        return Finding("server", level, claim, facts, hint, name="model-not-offered")
    return Finding("server", Level.OK, f"{server.origin} answers, and serves {listing(models or served)}")
