"""The provider `dashscope`: reads its settings, answers plans, and hands renders to `rendering`.

Invariant: a plan needs no key, no network and no heavy import. `session` needs them.

Sources: Qwen-Image API reference of 2026-02-10, for the interval of polls; Model Studio help, page "Error
codes", mid-2026, for the service's time limit of 300 s.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from qwenbuild.candidates import Search
from qwenbuild.catalogue import INTERFACES, Catalogue, builtin
from qwenbuild.checked_settings import CheckedSettings
from qwenbuild.errors import QwenbuildError, UsageError
from qwenbuild.finding import Finding
from qwenbuild.problems import did_you_mean, listing
from qwenbuild.provider import Journal, Price, Rendered, ServiceTask, Settings
from qwenbuild.request import Request, Size, Submission
from qwenbuild.trust import Item, Kind, secret

from .credentials import KEY_ENV, find_key
from .endpoint import BASE_URLS, Endpoint, find_endpoint, find_region, find_workspace
from .wire import LIFE_S

if TYPE_CHECKING:
    from .rendering import Renderer

NAME: Final = "dashscope"
_KEYS: Final = (
    "region", "interface", "interface_only", "base_url", "workspace", "download_hosts", "timeout_s", "submits",
    "max_concurrency", "poll_s", "retry_wait_s",
)  # fmt: skip

TIMEOUT_S: Final = 330.0  # above the service's own limit of 300 s: a client that stops earlier loses paid images
POLL_S: Final = 10.0  # as the API reference recommends
RETRY_WAIT_S: Final = 1.0
CONCURRENCY: Final = 50  # two submits a second; a sync answer takes about 25 s
DOWNLOAD_HOSTS: Final[tuple[str, ...]] = ("*.aliyuncs.com",)
_NOWHERE: Final = Endpoint(BASE_URLS["singapore"], "singapore")  # if the settings name no endpoint that can be used


class DashScopeProvider:
    """Renders at the service. These keys of `[providers.dashscope]` configure it:

    - `region`: "singapore" (default), "beijing", "virginia", "hongkong" or "frankfurt"
    - `interface`: "sync" (default) or "async"; a model that lacks it is rendered by the other one
    - `interface_only`: true to refuse such models instead; an image's own `interface` and `--interface` do so, too
    - `base_url`: another address of the service
    - `workspace`: the workspace that is billed
    - `submits`: a pace such as "2/second" for every model, instead of the catalogue's paces
    - `max_concurrency`: most requests that the service works on at once (default 50)
    - `download_hosts`: hosts that images may come from (default ["*.aliyuncs.com"])
    - `timeout_s`: longest time for a sync call or a download, from connecting to the last byte (default 330 seconds)
    - `poll_s`: longest interval between polls of a task, in seconds (default 10)
    - `retry_wait_s`: first wait before a retry, in seconds (default 1)
    """

    name = NAME
    family = "dashscope"
    labelled = False
    result_life_s = LIFE_S

    def __init__(self, settings: Settings) -> None:
        """Raises WrongSettings, with all mistakes in the settings."""
        table, checked = settings.table, CheckedSettings(NAME, settings, _KEYS)
        self.interface = checked.read("interface", lambda: _interface(table), INTERFACES[0])
        only = checked.read("interface_only", lambda: _flag(table, "interface_only"), False)
        self._is_interface_fixed = only or "interface" in settings.insisted
        region = checked.read("region", lambda: find_region(table), None)
        workspace = checked.read("workspace", lambda: find_workspace(table, settings.environ), "")
        known = {**table, "region": region, "workspace": workspace}
        self.endpoint = checked.read("base_url", lambda: find_endpoint(known, settings.environ), _NOWHERE)
        self.emulator_address = "" if self.endpoint.is_vendors else self.endpoint.address
        self._settings = settings  # its repr hides the environment, which holds the key
        submits = table.get("submits")
        self._catalogue = checked.read("submits", lambda: _paced(settings.catalogue, submits), settings.catalogue)
        seconds = {"timeout_s": TIMEOUT_S, "poll_s": POLL_S, "retry_wait_s": RETRY_WAIT_S}
        self._timeout_s, self._poll_s, self._first_wait_s = (
            checked.seconds(key, default) for key, default in seconds.items()
        )
        hosts = table.get("download_hosts", DOWNLOAD_HOSTS)
        self._hosts = checked.read("download_hosts", lambda: _hosts(hosts), DOWNLOAD_HOSTS)
        concurrency = checked.count("max_concurrency", CONCURRENCY)
        checked.check()
        self._at_once = settings.jobs or concurrency
        # Twice as many: while the service renders one half, the other half is downloaded, verified and stored.
        self.concurrency = 2 * self._at_once
        self._renderer: Renderer | None = None

    def check(self, model: str) -> str | None:
        """Return why requests of the model can't be sent (unknown model or interface), else None.

        A model without a price asks for the user's approval: what one image costs is then an assumption.
        """
        try:
            known = self._catalogue.model(model)
        except ValueError as error:
            return f'unknown model "{model}"; {error}'
        if self._is_interface_fixed and self.interface not in known.interfaces:
            return f'{known.name} has no {self.interface} interface: "{known.interfaces[0]}" is the one that it has'
        price, region = self.price(model), self.endpoint.region
        if price.is_assumed:
            claim = f"no price is known for {model} in {region}: {price.amount} CNY would be assumed for an image"
            item = Item(Kind.PRICES, f"{model} in {region}: unknown", claim, f'[models."{model}"] price_cny')
            self._settings.trust.allows(item)
        return None

    def interface_of(self, model: str) -> str:
        """Return the interface that renders a model: the one that is set, unless the model lacks it."""
        known = self._catalogue.model(model).interfaces
        return self.interface if self.interface in known else known[0]

    def price(self, model: str) -> Price:
        """Return the catalogue's price of one image of the default size: see `price_of`."""
        return self.price_of(model, self._catalogue.model(model).default_size)

    def price_of(self, model: str, size: Size) -> Price:
        """Return the catalogue's price of one image in the region; without one, the highest there is assumed."""
        region, known = self.endpoint.region, self._catalogue.model(model)
        amount = known.price(region, size)
        if amount is None:
            return Price(builtin().highest_price(region), is_assumed=True)
        return Price(amount, is_about=known.price_about)

    def shortest_s(self, renders: Mapping[str, int]) -> float:
        """Return the earliest time of the last submit, in seconds from the first. Each model has its own pace."""
        return max(
            ((count - 1) / self._catalogue.model(name).submits_per_s for name, count in renders.items()), default=0.0
        )

    @asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        """Connect.

        Raises AccountError if there is no valid key, UsageError for an unusable proxy or CA bundle, and Untrusted if
        only the project names the server.
        """
        from .client import Client
        from .rendering import Choices, Renderer

        self._settings.trust.require(*self.asks())
        choices = Choices(self.interface_of, self._at_once, self._poll_s, self._first_wait_s, self._hosts)
        async with Client(self.endpoint, find_key(self._settings.environ), self._timeout_s) as client:
            self._renderer = Renderer(client, choices, self._catalogue.model)
            try:
                yield
            finally:
                self._renderer = None

    def asks(self) -> Sequence[Item]:
        """Return that the API key would go to a server that only the project names; nothing for any other server."""
        if self.endpoint.is_users:
            return ()
        return [secret(KEY_ENV, self.endpoint.base_url, "the API key would go to", f"[providers.{NAME}] base_url")]

    async def render(self, request: Request, journal: Journal) -> Rendered:
        """Submit, wait and download. `rendering` says what each error means for the bill."""
        return await self._entered.render(request, journal)

    async def collect(self, submission: Submission, journal: Journal) -> Rendered:
        """Return the image of an accepted submission. Submits nothing."""
        return await self._entered.collect(submission, journal)

    async def search(
        self, lost: Sequence[Submission], others: Callable[[], Sequence[Submission]], *, patience_s: float = 0.0
    ) -> Mapping[int, Search]:
        """Return what the account's list of tasks says about lost answers of the async interface; see `Searchable`."""
        return await self._entered.search(lost, others, patience_s)

    def account(self) -> Mapping[str, str]:
        """Return the endpoint, the interface, and the fingerprint of the API key."""
        try:
            fingerprint = find_key(self._settings.environ).fingerprint
        except QwenbuildError:
            fingerprint = ""  # the session reports it
        place = {"host": self.endpoint.host, "region": self.endpoint.region, "interface": self.interface}
        return {**place, "account": fingerprint}

    def needs_account(self, handle: str) -> bool:
        """Return True for a task; the address of a result needs no key."""
        return handle.startswith("task:")

    async def diagnose(self, project_provider: str | None) -> Sequence[Finding]:
        """Return findings about the key, the service and the clock; see `Diagnosable`."""
        from .diagnosis import diagnose

        self._settings.trust.require(*self.asks())
        return await diagnose(NAME, self.endpoint, self._settings.environ, project_provider)

    async def list_tasks(self, *, model: str = "", status: str = "", most: int = 1000) -> tuple[ServiceTask, ...]:
        """Return the account's tasks of the last 24 hours, about `most` at most. Other programs' tasks are included.

        `status` is PENDING, RUNNING, SUCCEEDED, FAILED or CANCELED. Raises ProviderError.
        """
        tasks = await self._entered.tasks.list(model=model, status=status, most=most)
        return tuple(
            ServiceTask(
                task.id, task.status, task.model, task.created_at_s, f"task:{task.id}",
                None if task.created_at_s is None else task.created_at_s + LIFE_S,
            ) for task in tasks
        )  # fmt: skip

    async def cancel_task(self, task_id: str) -> str:
        """Cancel a PENDING task, and return its handle. Raises Refused for any other task, ProviderError."""
        await self._entered.tasks.cancel(task_id)
        return f"task:{task_id}"

    @property
    def _entered(self) -> Renderer:
        if self._renderer is None:
            raise UsageError("the dashscope provider was used outside of its session", name="wrong-usage")
        return self._renderer


def _interface(table: Mapping[str, Any]) -> str:
    interface = table.get("interface", INTERFACES[0])
    if interface not in INTERFACES:
        raise UsageError(
            f'unknown interface "{interface}"',
            facts=[f"known: {listing(INTERFACES)}"],
            hint=did_you_mean(str(interface), INTERFACES),
            name="wrong-setting",
        )
    return str(interface)


def _flag(table: Mapping[str, Any], key: str) -> bool:
    if not isinstance(value := table.get(key, False), bool):
        raise UsageError(f"[providers.{NAME}] {key} is neither true nor false", name="wrong-setting")
    return value


def _paced(catalogue: Catalogue, submits: object) -> Catalogue:
    """Return the catalogue with `submits` as the pace of every model. Raises UsageError."""
    if submits is None:
        return catalogue
    try:
        return catalogue.extended({name: {"submits": submits} for name in catalogue.models})
    except ValueError:
        raise UsageError(
            f'[providers.dashscope] submits = "{submits}" is not a pace',
            hint='such as "2/second" or "30/minute"',
            name="wrong-setting",
        ) from None


def _hosts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(
        isinstance(one, str) and one.removeprefix("*.").strip(".") and not set(one.removeprefix("*.")) & set("*/:@ ")
        for one in value
    ):
        raise UsageError(
            "[providers.dashscope] download_hosts is not a list of host names",
            hint=f'such as ["{DOWNLOAD_HOSTS[0]}", "images.example.com"]',
            name="wrong-setting",
        )
    return tuple(one.lower() for one in value)
