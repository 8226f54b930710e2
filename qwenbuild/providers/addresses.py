"""Addresses: the servers of the user's own that the settings or the environment name, and what they need approval for.

Invariant: what only a project's file names gets nothing without the user's approval, unless it is on this machine and
gets no token.

Such servers often speak plain http. Without a token that is allowed, and the approval shows it. A token is never sent
over plain http beyond this machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from qwenbuild.errors import UsageError
from qwenbuild.trust import Item, Kind, origin, secret

_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a server, without a slash at its end. `is_users`: the environment names it."""

    url: str
    is_users: bool

    @property
    def origin(self) -> str:
        """Scheme, host and port, as messages show them."""
        return origin(self.url)

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        return is_loopback(urlsplit(self.url).hostname or "")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def find(stated: object, environ: Mapping[str, str], variable: str, *, like: str) -> Sequence[Address]:
    """Return the servers: those of the environment's `variable`, separated by spaces, else those that are `stated`.

    `stated` is an address or a list of them, as `base_url` in a table has it. `like` is an example for messages.
    Raises UsageError.
    """
    if written := environ.get(variable, "").split():
        checked = [_checked(url, variable, like) for url in written]
        return [Address(url, is_users=True) for url in dict.fromkeys(checked)]
    listed = stated if isinstance(stated, list) else [stated]
    urls = [url for url in listed if isinstance(url, str)]
    if not 0 < len(urls) == len(listed) <= _MOST:
        claim = f"base_url is neither an address nor a list of 1 to {_MOST} addresses"
        raise UsageError(claim, hint=f'such as "{like}"', name="wrong-setting")
    return [Address(it, is_users=False) for it in dict.fromkeys(_checked(url, "base_url", like) for url in urls)]


def find_token(
    variable: object, environ: Mapping[str, str], servers: Sequence[Address], prefix: str
) -> tuple[str, str]:
    """Return (the variable with the token, the token); both are empty if no `variable` is stated.

    Its name begins with `prefix`, so that a project can't send other secrets. The token is empty if the variable is.
    Raises UsageError, also if the token would be sent over plain http.
    """
    if variable is None:
        return "", ""
    if not isinstance(variable, str) or not re.fullmatch(rf"{prefix}[A-Z0-9_]+", variable):
        claim = f"token_env does not name a variable that begins with {prefix}"
        fact = "the prefix protects other secrets: a project that you clone can't send them"
        raise UsageError(claim, facts=[fact], hint=f'such as "{prefix}TOKEN"', name="wrong-setting")
    for server in servers:
        if server.url.startswith("http:") and not server.is_local:
            raise UsageError(
                f"{server.origin} is plain http: the network could read the token in {variable}",
                hint="write https, or reach the server through a tunnel: ssh -L 8091:127.0.0.1:8091 HOST",
                name="base-url",
            )
    token = environ.get(variable, "").strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"the token in {variable} has characters that no token has", name="wrong-setting")
    return variable, token


def asked(servers: Sequence[Address], variable: str, source: str, what: str) -> Sequence[Item]:
    """Return what the user must approve: the servers that only the project names, at `source`.

    `variable` is the one with the token, empty for none. `what` the servers get, such as "prompts".
    """
    found = []
    for server in servers:
        if server.is_users:
            continue
        if variable:
            found.append(secret(variable, server.url, "the token would go to", source))
        elif not server.is_local:
            claim = f"{what} would go to {server.origin}, and images come from it"
            found.append(Item(Kind.SERVERS, server.origin, claim, source))
    return found


def of_environment(servers: Sequence[Address]) -> Mapping[str, object]:
    """Return the settings that the environment has in place of the project's: see `own_servers`."""
    return {"base_url": [server.url for server in servers]} if any(server.is_users for server in servers) else {}


def _checked(url: str, source: str, like: str) -> str:
    """Return an address without a slash at its end. Raises UsageError."""
    hint = f'such as "{like}"'
    try:
        parts = urlsplit(url.strip())
        has_valid_port = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        raise UsageError(f"{source} is not an address", hint=hint, name="base-url") from None
    if parts.username is not None or parts.password is not None:
        raise UsageError(f"{source} holds a user name or a password", hint=hint, name="base-url")
    is_whole = parts.scheme in ("https", "http") and parts.hostname and has_valid_port
    if not is_whole or parts.query or parts.fragment:
        claim = f"{source} is not the address of a server"
        raise UsageError(claim, facts=[f"it is: {url}"], hint=hint, name="base-url")
    return parts.geturl().rstrip("/")
