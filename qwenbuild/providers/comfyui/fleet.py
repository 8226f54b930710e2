"""The fleet: the servers of one session. Each image goes to the least busy one; one that is silent is left out.

Each server has its own memory of runs. So all are asked for a run before one of them queues it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from operator import methodcaller
from typing import Any, Final

from qwenbuild.errors import BadImage, ProviderError, ServiceFault, Unreachable

from .answers import Interrupted, NotPng
from .client import Gone
from .runs import Job, Made, Runs, is_superseded, run_id

_MOST_RUNS: Final = 1000  # of one action key, of which all but the last failed or were forced
_LEFT_OUT_S: Final = 60.0  # how long a silent server is left out
_SHORT_S: Final = 2.0  # how long a silent server is waited for, if there are others
_SILENT: Final = (Unreachable, ServiceFault)


class Fleet:
    """The servers of a session, at least one."""

    def __init__(self, servers: Sequence[Runs], clock: Callable[[], float] = time.monotonic) -> None:
        self._servers, self._clock = servers, clock
        self._out_until_s: dict[Runs, float] = {}
        self._facts: dict[Runs, Mapping[str, str]] = {}

    async def greet(self) -> None:
        """Ask each server what it is. Raises ProviderError if none answers, or if one is no ComfyUI."""
        await self._ask_all(self._greeted, self._servers)

    async def _greeted(self, server: Runs) -> None:
        self._facts[server] = facts_of(await server.client.get("/system_stats"))

    def facts(self, server: Runs) -> Mapping[str, str]:
        """Return what the provenance says about a server: where it is, its version and its device."""
        return {"server": server.client.address.origin, **self._facts.get(server, {})}

    async def make(self, job: Job) -> tuple[Made, Runs]:
        """Return the image of a job, and the server that made it. Raises ProviderError."""
        number = 0
        while number < _MOST_RUNS:
            run = run_id(job.key, number)
            look_up = methodcaller("look_up", run, job.tell, _SHORT_S if len(self._servers) > 1 else math.inf)
            seen = await self._ask_all(look_up, self._present)
            known = {it: where for it, where in seen.items() if where.place}
            useful = next((it for it, where in known.items() if not is_superseded(where, job)), None)
            if known and not useful:
                number += 1
                continue
            server = useful or min(seen, key=lambda it: it.busy)
            try:
                return await server.make(job, run, seen[server]), server
            except (Gone, BadImage) as error:  # the file of an earlier run was removed or damaged: it is run again
                if seen[server].place != "ended" or isinstance(error, NotPng):
                    raise
                number += 1
            except Interrupted:
                if not seen[server].place:
                    raise
                number += 1  # whoever queued the run has taken it back
            except _SILENT:
                if len(self._leave_out(server)) == 0:
                    raise
        raise ServiceFault(
            f"ComfyUI failed at this image {_MOST_RUNS:,} times", hint="its own log says more", name="run-failed"
        )

    @property
    def _present(self) -> Sequence[Runs]:
        """The servers that are not left out; if all are, all."""
        now_s = self._clock()
        return [it for it in self._servers if self._out_until_s.get(it, 0.0) <= now_s] or self._servers

    def _leave_out(self, server: Runs) -> Sequence[Runs]:
        """Leave a silent server out for a while; return the others that are present."""
        self._out_until_s[server] = self._clock() + _LEFT_OUT_S
        now_s = self._clock()
        return [it for it in self._servers if self._out_until_s.get(it, 0.0) <= now_s]

    async def _ask_all(self, ask: Callable[[Runs], Any], servers: Sequence[Runs]) -> dict[Runs, Any]:
        """Return the answers of the servers that answer, at least one; the silent ones are left out.

        Raises the ProviderError of a server if it is no silence, or if all are silent.
        """
        answers = await asyncio.gather(*map(ask, servers), return_exceptions=True)
        found: dict[Runs, Any] = {}
        silent: list[ProviderError] = []
        for server, answer in zip(servers, answers, strict=True):
            if isinstance(answer, _SILENT):
                self._leave_out(server)
                silent.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found[server] = answer
        if not found:
            raise silent[0]
        return found


def facts_of(stats: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the version and the device in an answer of `/system_stats`, as far as it has them."""
    system, devices = stats.get("system"), stats.get("devices")
    version = system.get("comfyui_version") if isinstance(system, dict) else None
    device = devices[0].get("name") if isinstance(devices, list) and devices and isinstance(devices[0], dict) else None
    return {name: said[:100] for name, said in (("comfyui", version), ("device", device)) if isinstance(said, str)}
