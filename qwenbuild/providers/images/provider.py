"""The provider `images`: reads its settings, answers plans, and hands renders to `rendering`.

Invariant: a plan needs no server, no token and no heavy import. `session` needs them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from qwenbuild.checked_settings import CheckedSettings
from qwenbuild.errors import AccountError, UsageError, WrongSettings
from qwenbuild.finding import Finding, Level
from qwenbuild.problems import did_you_mean, listing
from qwenbuild.provider import Journal, Price, Rendered, Settings
from qwenbuild.request import Request
from qwenbuild.trust import Item

from .. import addresses
from ..addresses import Address
from .dialects import DIALECTS, Dialect
from .options import CHECKS

if TYPE_CHECKING:
    from .rendering import Renderer
    from .servers import Servers

NAME: Final = "images"
URL_ENV: Final = "QWENBUILD_IMAGES_URL"
"""The variable with the addresses of the servers, separated by spaces. It comes before `base_url`."""

TOKEN_PREFIX: Final = "QWENBUILD_IMAGES_"  # noqa: S105 - the beginning of a variable's name
TIMEOUT_S: Final = 1800.0  # 50 steps of a model of 20 billion parameters take minutes on a small card
_FORMATS: Final = ("png", "jpeg")
_KEYS: Final = ("dialect", "base_url", "token_env", "accept", "max_concurrency", "timeout_s")


class ImagesProvider:
    """Renders at servers of the user's own. These keys of `[providers.images]` configure it:

    - `dialect`: which kind of server it is, such as "vllm-omni"; see `dialects.DIALECTS`
    - `base_url`: its address, or a list of addresses: the least busy server renders next
    - `token_env`: the environment variable with the bearer token; it begins with QWENBUILD_IMAGES_
    - `accept`: "png" (default), or "jpeg" to take both; a JPEG is decoded and stored as PNG
    - `max_concurrency`: most requests at one server at once (default 1: a batch gives other pixels)
    - `timeout_s`: longest time for one attempt, until the last byte (default 1800 seconds)

    All other keys are parameters of each request, such as `steps`: see `options.CHECKS`.
    """

    name = NAME
    labelled = False
    command_line_options = ()
    serves_any_model = True
    is_repeatable = False
    worker_resource = "GPU"

    def __init__(self, settings: Settings) -> None:
        """Raises WrongSettings, with all mistakes in the settings."""
        table, checked = settings.table, CheckedSettings(NAME, settings, (*_KEYS, *CHECKS))
        self._trust = settings.trust
        known = checked.read("dialect", lambda: _dialect(table), None)
        self.dialect = known or DIALECTS["vllm-omni"]
        self.family = f"{NAME}-{self.dialect.name}"
        like, stated = self.dialect.address, table.get("base_url", self.dialect.address)
        find = partial(addresses.find, stated, settings.environ, URL_ENV, like=like)
        nowhere: Sequence[Address] = ()
        self._servers = servers = checked.read("base_url", find, nowhere)
        token = partial(addresses.find_token, table.get("token_env"), settings.environ, servers, TOKEN_PREFIX)
        self._variable, self._token = checked.read("token_env", token, ("", ""))
        self._accepted = checked.read("accept", lambda: _format(table), "png")
        self._at_once = checked.count("max_concurrency", 1)
        self._timeout_s = checked.seconds("timeout_s", TIMEOUT_S)
        self.parameters: Mapping[str, Any] = {
            name: checked.read(name, partial(self._parameter, name, value), None)
            for name, value in table.items()
            if name in CHECKS and known
        }
        checked.check()
        self.concurrency = settings.jobs or self._at_once * len(servers)
        self._models: dict[str, None] = {}  # that plans have asked for
        self._renderer: Renderer | None = None

    def _parameter(self, name: str, value: object) -> object:
        try:
            return self.dialect.checked({name: value})[name]
        except WrongSettings as wrong:
            raise wrong.faults[0][1] from None

    def check(self, model: str) -> str | None:
        """Return None: only the server knows which models it serves."""
        self._models.setdefault(model)
        return None

    def checked_parameters(self, table: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the parameters of a request in their one form; see `Parametrised`."""
        return self.dialect.checked(table)

    def wrong_fields(self, request: Request) -> Mapping[str, UsageError]:
        """Return what the server would ignore or misread; see `Choosy`."""
        return self.dialect.wrong_fields(request)

    def price(self, model: str) -> Price | None:
        """Return None: renders cost nothing that qwenbuild could count."""
        return None

    def shortest_s(self, renders: Mapping[str, int]) -> float:
        """Return 0: nobody knows how fast the servers are."""
        return 0.0

    @asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        """Connect.

        Raises AccountError if the token is missing, UsageError for an unusable proxy or CA bundle, and Untrusted if
        only the project names a server that needs approval.
        """
        from .rendering import Renderer

        async with self._opened() as servers:
            self._renderer = Renderer(self.dialect, servers, self._accepted, self._timeout_s)
            try:
                yield
            finally:
                self._renderer = None

    def asks(self) -> Sequence[Item]:
        """Return the servers that get prompts, or the token, and that only the project names."""
        return addresses.asked(self._servers, self._variable, f"[providers.{NAME}] base_url", "prompts")

    @property
    def settings_of_environment(self) -> Mapping[str, object]:
        """The addresses that the environment names: see `own_servers`."""
        return addresses.of_environment(self._servers)

    async def render(self, request: Request, journal: Journal) -> Rendered:
        """Return the image of a server. Raises ProviderError."""
        if self._renderer is None:
            raise UsageError("the images provider was used outside of its session", name="wrong-usage")
        return await self._renderer.render(request, journal)

    async def diagnose(self, project_provider: str | None) -> Sequence[Finding]:
        """Return findings about the servers; see `Diagnosable`."""
        from .diagnosis import diagnose

        level = Level.FAIL if project_provider == NAME else Level.WARN
        async with self._opened() as servers:
            return await diagnose(servers, self._models, level)

    def _opened(self) -> Servers:
        """Return the servers, not connected yet. Raises Untrusted, AccountError."""
        from .servers import Servers

        self._trust.require(*self.asks())
        if self._variable and not self._token:
            hint = f"set {self._variable}, or remove token_env if the server takes no token"
            raise AccountError(f"no token: {self._variable} is empty", hint=hint, name="no-api-key")
        return Servers(self.dialect, self._servers, self._token, self._at_once)


def _dialect(table: Mapping[str, Any]) -> Dialect:
    if (name := table.get("dialect")) is None:
        hint = f"dialect says which kind of server it is: {listing(DIALECTS)}"
        raise UsageError(f"[providers.{NAME}] has no dialect", hint=hint, name="wrong-setting")
    if name not in DIALECTS:
        raise UsageError(
            f'unknown dialect "{name}"', facts=[f"known: {listing(DIALECTS)}"], name="wrong-setting",
            hint=did_you_mean(str(name), DIALECTS),
        )  # fmt: skip
    return DIALECTS[name]


def _format(table: Mapping[str, Any]) -> str:
    if (name := table.get("accept", "png")) not in _FORMATS:
        raise UsageError(f"[providers.{NAME}] accept is neither {' nor '.join(_FORMATS)}", name="wrong-setting")
    return str(name)
