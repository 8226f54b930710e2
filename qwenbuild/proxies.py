"""Proxies: says why a proxy that the environment sets can't be used.

The HTTP library accepts addresses that no connection can be made to, such as a port above 65535, and fails later with
errors of other libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from .errors import UsageError

HINT: Final = (
    "set HTTPS_PROXY to an http:// address and unset ALL_PROXY; for a SOCKS proxy, install the package socksio"
)
CLAIM: Final = "the proxy set in the environment can't be used"
_VARIABLES: Final = ("http_proxy", "https_proxy", "all_proxy")


def check_proxies(environ: Mapping[str, str]) -> None:
    """Raise UsageError if a variable of the environment names a proxy at no possible address.

    The error shows no value, because it may hold a password.
    """
    for name, value in environ.items():
        if name.lower() in _VARIABLES and value and (why := _fault(value)):
            raise UsageError(CLAIM, facts=[f"{name}: {why}"], hint=HINT, name="proxy")


def _fault(value: str) -> str:
    """Return why no connection can be made to a proxy; empty if one can be tried."""
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host = parts.hostname or ""
    except ValueError:
        return "it is not an address"
    try:
        if parts.port == 0:
            return "its port is not a number from 1 to 65535"
    except ValueError:
        return "its port is not a number from 1 to 65535"
    try:
        host.encode("idna")
    except UnicodeError:
        return "it names no possible host"
    return "" if host else "it names no host"
