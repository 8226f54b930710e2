"""An action: one output path, the key of its request, and the cell that it comes from."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from qwenbuild.catalogue import Model
from qwenbuild.emulation import FACT, emulated_key
from qwenbuild.errors import ProjectError
from qwenbuild.problems import Problem
from qwenbuild.request import RANDOM_SEED, Request, Size
from qwenbuild.routes import Choice

from .declaration import Declaration, Value


class RequestMaker(Protocol):
    """Makes the request of a cell again: always the same one, even if the files have changed since."""

    def request(self, values: tuple[Value, ...], model: Model) -> Request:
        """Return the request of a cell."""

    @property
    def is_escaped(self) -> bool:
        """Whether filters of earlier versions would have escaped a text of the image for HTML."""

    def earlier(self, values: tuple[Value, ...], model: Model) -> Request | None:
        """Return the request as earlier versions made it; None if that is certainly the same one."""


class Emulated(NamedTuple):
    """An action wants an emulator's image: the emulator's address, and the key that the request itself has."""

    address: str
    request_key: str


class Action(NamedTuple):
    """One wanted image: its path under `out/`, its key in store, state and lock, and its cell.

    `key` is that of the request, unless the image is an emulator's. `source` is the request itself, or an object that
    makes the request again. The object saves memory: a prompt needs more than all other fields together, and most plans
    read few prompts.
    """

    output: str
    key: str
    declaration: Declaration
    values: tuple[Value, ...]  # one for each axis, in the order of the matrix
    model: Model
    size: Size
    seed: int
    source: Request | RequestMaker
    emulated: Emulated | None = None

    @property
    def choice(self) -> Choice:
        """What the image says about its provider."""
        return self.declaration.choice

    @property
    def request_key(self) -> str:
        """The key of the request, under which it is sent, whoever answers."""
        return self.emulated.request_key if self.emulated else self.key

    @property
    def emulated_by(self) -> str:
        """The address of the emulator whose image is wanted; empty for an image of the service."""
        return self.emulated.address if self.emulated else ""

    def made_by(self, address: str) -> Action:
        """Return this action for the image of the emulator at `address`; for the service's if that is empty."""
        key = self.request_key
        if not address:
            return self._replace(key=key, emulated=None) if self.emulated else self
        return self._replace(key=emulated_key(key, address), emulated=Emulated(address, key))

    @property
    def is_seed_random(self) -> bool:
        """Whether the seed is drawn when the request is sent. Until then, no image has the key."""
        return self.seed == RANDOM_SEED

    def drawn(self, seed: int, *, labelled: bool) -> Action:
        """Return this action with the seed that was drawn; `labelled` is the provider's attribute."""
        request = self.request
        request = request._replace(seed=seed, label=request.label if labelled else "")
        return self._replace(key=request.key, seed=seed, source=request, emulated=None)

    @property
    def request(self) -> Request:
        """The request that has this action's `request_key`. Raises ProjectError if the request can't be made again."""
        source = self.source
        if isinstance(source, Request):
            return source
        request = source.request(self.values, self.model)
        if self.request_key not in (request.key, *request.older_keys):  # the image would be stored under a wrong key
            place = self.declaration.spec.source.place(self.declaration.keys)
            claim = f"the request of {self.name} came out differently the second time"
            raise ProjectError(
                [Problem(claim, place, hint="this is a bug in qwenbuild: please report it", name="request-differs")]
            )
        return request

    @property
    def recorded(self) -> dict[str, Any]:
        """The request as the state records it. An emulated image has the emulator's address beside it."""
        emulated = {FACT: self.emulated_by} if self.emulated else {}
        return {**self.request.as_dict(), **emulated}

    @property
    def earlier(self) -> Request | None:
        """The request as earlier versions made it, whose filters escaped for HTML; None if it is the same one."""
        return None if isinstance(self.source, Request) else self.source.earlier(self.values, self.model)

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of each axis, in the order of the matrix."""
        return tuple([value.label for value in self.values])

    @property
    def name(self) -> str:
        """The cell's name, such as `puppies/poster[seed=1,size=1328x1328]`."""
        return self.declaration.cell_name(self.values)

    @property
    def cell(self) -> dict[str, str]:
        """The label of each axis, by the axis's name."""
        return {axis: value.label for axis, value in zip(self.declaration.axes, self.values, strict=True)}
