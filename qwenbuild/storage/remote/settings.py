"""The choice of a remote cache: from the config, the command line and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol
from urllib.parse import urlsplit

from qwenbuild.errors import UsageError
from qwenbuild.problems import Problem
from qwenbuild.trust import Item, Kind, origin, secret

from . import bucket
from .cache import Remote
from .transport import Transport

SCHEMES: Final = ("http", "https", *bucket.SCHEMES)


class RemoteSettings(Protocol):
    """The settings of the remote cache in the project's config (`[remote]`)."""

    @property
    def url(self) -> str | None:
        """The address, with one of `SCHEMES`; None for no remote cache."""

    @property
    def read_only(self) -> bool:
        """Whether the cache is read but never written."""

    @property
    def token_env(self) -> str | None:
        """The environment variable that holds the bearer token."""

    @property
    def secret_env(self) -> str | None:
        """The environment variable that holds the secret of the signatures."""

    @property
    def header(self) -> Mapping[str, str]:
        """Headers of every request, by name."""


def asks(config: RemoteSettings) -> list[Item]:
    """Return what the user must approve before the remote cache of the project's config is used."""
    if not config.url:
        return []
    url, source = _shown(config.url), "[remote] url"
    if config.url.partition("://")[0] in bucket.SCHEMES:
        claim = f"your credentials would open {url}, and images would come from there and go there"
        return [Item(Kind.REMOTES, url, claim, source)]
    found = [Item(Kind.REMOTES, url, f"images would come from {url} and go there", source)]
    if config.token_env:
        found.append(
            secret(config.token_env, url, f"the token in {config.token_env} would go to", "[remote] token_env")
        )
    if config.secret_env:
        use = f"the secret in {config.secret_env} would sign images for"
        found.append(secret(config.secret_env, url, use, "[remote] secret_env"))
    return found


def make_remote(config: RemoteSettings, asked: str | None, environ: Mapping[str, str]) -> Remote | None:
    """Return the remote cache at the URL `asked`, or at the config's URL if `asked` is None; None for no cache.

    An empty `asked` means no cache. The config's token and headers are sent only to the config's URL. If
    the config names a variable for the token or the secret and the variable is empty, nothing is stored:
    builds of other people's pull requests have no secrets. Raises UsageError if no remote cache can have
    this URL.
    """
    url = config.url if asked is None else asked
    if not url:
        return None
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES:
        hint = "such as https://cache.example/qwenbuild, or s3://my-bucket/qwenbuild"
        raise UsageError(
            "the remote cache's URL must start with http, https, s3, gs, az or oss", hint=hint, name="remote-url"
        )
    store = bucket.Bucket(url, environ) if scheme in bucket.SCHEMES else None
    secrets = {name: environ.get(name, "") for name in (config.token_env, config.secret_env) if name}
    is_configured = asked in (None, config.url)
    headers = dict(config.header) if is_configured else {}
    if is_configured and config.token_env and secrets[config.token_env]:
        headers["Authorization"] = f"Bearer {secrets[config.token_env]}"

    def connect() -> Transport:
        if store:
            return store
        from .http import HttpTransport  # imported here because httpx is slow to import

        return HttpTransport(url, headers, _shown(url))

    writes = not config.read_only and all(secrets.values())
    secret = secrets.get(config.secret_env or "", "").encode()
    remote = Remote(connect, name=_shown(url), writes=writes, secret=secret)
    if config.secret_env and not secret:
        hint = "images that the lock pins are still verified"
        remote.warn(
            Problem(
                f"entries of the remote cache can't be verified: {config.secret_env} is empty",
                hint=hint,
                name="remote-unverified",
            )
        )
    return remote


def _shown(url: str) -> str:
    """Return a URL as messages show it: without user, password, query and fragment."""
    try:
        return origin(url) + urlsplit(url).path
    except ValueError:  # no request can be sent there
        return origin(url)
