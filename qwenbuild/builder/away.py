"""Away: free images that the workers of an executor make, and how their bytes come back.

An order goes out for each image. With a remote cache, the worker looks there first, and stores there what it makes: its
answer is the entry, and this build fetches the bytes. Without one, the bytes come with the answer. Either way they are
verified here before they are stored. An image that has a price is never ordered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from qwenbuild.digest import canonical_json
from qwenbuild.events import Warned
from qwenbuild.executor import Executor, resource_of
from qwenbuild.files.provenance import read_provenance
from qwenbuild.plan.plan import Step, Verdict
from qwenbuild.problems import Problem
from qwenbuild.provider import Rendered
from qwenbuild.request import Request
from qwenbuild.routes import Choice
from qwenbuild.specs.action import Action
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.batches import NewImage
from qwenbuild.storage.belonging import is_image_of
from qwenbuild.storage.remote.cache import MAX_IMAGE_BYTES

from .keep import Verified
from .run import Run

_FETCHED_AT_ONCE = 16  # images whose bytes come from the remote cache at once


@dataclass(frozen=True, slots=True)
class Shared:
    """The settings of the remote cache that workers share with this build: `remote.settings.RemoteSettings`.

    Secrets are not among them: each worker has the environment variables that these settings name.
    """

    url: str | None
    read_only: bool = False
    token_env: str | None = None
    secret_env: str | None = None
    header: Mapping[str, str] = field(default_factory=dict)


class Recipe(NamedTuple):
    """How a worker makes a provider: its name, its settings, and the project's files that it reads, by path."""

    provider: str
    table: Mapping[str, Any]
    files: Mapping[str, bytes]


class Order(NamedTuple):
    """What a worker needs to make one image.

    `request` is `Request.as_dict()`, `key` its action key. `facts` belong into the provenance. `shared` is the remote
    cache in which to store the image; None: the answer has the bytes. `is_forced`: see `own_servers.is_forced`.
    """

    recipe: Recipe
    request: dict[str, Any]
    key: str
    facts: Mapping[str, Any]
    shared: Shared | None
    is_forced: bool = False


class Delivery(NamedTuple):
    """What a worker answers: the entry that the remote cache has, else the image itself."""

    entry: Entry | None
    rendered: Rendered | None = None
    warnings: Sequence[Problem] = ()


@dataclass(frozen=True, slots=True)
class Away:
    """The executor of one build, and what it needs for its orders.

    `make` is the task. `recipe` returns the recipe of a choice's provider; it raises Untrusted if the user has not
    approved what the provider asks for. `at_once` is how many orders may be out at once. `is_near`: the workers are
    processes of this machine, which have no resources: what needs one is made by this process.
    """

    executor: Executor
    make: Callable[[Order], Delivery]
    recipe: Callable[[Choice], Recipe]
    shared: Shared | None
    at_once: int
    is_near: bool = False


class Orders:
    """The orders of one provider in one build."""

    def __init__(self, run: Run) -> None:
        self._run, self._away = run, run.away
        self._told: set[str] = set()  # warnings, which several workers may give
        self._fetching = asyncio.Semaphore(_FETCHED_AT_ONCE)
        self.stored: set[str] = set()  # keys whose entries workers have stored in the remote cache

    def take(self, steps: deque[Step]) -> tuple[deque[Step], int]:
        """Take the steps that workers make out of a queue; return them, and how many may be out at once."""
        taken = [step for step in steps if self.takes(step)]
        if taken:
            left = [step for step in steps if not self.takes(step)]
            steps.clear()
            steps.extend(left)
        return deque(taken), self._away.at_once if self._away else 0

    def takes(self, step: Step) -> bool:
        """Return whether workers make the image of a step: it has no price, and nothing of it was sent before."""
        is_free = step.verdict is Verdict.RENDER and step.price is None and step.submission is None
        if self._away is None or (self._away.is_near and resource_of(self._run.provider)):
            return False
        return is_free and self._run.price(step.action) is None

    async def made(self, action: Action, *, is_plain: bool, is_forced: bool) -> Rendered | Verified:
        """Have a worker make the image of an action that has its request. `is_forced`: see `own_servers.is_forced`.

        Without `is_plain` the image replaces another one, or its seed was drawn: then no cache is asked. Raises
        ProviderError, ExecutorError, Untrusted.
        """
        assert self._away is not None
        facts = self._run.plan.uses.facts(action)
        shared = self._away.shared if is_plain and self._run.remote else None
        order = Order(self._away.recipe(action.choice), action.request.as_dict(), action.key, facts, shared, is_forced)
        found = await self._delivered(order)
        if found.entry:
            if image := await self._fetched(found.entry, action.request):
                return image
            found = await self._delivered(order._replace(shared=None))  # the cache has lost it
        assert found.rendered is not None
        return replace(found.rendered, verified=False)  # a worker may be another machine, with faults of its own

    async def _delivered(self, order: Order) -> Delivery:
        assert self._away is not None
        found: Delivery = await self._away.executor.do(self._away.make, order, needs=resource_of(self._run.provider))
        if new := [problem for problem in found.warnings if str(problem) not in self._told]:
            self._told.update(map(str, new))
            self._run.emit(Warned(new))
        return found

    async def _fetched(self, entry: Entry, request: Request) -> Verified | None:
        """Return the image that a worker has stored; None if the remote cache does not have the request's image."""
        async with self._fetching:
            assert self._run.remote is not None
            image = await self._run.remote.blob(entry.image, MAX_IMAGE_BYTES)
            if image is None or not await asyncio.to_thread(_is_whole, image, entry.key, request):
                return None
        new = NewImage.of(entry.key, image, canonical_json(read_provenance(image) or {}))
        if new.entry == entry:
            self.stored.add(entry.key)
        return Verified(request, new, None)


def _is_whole(image: bytes, key: str, request: Request) -> bool:
    return is_image_of(image, key, request.size, decode=True)
