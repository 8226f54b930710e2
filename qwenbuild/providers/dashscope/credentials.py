"""Where the service is, and with which key it is called: found exactly where the vendor's own SDK finds them.

Invariants: a key shows itself only to `reveal`; its `repr`, `str` and errors never hold it. A base
URL is https, or plain http to this machine alone.

Source: the `dashscope` SDK 2.0 (`common/api_key.py`, `common/env.py`, `v2/_config.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from qwenbuild.catalogue import REGIONS
from qwenbuild.digest import sha256
from qwenbuild.errors import AccountError, UsageError
from qwenbuild.problems import did_you_mean, listing

from .error_codes import KEYS_URL

KEY_ENV: Final = "DASHSCOPE_API_KEY"
KEY_FILE_ENV: Final = "DASHSCOPE_API_KEY_FILE_PATH"
BASE_URL_ENVS: Final = ("DASHSCOPE_HTTP_BASE_URL", "DASHSCOPE_BASE_URL")  # the SDK's v1 and v2 names
WORKSPACE_ENV: Final = "DASHSCOPE_WORKSPACE_ID"

BASE_URLS: Final = {
    "singapore": "https://dashscope-intl.aliyuncs.com/api/v1",
    "beijing": "https://dashscope.aliyuncs.com/api/v1",
}
_WORKSPACE_HOSTS: Final = {"singapore": ".ap-southeast-1.maas.aliyuncs.com", "beijing": ".cn-beijing.maas.aliyuncs.com"}
_WORKSPACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_MAX_KEY: Final = 512


class ApiKey:
    """An API key that only `reveal` shows. `origin` says where it was found."""

    __slots__ = ("_value", "origin")

    def __init__(self, value: str, origin: str) -> None:
        """Raises AccountError, which says what is wrong without showing it, for a text that can be no key."""
        wrong = _wrong(value)
        if wrong:
            raise AccountError(
                f"the API key in {origin} {wrong}",
                hint=f"copy it again, alone on its line, from the Model Studio console: {KEYS_URL}",
            )
        self._value = value
        self.origin = origin

    def reveal(self) -> str:
        """Return the key itself."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """12 hex digits that tell keys apart and don't lead back to one: keys hold 128 random bits and more."""
        return sha256(b"qwenbuild account\0" + self._value.encode())[:12]

    def __repr__(self) -> str:
        return f"ApiKey(***, origin={self.origin!r})"


def _wrong(value: str) -> str:
    """Return what keeps `value` from being a key, in words, or nothing."""
    if not value:
        return "is empty"
    if value != value.strip():
        return "has spaces or line ends around it"
    if value[0] in "\"'“”‘’" or value[-1] in "\"'“”‘’":
        return "stands in quotes"
    if value.lower().startswith("bearer "):
        return 'begins with "Bearer": leave that out'
    if not value.isascii():
        return "has characters that no key has (not ASCII)"
    if not value.isprintable() or " " in value:
        return "has spaces or control characters in it"
    return f"is longer than {_MAX_KEY} characters" if len(value) > _MAX_KEY else ""


def find_key(environ: Mapping[str, str]) -> ApiKey:
    """Return the key: `DASHSCOPE_API_KEY`, else the file that `DASHSCOPE_API_KEY_FILE_PATH` names,
    else `~/.dashscope/api_key`; a variable that is set but empty counts as not set.

    Raises AccountError where there is none, or none that can be read.
    """
    if environ.get(KEY_ENV):
        return ApiKey(environ[KEY_ENV], KEY_ENV)
    home = environ.get("HOME") or environ.get("USERPROFILE")
    default = (Path(home) if home else Path.home()) / ".dashscope" / "api_key"
    named = environ.get(KEY_FILE_ENV)
    path = Path(named) if named else default
    try:
        return ApiKey(path.read_text("utf-8").strip(), str(path))
    except FileNotFoundError:
        missing = f"{path}, which {KEY_FILE_ENV} names, does not exist" if named else ""
    except (OSError, UnicodeDecodeError) as error:
        missing = f"{path} can't be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}"
    raise AccountError(
        "no API key for the dashscope provider",
        facts=[missing or f"looked at: {KEY_ENV}, {KEY_FILE_ENV}, {default}"],
        hint=f"set {KEY_ENV} to a key from {KEYS_URL}; `--provider draft` renders without one",
    )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go: `base_url` without a slash at its end, and the region whose prices hold."""

    base_url: str
    region: str
    workspace: str = ""

    @property
    def host(self) -> str:
        """The host, with its port where that is not the scheme's own."""
        return urlsplit(self.base_url).netloc

    @property
    def is_local(self) -> bool:
        """Whether the service runs on this machine, as an emulator does."""
        return is_loopback(urlsplit(self.base_url).hostname or "")


def find_endpoint(table: Mapping[str, Any], environ: Mapping[str, str]) -> Endpoint:
    """Return where requests go: the SDK's variables, else `base_url` in `table`, else the region's own address.

    `table` may have `region`, `base_url` and `workspace`. A base URL of the vendor's own settles
    the region. Raises UsageError where they contradict each other or make no sense.
    """
    region = table.get("region")
    if region is not None and region not in REGIONS:
        raise UsageError(
            f'unknown region "{region}"', facts=[f"known: {listing(REGIONS)}"], hint=did_you_mean(str(region), REGIONS)
        )
    workspace = environ.get(WORKSPACE_ENV) or table.get("workspace") or ""
    if workspace and not (isinstance(workspace, str) and _WORKSPACE.fullmatch(workspace)):
        raise UsageError(
            f'"{workspace}" is no workspace id', hint="letters, digits, - and _; it stands in the Model Studio console"
        )
    origin = next((name for name in BASE_URL_ENVS if environ.get(name)), "")
    given = environ[origin] if origin else table.get("base_url")
    if given is None:
        region = region or REGIONS[0]
        return Endpoint(BASE_URLS[region], region, workspace)
    origin = origin or "base_url"
    if not isinstance(given, str):
        raise UsageError(f"{origin} is no text", hint=f'write base_url = "{BASE_URLS["singapore"]}"')
    if "{workspace_id}" in given:  # the SDK's own placeholder
        if not workspace:
            raise UsageError(f"{origin} names a workspace, and none is known", hint=f"set {WORKSPACE_ENV}")
        given = given.replace("{workspace_id}", workspace)
    parts = _checked(given, origin)
    actual = _region_of(parts.hostname or "")
    if actual and region and actual != region:
        raise UsageError(
            f"{origin} points to {actual}, but the region is {region}",
            facts=[f"{origin}: {parts.netloc}"],
            hint=f"choose one of them; the address of {region} is {BASE_URLS[region]}",
        )
    return Endpoint(parts.geturl().rstrip("/"), actual or region or REGIONS[0], workspace)


def _checked(url: str, origin: str) -> SplitResult:
    hint = f"such as {BASE_URLS['singapore']}"
    try:
        parts = urlsplit(url.strip())
        port_is_right = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        raise UsageError(f"{origin} is no address", hint=hint) from None
    if parts.username is not None or parts.password is not None:
        raise UsageError(f"{origin} holds a user name or password", hint="keys go into DASHSCOPE_API_KEY")
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not host or not port_is_right or parts.query or parts.fragment:
        raise UsageError(f"{origin} is no address of a service", facts=[f"it is: {url}"], hint=hint)
    if parts.scheme == "http" and not is_loopback(host):
        raise UsageError(
            f"{origin} is plain http: anyone on the way could read the key", facts=[f"it is: {url}"], hint="write https"
        )
    return parts


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine by name or by address."""
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def _region_of(host: str) -> str | None:
    for region, url in BASE_URLS.items():
        if host == urlsplit(url).hostname or host.endswith(_WORKSPACE_HOSTS[region]):
            return region
    return None
