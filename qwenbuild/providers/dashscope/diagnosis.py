"""Diagnosis: the checks of `doctor` for the API key, the service and this machine's clock.

Invariants: nothing is changed and nothing is billed: the service is asked for one page of the account's
task list. No finding holds the key.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Final

from qwenbuild.errors import ProviderError, QwenbuildError, Unreachable
from qwenbuild.finding import Finding, Level

from . import wire
from .client import Client
from .credentials import ApiKey, find_key
from .endpoint import Endpoint
from .error_codes import KEYS_URL, PLAN_KEY

_PATIENCE_S: Final = 15.0  # longest wait for the service
_MOST_SKEW_S: Final = 60.0  # a larger difference of the clocks gets a warning


async def diagnose(
    name: str, endpoint: Endpoint, environ: Mapping[str, str], project_provider: str | None
) -> Sequence[Finding]:
    """Return findings about the key, the service's answer to the key, and the clock.

    `name` is the name of the dashscope provider. `project_provider` is the name of the provider that
    the project renders with, None outside of a project. A problem has the level FAIL only if the project renders here.
    """
    level = Level.FAIL if project_provider == name else Level.WARN
    try:
        key = find_key(environ)
    except ProviderError as error:
        if project_provider in (None, name):
            return [Finding.of_error("key", error, level)]
        return [Finding("key", Level.OK, f"none; the provider {project_provider} needs none")]
    return [_key(key), *await _service(endpoint, key, level)]


def _key(key: ApiKey) -> Finding:
    if not key.reveal().startswith("sk-"):
        claim = f"the key from {key.origin} does not begin with sk-, as API keys do"
        return Finding(
            "key", Level.WARN, claim, hint="copy the API key, not the account's AccessKey", name="malformed-api-key"
        )
    if key.is_plan:
        return Finding(
            "key", Level.WARN, f"{PLAN_KEY} (from {key.origin})", hint=f"other keys: {KEYS_URL}", name="plan-key"
        )
    if os.name == "posix" and os.path.isfile(key.origin) and os.stat(key.origin).st_mode & 0o077:
        claim = f"other users of this machine may read {key.origin}"
        return Finding("key", Level.WARN, claim, hint=f"chmod 600 {key.origin}", name="key-readable-by-others")
    return Finding("key", Level.OK, f"from {key.origin}")


async def _service(endpoint: Endpoint, key: ApiKey, level: Level) -> Sequence[Finding]:
    """Ask the service for one task. A refusal has the level `level`; no answer is a warning."""
    try:
        async with asyncio.timeout(_PATIENCE_S), Client(endpoint, key, _PATIENCE_S) as client:
            answer = await client.ask("GET", wire.LIST_PATH, wire.list_query(1, 1))
    except TimeoutError:
        return [
            Finding(
                "service",
                Level.WARN,
                f"{endpoint.host} did not answer within {_PATIENCE_S:g} s",
                name="unreachable",
            )
        ]
    except QwenbuildError as error:
        is_offline = isinstance(error, Unreachable) and error.code != "TLS"
        return [Finding.of_error("service", error, Level.WARN if is_offline else level)]
    host = f"{endpoint.host}, an emulator," if answer.is_emulated else endpoint.host
    accepted = Finding("service", Level.OK, f"{host} accepts the key; region {endpoint.region}")
    return [accepted] if answer.ahead_s is None else [accepted, _clock(answer.ahead_s)]


def _clock(ahead_s: float) -> Finding:
    """Judge this machine's clock; the service's clock is `ahead_s` seconds ahead.

    A wrong clock breaks TLS certificates and the search for lost tasks, which compares times.
    """
    if abs(ahead_s) <= _MOST_SKEW_S:
        return Finding("clock", Level.OK, "agrees with the service's clock")
    way = "behind" if ahead_s > 0 else "ahead of"
    hint = "let the network set the clock: timedatectl set-ntp true"
    return Finding("clock", Level.WARN, f"is {abs(ahead_s):,.0f} s {way} the service's", hint=hint, name="wrong-clock")
