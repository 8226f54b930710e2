"""The provider `comfyui`: reads its settings and its workflow, answers plans, and hands renders to `fleet`.

Invariant: a plan reads the workflow's file, and needs no network and no heavy import. `session` needs them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qwenbuild.checked_settings import CheckedSettings
from qwenbuild.errors import ProjectError, ProviderError, UsageError, WrongSettings
from qwenbuild.finding import Finding
from qwenbuild.own_servers import is_forced
from qwenbuild.problems import Problem, did_you_mean, listing
from qwenbuild.provider import Journal, Price, Rendered, Settings
from qwenbuild.request import Request
from qwenbuild.trust import Item

from .. import addresses
from ..addresses import Address
from ..same_images import SameImages, pixels_of
from . import holes, workflow
from .workflow import Workflow

if TYPE_CHECKING:
    from .fleet import Fleet

NAME: Final = "comfyui"
ADDRESS: Final = "http://127.0.0.1:8188"
"""Where ComfyUI listens if nobody says otherwise."""

URL_ENV: Final = "QWENBUILD_COMFYUI_URL"
"""The variable with the addresses of the servers, separated by spaces. It comes before `base_url`."""

_KEYS: Final = ("base_url", "workflow", "output_node", "timeout_s")
_ITSELF: Final = Address(ADDRESS, is_users=False)

TIMEOUT_S: Final = 1800.0
AT_ONCE: Final = 2  # at each server: while one image is fetched and stored, the next one is made
_SAME: Final = 'does "$seed" stand at each node that makes noise, and does that node count?'
_PATIENCE_S: Final = 60.0  # for a server that fell silent: it may be restarting


class ComfyUIProvider:
    """Renders at ComfyUI. These keys of `[providers.comfyui]` configure it:

    - `workflow`: the workflow's file in API form, relative to the project, with holes such as "$prompt"
    - `base_url`: the server's address, or a list of addresses (default "http://127.0.0.1:8188")
    - `output_node`: the id of the node whose image is taken, if the workflow saves several
    - `timeout_s`: longest time of one run, from its begin at the server (default 1800 seconds)
    """

    name = NAME
    family = NAME
    command_line_options = ()
    labelled = False
    serves_any_model = True
    worker_resource = "GPU"
    is_repeatable = False
    default_model = "workflow"

    def __init__(self, settings: Settings) -> None:
        """Raises WrongSettings, with all mistakes in the settings."""
        table, checked = settings.table, CheckedSettings(NAME, settings, _KEYS)
        self._settings, self._root = settings, settings.root
        stated = table.get("base_url", ADDRESS)
        find = partial(addresses.find, stated, settings.environ, URL_ENV, like=ADDRESS)
        itself: Sequence[Address] = [_ITSELF]
        self.addresses = checked.read("base_url", find, itself)
        self._written = checked.read("workflow", lambda: _text(table, "workflow"), "")
        self._path = checked.read("workflow", self._found, None)
        self._output_node = checked.read("output_node", lambda: _text(table, "output_node"), "")
        self._timeout_s = checked.seconds("timeout_s", TIMEOUT_S)
        checked.check()
        self.concurrency = settings.jobs or AT_ONCE * len(self.addresses)
        self._workflow: Workflow | None = None
        self._known: dict[str, Workflow] = {}  # by their digests: a build goes on with the one that was planned
        self._fleet: Fleet | None = None
        self._told: set[str] = set()

    def _found(self) -> Path | None:
        return workflow.find(self._root, self._written) if self._root and self._written else None

    # --- plans ---

    def files(self) -> Sequence[Path]:
        """Return the workflow's file."""
        return [self._path] if self._path else []

    def read_files(self) -> Sequence[Problem]:
        """Read the workflow, and return what is wrong with it."""
        if self._path is None:
            hint = f'save one from ComfyUI, and write workflow = "workflows/NAME.json" under [providers.{NAME}]'
            return [Problem(f"the provider {NAME} needs a workflow", hint=hint, name="no-workflow")]
        try:
            found = workflow.read(self._path, self._written)
        except ProjectError as error:
            self._workflow = None
            return error.problems
        self._workflow = self._known[found.digest] = found
        if self._output_node and self._output_node not in found.nodes:
            claim = f'output_node = "{self._output_node}": the workflow has no such node'
            return [
                Problem(claim, hint=did_you_mean(self._output_node, found.nodes) or _nodes(found), name="workflow-hole")
            ]
        return []

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters that follow from the settings: the workflow's digest, and the output node if it is set."""
        own = {"workflow": self._workflow.digest if self._workflow else "", "output_node": self._output_node}
        return {name: value for name, value in own.items() if value}

    def checked_parameters(self, table: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the parameters of a request as they are. Raises WrongSettings; see `holes.wrong_parameters`."""
        if self._workflow and (
            wrong := [*holes.wrong_parameters(self._workflow, self._written, self.parameters, table)]
        ):
            raise WrongSettings(wrong)
        return table

    def wrong_fields(self, request: Request) -> Mapping[str, UsageError]:
        """Return what of a request the workflow would leave out without a word; see `holes.wrong_fields`."""
        if self._workflow is None:  # `read_files` told why
            return {}
        return dict(holes.wrong_fields(self._workflow, self._written, request, self.default_model))

    def check(self, model: str) -> str | None:
        """Return None: the workflow decides."""
        return None

    def price(self, model: str) -> Price | None:
        """Return None: renders are free."""
        return None

    def shortest_s(self, renders: Mapping[str, int]) -> float:
        """Return 0: nobody knows how quick the servers are."""
        return 0.0

    def asks(self) -> Sequence[Item]:
        """Return the servers beyond this machine that only the project names."""
        return addresses.asked(self.addresses, "", f"[providers.{NAME}] base_url", "prompts and the workflow")

    @property
    def settings_of_environment(self) -> Mapping[str, object]:
        """The addresses that the environment names: see `own_servers`."""
        return addresses.of_environment(self.addresses)

    # --- renders ---

    @asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        """Connect. Raises ProviderError if no server answers, Untrusted if one is not approved, UsageError."""
        from .client import Client
        from .fleet import Fleet
        from .runs import Runs

        self._settings.trust.require(*self.asks())
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(Client(it)) for it in self.addresses]
            self._fleet = Fleet([Runs(client, self._timeout_s, _PATIENCE_S) for client in clients])
            self._same_images = SameImages("the workflow", _SAME)
            await self._fleet.greet()
            try:
                yield
            finally:
                self._fleet = None

    async def render(self, request: Request, journal: Journal) -> Rendered:
        """Return the image. A run of an earlier build is found again, and none is queued twice."""
        from .runs import Job

        if self._fleet is None:
            raise UsageError(f"the {NAME} provider was used outside of its session", name="wrong-usage")
        values = holes.values_of(request)
        found = self._planned(str(values.get("workflow", "")))
        output_node = str(values.get("output_node", ""))
        job = Job(request.key, found, found.filled(values), output_node, is_forced(journal), journal.delayed)
        made, server = await self._fleet.make(job)
        facts = {"run": made.run, **self._fleet.facts(server)}
        same = self._same_images.warnings(request, pixels_of(made.image))
        return Rendered(made.image, facts, verified=True, warnings=[*self._news(made.ignored), *same])

    def _planned(self, digest: str) -> Workflow:
        """Return the workflow with this digest. Raises ProviderError."""
        if digest not in self._known:
            self.read_files()
        if digest not in self._known:
            claim = f"{self._written or 'the workflow'} is not the one that was planned"
            raise ProviderError(claim, hint="build again", name="changed-meanwhile")
        return self._known[digest]

    def _news(self, ignored: Sequence[str]) -> Sequence[Problem]:
        """Return a warning about what a server leaves out of the workflow; each is told once."""
        new = [said for said in ignored if said not in self._told]
        self._told.update(new)
        return [Problem("ComfyUI leaves out a part of the workflow", facts=new, name="workflow-refused")] if new else []

    async def diagnose(self, project_provider: str | None) -> Sequence[Finding]:
        """Return findings about the servers, and about the workflow's nodes and files there; see `Diagnosable`."""
        if project_provider != NAME and not self._settings.table:
            return []
        from .diagnosis import diagnose

        self._settings.trust.require(*self.asks())
        problems = self.read_files() if self._settings.root else ()
        return await diagnose(self.addresses, self._workflow, problems, is_own=project_provider == NAME)


def _nodes(found: Workflow) -> str:
    return f"its nodes: {listing(found.node(number).removeprefix('node ') for number in found.nodes)}"


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key, "")
    if key == "output_node" and type(value) is int:  # ids look like numbers
        value = str(value)
    if not isinstance(value, str) or (key in table and not value):
        raise UsageError(f"[providers.{NAME}] {key} is not a text", name="wrong-setting")
    return value
