"""The provider contract: what every provider must do, and what it may do besides.

A provider turns a request into image bytes. Other packages add providers as entry points of the group
`qwenbuild.providers`: callables that take `Settings` and return a `Provider`. A provider keeps no state of the project:
whatever must survive a crash goes through the `Journal`. Its errors are those of `errors`: one without `name=` has the
name of its class, and `qwenbuild explain-error` has an entry for it.

What only some providers can do is asked by the functions of this module and of `own_servers`, and nowhere else: no
other module tests a provider's class or name.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from qwenbuild.errors import ProviderError, UsageError
from qwenbuild.problems import Problem, did_you_mean, listing

from .candidates import Search
from .catalogue import Catalogue
from .finding import Finding
from .request import Request, Size, Submission
from .trust import Item, Trust

OPTIONS: Final = ("region", "interface")
"""Command-line options that set a key of the provider's own table."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a provider is made from.

    `table` is the project's `[providers.NAME]`. An image's own `region` and `interface`, and the command-line options
    of these names, replace its keys: `insisted` are the keys that were replaced. `environ` is the environment, `root`
    the project's folder if there is one. `jobs` is how many requests may be rendered at once (None: the provider
    chooses). The table is a stranger's: before a secret goes to a server that only the table names, `trust` must
    allow it (see `Asking`).
    """

    table: Mapping[str, Any]
    catalogue: Catalogue
    environ: Mapping[str, str] = field(repr=False)  # holds secrets
    jobs: int | None = None
    trust: Trust = field(default_factory=Trust, repr=False)
    insisted: frozenset[str] = frozenset()
    root: Path | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """An amount of money; `currency` is an ISO 4217 code.

    `is_assumed`: nobody knows the price, and this amount is counted in its place. `is_about`: not the service
    states the price, but others do.
    """

    amount: Decimal
    currency: str = "CNY"
    is_assumed: bool = False
    is_about: bool = False

    @property
    def each(self) -> str:
        """The amount as a text: `0.25`, `about 0.25`, or `0.55 assumed, for want of a price`."""
        about, assumed = "about " * self.is_about, " assumed, for want of a price" * self.is_assumed
        return f"{about}{self.amount.normalize():f}{assumed}"

    @staticmethod
    def by_currency(prices: Iterable[Price | None], before: Mapping[str, Decimal] | None = None) -> dict[str, Decimal]:
        """Return the sum of the prices in each currency, added to the amounts `before`. None is free."""
        total = dict(before or {})
        for price in prices:
            if price is not None:
                total[price.currency] = total.get(price.currency, Decimal(0)) + price.amount
        return total


@dataclass(frozen=True, slots=True)
class Rendered:
    """An image as the provider made it: PNG bytes, and JSON-ready facts for its provenance.

    A provider whose renders are deterministic puts only deterministic facts here. `verified`: the provider has decoded
    or encoded the bytes itself; otherwise the builder verifies them. `emulated_by` is the emulator's address, empty for
    an image of the service. The build shows the `warnings`; a provider gives each only once in a session.
    """

    png: bytes = field(repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)
    verified: bool = False
    emulated_by: str = ""
    warnings: Sequence[Problem] = ()


@dataclass(frozen=True, slots=True)
class ServiceTask:
    """A task of the user's account at a service.

    `status` is the service's own word, such as PENDING. `created_at_s` is in seconds since the epoch
    by the service's clock, None if unknown. `handle` equals `Submission.handle` of the submission that
    made the task. `expires_at_s` is when the service forgets the task, None if unknown.
    """

    id: str
    status: str
    model: str = ""
    created_at_s: float | None = None
    handle: str = ""
    expires_at_s: float | None = None


class Detached(Exception):
    """Raised by `Journal.accepted` if the build only submits; a later build collects the image."""


class Stopped(Exception):
    """Raised by `Journal.intend` after the build was stopped: the request must not be sent."""


class Journal(Protocol):
    """Records what happens to one request. Each call returns once its record is on disk."""

    async def intend(self, context: Mapping[str, Any]) -> None:
        """Record that the request is about to be sent. Call it before anything that may be billed.

        `context` is JSON-ready and holds no secret; a later build reads it as `Submission.context`.
        Raises Stopped if the build was stopped meanwhile; the provider lets Stopped pass.
        """

    async def accepted(self, handle: str, *, emulated_by: str = "") -> None:
        """Record the handle (such as a task id or a result's address) that `Resumable.collect` needs.

        `emulated_by` is the address of the emulator that answered, empty if it was no emulator.

        Call it before the first poll or download. Raises Detached if the build does not wait; the
        provider lets Detached pass.
        """

    async def refused(self) -> None:
        """Record that the service refused the request: nothing was billed, and it may be sent again."""

    def delayed(self, error: ProviderError, wait_s: float) -> None:
        """Note that the request, or a question about it, is tried again in `wait_s` seconds, because of `error`.

        Views show it. Calling it is optional; it returns at once. Raises Stopped if the build sends nothing more and no
        request is open: the provider lets Stopped pass.
        """


class Provider(Protocol):
    """Renders requests. The builder enters `session` before the first render and leaves it after the last.

    `name` is the entry point's name. `family` is part of every action key: change it whenever the same request would
    give other pixels. A provider with `labelled` draws `Request.label`. `concurrency` is how many renders may run at
    once. The entry point's callable may have an attribute `command_line_options`: see `options_of`.
    """

    name: str
    family: str
    labelled: bool
    concurrency: int

    def check(self, model: str) -> str | None:
        """Return why this provider can't render with a model, or None. Plans call it: no I/O."""

    def price(self, model: str) -> Price | None:
        """Return what one image of a model costs in its default size, or None if it is free."""

    def shortest_s(self, renders: Mapping[str, int]) -> float:
        """Return the least time in seconds for these renders (a count for each model) under the provider's limits."""

    def session(self) -> AbstractAsyncContextManager[Any]:
        """Return the context in which renders run: connections, worker pools. Raises ProviderError on entry."""

    async def render(self, request: Request, journal: Journal) -> Rendered:
        """Return the image; raises ProviderError. Cancelling the call abandons the render.

        A build that stops cancels each render whose journal has nothing open.
        """


@runtime_checkable
class Resumable(Protocol):
    """A provider whose accepted requests go on at a service, so that a later build can collect them."""

    async def collect(self, submission: Submission, journal: Journal) -> Rendered:
        """Wait for an accepted request and return its image; raises ProviderError. Never submits.

        AnswerLost means that the handle is useless from now on: the submission then counts as one without a handle.
        After `Journal.refused` the request was not billed. After any other error a later build can try again.
        """


@runtime_checkable
class Searchable(Protocol):
    """A provider whose service lists the account's tasks, so that tasks of lost answers may be found there."""

    async def search(
        self, lost: Sequence[Submission], others: Callable[[], Sequence[Submission]], *, patience_s: float = 0.0
    ) -> Mapping[int, Search]:
        """Return what the service's list says about submissions with lost answers, by `Submission.id`.

        Submissions that the list can't know are left out: those of another account, or of another interface.
        `others` returns the provider's submissions of the last two days that were not refused, of all projects. They
        include `lost`, and settled ones with their handles, because their tasks are no candidates. It reads files, and
        is to be called after the list was read. Tasks that have not finished are waited for until `patience_s`.
        Used within `session`. Raises ProviderError.
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


@runtime_checkable
class TaskService(Protocol):
    """A provider whose service lists and cancels the tasks of the user's account; used within `session`."""

    async def list_tasks(self, *, status: str = "") -> Sequence[ServiceTask]:
        """Return the account's recent tasks; with `status`, only the tasks in that status. Raises ProviderError."""

    async def cancel_task(self, task_id: str) -> str:
        """Cancel a task that has not begun; return its handle. Raises Refused for any other task, ProviderError."""


@runtime_checkable
class PricedBySize(Protocol):
    """A provider whose prices depend on the size of the image. The others have one price for each model."""

    def price_of(self, model: str, size: Size) -> Price | None:
        """Return what one image of a model costs in this size, or None if it is free."""


@runtime_checkable
class Asking(Protocol):
    """A provider that would send a secret to a server that only the project names. It is made with `Settings.trust`.

    Its `session` and `diagnose` raise Untrusted if the user has not approved that.
    """

    def asks(self) -> Sequence[Item]:
        """Return what the user must approve before the provider is used. No I/O."""


@runtime_checkable
class Accounted(Protocol):
    """A provider whose requests are paid for by an account at a service."""

    def account(self) -> Mapping[str, str]:
        """Return the present account: `host`, `region`, `interface` and `account`, which differs between API keys.

        `account` does not reveal the key, and is empty if no key is found. Called outside of `session`: no I/O
        beyond reading the key.
        """

    def needs_account(self, handle: str) -> bool:
        """Return whether only the account that made a handle can collect the image by it."""


def price_of(provider: Provider, model: str, size: Size) -> Price | None:
    """Return what one image costs at a provider, or None if it is free."""
    return provider.price_of(model, size) if isinstance(provider, PricedBySize) else provider.price(model)


def asked_by(provider: Provider) -> Sequence[Item]:
    """Return what the user must approve before the provider is used."""
    return provider.asks() if isinstance(provider, Asking) else ()


def accounted(provider: Provider) -> Accounted | None:
    """Return the provider if an account at a service pays for its requests, else None."""
    return provider if isinstance(provider, Accounted) else None


def resumable(provider: Provider) -> Resumable | None:
    """Return the provider if a later build can collect its images, else None."""
    return provider if isinstance(provider, Resumable) else None


def searchable(provider: Provider) -> Searchable | None:
    """Return the provider if its service lists tasks that lost answers may have made, else None."""
    return provider if isinstance(provider, Searchable) else None


def task_service(provider: Provider) -> TaskService | None:
    """Return the provider if its service lists and cancels tasks, else None."""
    return provider if isinstance(provider, TaskService) else None


def diagnosable(provider: Provider) -> Diagnosable | None:
    """Return the provider if it can examine what it needs from the user's machine, else None."""
    return provider if isinstance(provider, Diagnosable) else None


def makes_drafts(provider: Provider) -> bool:
    """Return whether the provider's images are drafts, not the real thing: its attribute `makes_drafts`, else False."""
    return bool(getattr(provider, "makes_drafts", False))


def result_life_s(provider: Provider) -> float | None:
    """Return how long the service keeps a result, in seconds from its request: an attribute of that name, else None."""
    return getattr(provider, "result_life_s", None)


def emulator_address(provider: Provider) -> str:
    """Return the attribute of this name: scheme, host and port of the base URL, empty if the vendor answers there."""
    return str(getattr(provider, "emulator_address", ""))


def options_of(factory: Callable[[Settings], Provider]) -> Sequence[str]:
    """Return which of `OPTIONS` a provider takes: its factory's attribute `command_line_options`, else all."""
    return getattr(factory, "command_line_options", OPTIONS)


def reject_unknown(table: Mapping[str, Any], known: Sequence[str], name: str) -> None:
    """Raise UsageError if `[providers.name]` has a key that is not `known`."""
    for key in table:
        if key not in known:
            raise UsageError(
                f'unknown key "{key}" in [providers.{name}]', name="unknown-key",
                facts=[f"value: {json.dumps(table[key], default=str)}", f"known: {listing(known) or 'none'}"],
                hint=did_you_mean(key, known),
            )  # fmt: skip


def broken(name: str, error: Exception) -> ProviderError:
    """Return a ProviderError that reports an unexpected exception of the provider `name`."""
    claim = "".join(traceback.format_exception_only(error)).strip()
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return ProviderError(
        f'the provider "{name}" broke: {claim}', name="provider-broken",
        facts=[f"at {frame.f_code.co_filename}:{line}"],
        hint="this is a mistake in the provider, not in the project",
    )  # fmt: skip
