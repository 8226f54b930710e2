"""What turns a request into image bytes: one small protocol; others' are found as entry points `qwenbuild.providers`.

An entry point names a callable that takes `Settings` and returns a `Provider`. A provider holds
no state of the project: what must survive a crash goes through the `Journal` that it is given.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from qwenbuild.errors import ProviderError, UsageError
from qwenbuild.problems import did_you_mean, listing

from .catalogue import Catalogue
from .finding import Finding
from .request import Request, Submission


@dataclass(frozen=True, slots=True)
class Settings:
    """What a provider is made from.

    `table` is the project's `[providers.NAME]`, with command-line choices (`region`,
    `interface`) laid over it; `environ` the environment; `jobs` how many requests may be
    rendered at once (None: the provider's own choice).
    """

    table: Mapping[str, Any]
    catalogue: Catalogue
    environ: Mapping[str, str] = field(repr=False)  # holds secrets
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """An amount of money; `currency` is an ISO 4217 code."""

    amount: Decimal
    currency: str = "CNY"


@dataclass(frozen=True, slots=True)
class Rendered:
    """An image as it came: PNG bytes, and the JSON-ready facts that its provenance records.

    A provider whose renders are deterministic puts nothing into `facts` that is not (no times).
    `verified` says that the provider has decoded the bytes, or encoded them itself; else the
    builder does it.
    """

    png: bytes = field(repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)
    verified: bool = False


class Detached(Exception):
    """Raised by `Journal.accepted` when the build only submits: the image is collected by a later build."""


class Stopped(Exception):
    """Raised by `Journal.intend` once the build takes up nothing more: the request must not be sent."""


class Journal(Protocol):
    """One request's way to durable memory; every call has reached the disk when it returns."""

    async def intend(self, context: Mapping[str, Any]) -> None:
        """Record that the request is about to be sent. Must come before anything that may be billed.

        `context` is JSON-ready and holds no secret; it comes back as `Submission.context`. Raises
        Stopped, to be let through, where the build was stopped meanwhile.
        """

    async def accepted(self, handle: str) -> None:
        """Record by which handle (a task's id, a result's address) `Resumable.collect` can fetch the image.

        Must come before the first poll or download. Raises Detached, to be let through, where
        the build does not wait.
        """

    async def refused(self) -> None:
        """Record that the service did not take the request: nothing was billed, it may be sent again."""


class Provider(Protocol):
    """Renders requests. Entered before the first render and left after the last.

    `name` is the entry point's; `family` goes into every action key: it changes whenever the
    same request would give other pixels. `labelled` providers draw `Request.label`.
    `concurrency` is how many renders may be under way at once.
    """

    name: str
    family: str
    labelled: bool
    concurrency: int

    def check(self, model: str) -> str | None:
        """Return why this provider can't render with a model, or None; called while planning, so no I/O."""

    def price(self, model: str) -> Price | None:
        """Return what an image of a model costs, or None where it is free."""

    def shortest_s(self, renders: Mapping[str, int]) -> float:
        """Return the shortest time in seconds that so many renders, by model, take under the provider's limits."""

    def session(self) -> AbstractAsyncContextManager[Any]:
        """Return the context in which renders run: connections, worker pools. Raises ProviderError on entry."""

    async def render(self, request: Request, journal: Journal) -> Rendered:
        """Return the image; raises ProviderError. Cancelling it abandons the render.

        A build that stops cancels renders that have nothing open in their journal.
        """


@runtime_checkable
class Resumable(Protocol):
    """A provider whose accepted requests live on at a service, and can be collected by a later build."""

    async def collect(self, submission: Submission, journal: Journal) -> Rendered:
        """Wait for an accepted task and return its image; raises ProviderError. Never submits.

        AnswerLost means that the handle leads nowhere any more: from then on the submission is as
        one without a handle. After `Journal.refused` it was not billed; after any other error it
        can be collected later.
        """

    async def reconcile(self, submissions: Sequence[Submission], known: Iterable[Submission] = ()) -> Mapping[int, str]:
        """Return handles, by `Submission.id`, of those whose lost answer could be matched for certain.

        `known` are the provider's other submissions of the last two days that were not refused,
        settled ones with their handles included: what is theirs can't be another's.
        """


@runtime_checkable
class Diagnosable(Protocol):
    """Optional: a provider that can examine what it needs from the user's machine, for `qwenbuild doctor`."""

    async def diagnose(self, project_provider: str | None) -> Sequence[Finding]:
        """Return what is right and wrong: accounts, keys, fonts. Changes nothing and costs nothing.

        `project_provider` is the name of the provider that the project renders with, None outside of a
        project. A problem must not be FAIL if it concerns only renders with another provider. Called
        outside of `session`. Takes at most some seconds.
        """


def reject_unknown(table: Mapping[str, Any], known: Sequence[str], name: str) -> None:
    """Raise UsageError for keys of `[providers.name]` that the provider has not."""
    for key in table:
        if key not in known:
            raise UsageError(
                f'unknown key "{key}" in [providers.{name}]',
                facts=[f"value: {json.dumps(table[key], default=str)}", f"known: {listing(known) or 'none'}"],
                hint=did_you_mean(key, known),
            )


def broken(name: str, error: Exception) -> ProviderError:
    """Return the error that stands for `error`, an exception that the provider `name` ought not to raise."""
    told = "".join(traceback.format_exception_only(error)).strip()
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return ProviderError(
        f'the provider "{name}" broke: {told}',
        facts=[f"at {frame.f_code.co_filename}:{line}"],
        hint="this is a mistake in the provider, not in the project",
    )
