"""Trust: what a project asks for that only the user may allow.

A project's files may be a stranger's. So a secret goes nowhere that a project file alone names, and a folder outside
of the project is not read, until the user has approved it for this project (`qwenbuild trust`). The environment and the
user's own config are the user's: what they name needs no approval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from .errors import Untrusted
from .problems import Problem

TRUST_ENV: Final = "QWENBUILD_TRUST_PROJECT"
"""The environment variable that allows everything that the project asks for, for one run: "1", "true" or "yes"."""

_HINT: Final = "`qwenbuild trust` shows what the project asks for, and records what you approve"


class Kind(StrEnum):
    """The kinds of things that need approval. Each is a key of a project's table in the user's config."""

    SECRETS = "secrets"  # a variable with a secret, and the server that gets it
    REMOTES = "remotes"  # a remote cache: images come from there and go there
    EXECUTORS = "executors"  # a cluster: prompts go there, and what answers there runs code here
    LINKS = "links"  # a link in the project that leads out of it
    SERVERS = "servers"  # a server that gets the prompts, and whose images are taken
    PRICES = "prices"  # a price below the catalogue's, or a model without one
    OWNERS = "owners"  # another user, to whom the project's folder belongs


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that needs approval: two items are the same if kind and value are.

    `claim` says what would happen, as a sentence without an end. `source` names the key or the path that asks for it.
    """

    kind: Kind
    value: str
    claim: str = field(compare=False)
    source: str = field(compare=False)

    def __str__(self) -> str:
        return f"{self.claim} ({self.source})" if self.source not in self.claim else self.claim


class Trust:
    """What the user allows one project, and what the project has asked for so far.

    `approved` returns what the user has approved; it is called when the project first asks for something. With
    `allow_all`, everything is allowed.
    """

    def __init__(self, approved: Callable[[], AbstractSet[Item]] = frozenset, *, allow_all: bool = False) -> None:
        self._find = approved
        self._found: AbstractSet[Item] | None = None
        self._allow_all = allow_all
        self._asked: dict[Item, None] = {}

    @property
    def asked(self) -> list[Item]:
        """Everything that the project has asked for so far, in that order."""
        return list(self._asked)

    @property
    def refused(self) -> list[Item]:
        """Everything that the project has asked for so far, and that is not allowed."""
        return [item for item in self._asked if not self.allows(item)]

    def allows(self, item: Item) -> bool:
        """Return whether the item is allowed."""
        self._asked.setdefault(item)
        return self._allow_all or item in self.approved

    @property
    def approved(self) -> AbstractSet[Item]:
        """What the user has approved for this project."""
        if self._found is None:
            self._found = self._find()
        return self._found

    def require(self, *items: Item) -> None:
        """Raise Untrusted if one of the items is not allowed; the message names all of them."""
        if refused := [item for item in items if not self.allows(item)]:
            raise Untrusted([problem(refused)])


def problem(refused: Sequence[Item]) -> Problem:
    """Return the problem that the user has not approved these items, at least one."""
    if len(refused) == 1:
        return Problem(f"not approved: {refused[0]}", hint=_HINT, name="not-approved")
    claim = f"the project asks for {len(refused)} things that you have not approved"
    return Problem(claim, facts=[str(item) for item in refused], hint=_HINT, name="not-approved")


def allows_all(environ: Mapping[str, str]) -> bool:
    """Return whether the environment allows everything that the project asks for."""
    return environ.get(TRUST_ENV, "").lower() in ("1", "true", "yes")


def secret(variable: str, url: str, use: str, source: str) -> Item:
    """Return the item that the secret in an environment variable is used with the server of `url`.

    `use` is the sentence about it up to the server's name, such as "the API key would go to".
    """
    server = origin(url)
    return Item(Kind.SECRETS, f"{variable} to {server}", f"{use} {server}", source)


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, such as `https://gateway.example:8443`; never a user or a password.

    Letters beyond ASCII are escaped, such as `\\u0430`, because some look like others.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # no request can be sent there
        return "://".join((url.partition("://")[0], url.rpartition("@")[2].rpartition("://")[2]))
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host.encode('ascii', 'backslashreplace').decode()}"


def is_loopback(host: str) -> bool:
    """Return whether a host, as a name or as an IP address, is this machine."""
    from ipaddress import ip_address  # here, because most projects name no such host

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
