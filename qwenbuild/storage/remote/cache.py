"""The remote cache as builds use it: verified results by action key, verified images by digest, and no failures.

An entry of `ac/` is an `ActionResult` in JSON, as in the store; with a secret it names a third
file, whose content is a signature of the key and of both digests. Who can't make the signature
can't make its digest either, so that the entry alone tells whether it is sound.

Invariants: bytes are handed out only when they match their digest; what is wrong, unsigned where
there is a secret, or unreachable is a miss. Blobs go out before the entry that names them.
The first trouble is told once; after a few in a row the remote is left alone.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256 as hash_sha256
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from qwenbuild.digest import canonical_json, sha256
from qwenbuild.errors import RemoteError, RemoteUnreachable, UsageError
from qwenbuild.problems import Problem
from qwenbuild.storage import action_result
from qwenbuild.storage.action_result import IMAGE, PROVENANCE, Entry

from . import bucket as cloud

if TYPE_CHECKING:
    from .http import Transport

SIGNATURE: Final = "signature.hmac-sha256"
MAX_IMAGE_BYTES: Final = 64 * 2**20
MAX_PROVENANCE_BYTES: Final = 1 * 2**20
_PARALLEL: Final = 16
_REMEMBERED_S: Final = 60.0
_LEFT_ALONE_S: Final = 60.0
SCHEMES: Final = ("http", "https", *cloud.SCHEMES)
_IN_A_ROW: Final = 3  # troubles, until the remote is left alone
_AGAIN_S: Final = 0.2
_T = TypeVar("_T")


class RemoteSettings(Protocol):
    """What the project's config says about its remote cache (`[remote]`)."""

    @property
    def url(self) -> str | None:
        """The address, with one of `SCHEMES`; None for no remote cache."""

    @property
    def read_only(self) -> bool:
        """Whether nothing is stored there."""

    @property
    def token_env(self) -> str | None:
        """The environment variable that holds the bearer token."""

    @property
    def secret_env(self) -> str | None:
        """The environment variable that holds the secret of signatures."""

    @property
    def header(self) -> Mapping[str, str]:
        """Headers of every request, by name."""


@dataclass
class Breaker:
    """Counts troubles in a row; while it is open, nothing is asked. `warn` is told of the first."""

    what: str
    warn: Callable[[Problem], None] = field(repr=False)
    troubles: int = 0
    all_troubles: int = 0
    _opened_s: float = -math.inf
    _has_told: bool = False

    @property
    def is_open(self) -> bool:
        """Whether nothing is asked: for a minute, since in a watch the remote may well come back."""
        return time.monotonic() < self._opened_s + _LEFT_ALONE_S

    def open(self) -> None:
        """Have nothing asked for a while."""
        self._opened_s, self.troubles = time.monotonic(), 0

    def failed(self, error: RemoteError) -> None:
        """Take note of a trouble."""
        self.troubles += 1
        self.all_troubles += 1
        if isinstance(error, RemoteUnreachable) or self.troubles >= _IN_A_ROW:
            self.open()
        if not self._has_told:
            self._has_told = True
            self.warn(
                Problem(f"the remote cache is not {self.what}: {error.claim}", facts=error.facts, hint=error.hint)
            )

    def worked(self) -> None:
        """Take note of a success."""
        self.troubles = 0


class Remote:
    """A remote cache over one transport; for one event loop at a time, `opened` there.

    `secret` signs what is stored, and is demanded of what is read; empty for neither.
    """

    def __init__(self, connect: Callable[[], Transport], *, name: str, writes: bool, secret: bytes = b"") -> None:
        self._connect, self.name, self.writes, self._secret = connect, name, writes, secret
        self._warnings: list[Problem] = []
        self._reading = Breaker("read", self._warnings.append)
        self._writing = Breaker("written", self._warnings.append)
        self._answers: dict[str, tuple[float, Entry | None]] = {}
        self._transport: Transport | None = None

    def warn(self, problem: Problem) -> None:
        """Have a build tell something."""
        self._warnings.append(problem)

    def warnings(self) -> list[Problem]:
        """Return the warnings that were not returned before."""
        found, self._warnings[:] = list(self._warnings), []
        return found

    async def __aenter__(self) -> Remote:
        self._transport = self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        transport, self._transport = self._transport, None
        if transport:
            await transport.aclose()

    # --- reading ---

    async def find(self, keys: Collection[str], images: Collection[str]) -> dict[str, Entry]:
        """Return what the remote has: entries by action key, and by digest those of images that are asked for so.

        Answers are remembered for a minute, since a watch asks again at each save.
        """
        found: dict[str, Entry] = {}
        seats = asyncio.Semaphore(_PARALLEL)

        async def ask(name: str, *, is_key: bool) -> None:
            known = self._answers.get(name)
            if known is None or known[0] < time.monotonic() - _REMEMBERED_S:
                async with seats:
                    if self._reading.is_open:
                        return
                    troubles = self._reading.all_troubles
                    known = (time.monotonic(), await (self.entry(name) if is_key else self._image(name)))
                if troubles == self._reading.all_troubles:  # else it may be there for all that
                    self._answers[name] = known
            if known[1]:
                found[name] = known[1]

        await asyncio.gather(*(ask(it, is_key=True) for it in keys), *(ask(it, is_key=False) for it in images))
        return found

    async def entry(self, key: str) -> Entry | None:
        """Return the entry of an action key; None where there is none, or none that is sound."""
        content = await self._get(f"ac/{key}", action_result.MAX_BYTES)
        if content is None:
            return None
        files = action_result.parse_files(content) or {}
        entry = action_result.entry_of(key, files)
        if entry is None:
            self._distrust("sent something that is no action result")
            return None
        if self._secret and not hmac.compare_digest(files.get(SIGNATURE, ("", 0))[0], sha256(self._signature(entry))):
            self._distrust("has an entry without a valid signature")
            return None
        return entry

    async def _image(self, digest: str) -> Entry | None:
        try:
            has = await self._tried(lambda remote: remote.has(f"cas/{digest}"))
        except RemoteError as error:
            self._failed(self._reading, error)
            return None
        self._reading.worked()
        return Entry("", digest, 0, "") if has else None

    async def blob(self, digest: str, limit: int) -> bytes | None:
        """Return the bytes of a digest; None where they are not there, or others."""
        content = await self._get(f"cas/{digest}", limit)
        if content is not None and await asyncio.to_thread(sha256, content) != digest:
            self._distrust("sent something else than was asked for")
            return None
        return content

    async def _get(self, path: str, limit: int) -> bytes | None:
        if self._reading.is_open:
            return None
        try:
            content = await self._tried(lambda remote: remote.get(path, limit))
        except RemoteError as error:
            self._failed(self._reading, error)
            return None
        self._reading.worked()
        return content

    def _distrust(self, what: str) -> None:
        self._failed(self._reading, RemoteError(f"{self.name} {what}; it is not used"))

    def _failed(self, breaker: Breaker, error: RemoteError) -> None:
        breaker.failed(error)
        if isinstance(error, RemoteUnreachable):  # for both: one warning says it
            self._reading.open()
            self._writing.open()

    # --- writing ---

    @property
    def may_write(self) -> bool:
        """Whether storing makes sense: it is allowed, and has not failed too often."""
        return self.writes and not self._writing.is_open

    async def store(self, entry: Entry, image: bytes, provenance: bytes) -> bool:
        """Store an entry and its blobs; return whether that was done. Never raises."""
        if not self.may_write:
            return False
        files = {IMAGE: image, PROVENANCE: provenance}
        if self._secret:
            files[SIGNATURE] = self._signature(entry)
        named = {name: (sha256(content), len(content)) for name, content in files.items()}
        blobs = {f"cas/{named[name][0]}": content for name, content in files.items()}
        try:
            for path, content in {**blobs, f"ac/{entry.key}": action_result.render(named)}.items():
                await self._tried(partial(_put, path, content))
        except RemoteError as error:
            self._failed(self._writing, error)
            return False
        self._writing.worked()
        return True

    def _signature(self, entry: Entry) -> bytes:
        said: Mapping[str, str] = {"image": entry.image, "key": entry.key, "provenance": entry.provenance}
        return hmac.new(self._secret, canonical_json(said), hash_sha256).hexdigest().encode()

    # --- both ---

    async def _tried(self, ask: Callable[[Transport], Awaitable[_T]]) -> _T:
        """Ask the transport, once more where the trouble may pass: a miss can cost a render. Raises RemoteError."""
        assert self._transport is not None
        try:
            return await ask(self._transport)
        except RemoteUnreachable:
            raise
        except RemoteError:
            await asyncio.sleep(_AGAIN_S)
        return await ask(self._transport)


async def _put(path: str, content: bytes, remote: Transport) -> None:
    await remote.put(path, content)


def of(config: RemoteSettings, asked: str | None, environ: Mapping[str, str]) -> Remote | None:
    """Return the remote cache that the config names, or that was `asked` for; None for none, which "" asks for.

    Where the variable of the token or of the secret is named and empty, as in the builds of others' pull
    requests, nothing is stored. Raises UsageError for a URL that can't be one.
    """
    url = config.url if asked is None else asked
    if not url:
        return None
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES:
        hint = "such as https://cache.example/qwenbuild, or s3://my-bucket/qwenbuild"
        raise UsageError("the remote cache's URL is none that qwenbuild knows", hint=hint)
    bucket = cloud.Bucket(url, environ) if scheme in cloud.SCHEMES else None
    secrets = {name: environ.get(name, "") for name in (config.token_env, config.secret_env) if name}
    own = asked in (None, config.url)  # what the config holds is not for another remote
    headers = dict(config.header) if own else {}
    if own and config.token_env and secrets[config.token_env]:
        headers["Authorization"] = f"Bearer {secrets[config.token_env]}"

    def connect() -> Transport:
        if bucket:
            return bucket
        from .http import HttpTransport  # here, for httpx takes a while to load

        return HttpTransport(url, headers, _shown(url))

    writes = not config.read_only and all(secrets.values())
    secret = secrets.get(config.secret_env or "", "").encode()
    remote = Remote(connect, name=_shown(url), writes=writes, secret=secret)
    if config.secret_env and not secret:
        hint = "what the lock pins is verified all the same"
        remote.warn(Problem(f"entries of the remote cache can't be verified: {config.secret_env} is empty", hint=hint))
    return remote


def _shown(url: str) -> str:
    """Return a URL as messages show it: without user, password, query and fragment."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0].partition('#')[0]}"
