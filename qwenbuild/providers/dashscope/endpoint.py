"""Endpoints: the base URL, region and workspace of requests, found as the vendor's SDK finds them.

Invariant: a base URL is https, or plain http to this machine only.

Sources: the `dashscope` SDK 2.0.2 (`common/env.py`, `v2/_config.py`) for the variables; Qwen-Image API
reference of 2026-02-10 for the addresses; Model Studio "Base URL" of 2026-10-11 for workspace hosts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from qwenbuild.errors import UsageError
from qwenbuild.problems import did_you_mean, listing
from qwenbuild.regions import REGION_IDS, REGIONS

from ..addresses import is_loopback

BASE_URL_ENVS: Final = ("DASHSCOPE_HTTP_BASE_URL", "DASHSCOPE_BASE_URL")  # the SDK's v1 and v2 names
WORKSPACE_ENV: Final = "DASHSCOPE_WORKSPACE_ID"

BASE_URLS: Final = {
    "singapore": "https://dashscope-intl.aliyuncs.com/api/v1",
    "beijing": "https://dashscope.aliyuncs.com/api/v1",
    "virginia": "https://dashscope-us.aliyuncs.com/api/v1",
    "hongkong": "https://cn-hongkong.dashscope.aliyuncs.com/api/v1",
}
"""The hosts that all workspaces share. Frankfurt has none: its hosts belong to workspaces."""

WORKSPACE_URLS: Final = {
    region: f"https://{{workspace_id}}.{name}.maas.aliyuncs.com/api/v1" for region, name in REGION_IDS.items()
}
"""The hosts of single workspaces, which the vendor recommends. `trial` in place of an id has lower limits."""

_MISPRINT: Final = "dashscope-max.aliyuncs.com"  # in the first curl example of the API reference of 2026-02-10
_WORKSPACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go: `base_url` without a slash at its end, the region that sets prices, and the workspace.

    `is_users` is True if the host is the vendor's, or the environment names it; False if only a project's file does.
    """

    base_url: str
    region: str
    workspace: str = ""
    is_users: bool = True

    @property
    def host(self) -> str:
        """The host, followed by the port if the base URL names one."""
        return urlsplit(self.base_url).netloc

    @property
    def address(self) -> str:
        """The scheme, the host and the port of the base URL."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def is_vendors(self) -> bool:
        """True if the host is the vendor's own."""
        return _region_of(urlsplit(self.base_url).hostname or "") is not None

    @property
    def is_local(self) -> bool:
        """True if the service runs on this machine, as an emulator does."""
        return is_loopback(urlsplit(self.base_url).hostname or "")


def find_region(table: Mapping[str, Any]) -> str | None:
    """Return the region that the settings name, None for none. Raises UsageError if there is no such region."""
    region = table.get("region")
    if region is not None and region not in REGIONS:
        raise UsageError(
            f'unknown region "{region}"',
            facts=[f"known: {listing(REGIONS)}"],
            hint=did_you_mean(str(region), REGIONS),
            name="unknown-region",
        )
    return region


def find_workspace(table: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """Return the id of the workspace, empty for none: the SDK's variable, else the settings'. Raises UsageError."""
    workspace = environ.get(WORKSPACE_ENV) or table.get("workspace") or ""
    if workspace and not (isinstance(workspace, str) and _WORKSPACE.fullmatch(workspace)):
        raise UsageError(
            f'"{workspace}" is not a workspace id',
            hint="an id has letters, digits, - and _; the Model Studio console shows it",
            name="wrong-workspace",
        )
    return str(workspace)


def find_endpoint(table: Mapping[str, Any], environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint.

    The base URL comes from the SDK's variables, else from `base_url` in `table`, else from the region.
    `table` may hold `region`, `base_url` and `workspace`. A base URL of the vendor determines the region.
    Raises UsageError if a value is invalid, or if region and base URL contradict each other.
    """
    region, workspace = find_region(table), find_workspace(table, environ)
    variable = next((name for name in BASE_URL_ENVS if environ.get(name)), "")
    given = environ[variable] if variable else table.get("base_url")
    if given is None:
        region = region or REGIONS[0]
        if region in BASE_URLS:
            return Endpoint(BASE_URLS[region], region, workspace)
        if not workspace:
            url = WORKSPACE_URLS[region]
            raise UsageError(
                f"the region {region} needs a workspace id: its hosts belong to workspaces",
                facts=[f"such as {url}"],
                hint=f"set {WORKSPACE_ENV}, or workspace under [providers.dashscope]",
                name="wrong-workspace",
            )
        return Endpoint(WORKSPACE_URLS[region].replace("{workspace_id}", workspace), region, workspace)
    origin = variable or "base_url"
    if not isinstance(given, str):
        raise UsageError(
            f"{origin} is not a text", hint=f'write base_url = "{BASE_URLS["singapore"]}"', name="base-url"
        )
    if "{workspace_id}" in given:  # the SDK's own placeholder
        if not workspace:
            raise UsageError(
                f"{origin} needs a workspace id, and none is set", hint=f"set {WORKSPACE_ENV}", name="wrong-workspace"
            )
        given = given.replace("{workspace_id}", workspace)
    parts = _checked(given, origin)
    if parts.hostname == _MISPRINT:
        raise UsageError(
            f"{origin} names {_MISPRINT}, which is a misprint in the vendor's API reference",
            facts=["one of its examples has this host; all others have dashscope.aliyuncs.com, which is Beijing's"],
            hint=f"write {BASE_URLS['beijing']}, or {BASE_URLS['singapore']} with a key of Singapore",
            name="base-url",
        )
    actual = _region_of(parts.hostname or "")
    if actual and region and actual != region:
        raise UsageError(
            f"{origin} points to {actual}, but the region is {region}",
            facts=[f"{origin}: {parts.netloc}"],
            hint=f"choose one of them; the address of {region} is {BASE_URLS.get(region) or WORKSPACE_URLS[region]}",
            name="region-mismatch",
        )
    is_users = bool(variable or actual)
    return Endpoint(parts.geturl().rstrip("/"), actual or region or REGIONS[0], workspace, is_users)


def _checked(url: str, origin: str) -> SplitResult:
    """Return the parts of a base URL that was set by `origin`. Raises UsageError."""
    hint = f"such as {BASE_URLS['singapore']}"
    try:
        parts = urlsplit(url.strip())
        has_valid_port = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        raise UsageError(f"{origin} is not a URL", hint=hint, name="base-url") from None
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            f"{origin} holds a user name or password", hint="put the key into DASHSCOPE_API_KEY", name="base-url"
        )
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not host or not has_valid_port or parts.query or parts.fragment:
        raise UsageError(f"{origin} is not the URL of a service", facts=[f"it is: {url}"], hint=hint, name="base-url")
    if parts.scheme == "http" and not is_loopback(host):
        raise UsageError(
            f"{origin} is plain http: the network could read the key",
            facts=[f"it is: {url}"],
            hint="write https",
            name="base-url",
        )
    return parts


def _region_of(host: str) -> str | None:
    """Return the region of a host of the vendor, None for any other host."""
    for region, url in WORKSPACE_URLS.items():
        shared = urlsplit(BASE_URLS.get(region, "")).hostname
        if host == shared or host.endswith(urlsplit(url).netloc.removeprefix("{workspace_id}")):
            return region
    return None
