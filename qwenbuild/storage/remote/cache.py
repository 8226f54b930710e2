"""The remote cache: verified action results by key, and verified images by digest.

An entry in `ac/` is an action result, as in the store. With a secret, the result names a third file,
whose content is a signature of the key and both digests. The digest of that file can't be computed without
the secret. So the entry can be checked without reading the file.

Invariants: bytes are returned only if they match their digest. A wrong answer, a missing signature or an
unreachable remote is a miss. Blobs are stored before the entry that names them. The first failure of
reading gives one warning, and so does the first failure of writing. After three failures in a row, no
request is sent for a minute. Each request has a deadline for the whole of it. If it passes, the remote counts as
unreachable: no request is sent for a minute.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from hashlib import sha256 as hash_sha256
from typing import Final, TypeVar

from qwenbuild.digest import canonical_json, sha256
from qwenbuild.errors import RemoteError, RemoteUnreachable
from qwenbuild.problems import Problem

from .. import action_result
from ..action_result import IMAGE, PROVENANCE, Entry
from .breaker import Breaker
from .transport import WHOLE_S, Transport

SIGNATURE: Final = "signature.hmac-sha256"
MAX_IMAGE_BYTES: Final = 64 * 2**20
MAX_PROVENANCE_BYTES: Final = 1 * 2**20
_PARALLEL: Final = 16
_REMEMBERED_S: Final = 60.0
_RETRY_S: Final = 0.2
_T = TypeVar("_T")


class Remote:
    """A remote cache over one transport. Use it as an async context, in one event loop at a time.

    With a `secret`, stored entries are signed, and entries without a valid signature are not read. With
    `writes` False nothing is stored. `name` is the URL that messages show.
    """

    def __init__(
        self, connect: Callable[[], Transport], *, name: str, writes: bool, secret: bytes = b"",
        clock: Callable[[], float] = time.monotonic, whole_s: Mapping[str, float] = WHOLE_S,
    ) -> None:  # fmt: skip
        self._connect, self.name, self.writes, self._secret, self._clock = connect, name, writes, secret, clock
        self._whole_s = whole_s
        self._warnings: list[Problem] = []
        self._reading = Breaker("read", self._warnings.append, clock)
        self._writing = Breaker("written", self._warnings.append, clock)
        self._answers: dict[str, tuple[float, Entry | None]] = {}
        self._transport: Transport | None = None

    def warn(self, problem: Problem) -> None:
        """Add a warning that the next build will show."""
        self._warnings.append(problem)

    def warnings(self) -> list[Problem]:
        """Return the warnings since the last call."""
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
        """Return the entries that the remote has: those of `keys` by key, and those of `images` by digest.

        The entry of an image has an empty key and no provenance. Answers are remembered for a minute,
        because a watch calls this at each save.
        """
        found: dict[str, Entry] = {}
        slots = asyncio.Semaphore(_PARALLEL)

        async def ask(name: str, *, is_key: bool) -> None:
            answer = self._answers.get(name)
            if answer is None or answer[0] < self._clock() - _REMEMBERED_S:
                async with slots:
                    if self._reading.is_open:
                        return
                    failures = self._reading.all_failures
                    answer = (self._clock(), await (self.entry(name) if is_key else self._image(name)))
                if failures == self._reading.all_failures:  # after a failure, None does not mean a miss
                    self._answers[name] = answer
            if answer[1]:
                found[name] = answer[1]

        of_keys, of_images = (ask(key, is_key=True) for key in keys), (ask(image, is_key=False) for image in images)
        await asyncio.gather(*of_keys, *of_images)
        return found

    async def entry(self, key: str) -> Entry | None:
        """Return the entry of an action key; None if there is no valid entry."""
        content = await self._get(f"ac/{key}", action_result.MAX_BYTES)
        if content is None:
            return None
        files = action_result.parse_files(content) or {}
        entry = action_result.entry_of(key, files)
        if entry is None:
            self._reject("bytes that are not an action result")
            return None
        if self._secret and not hmac.compare_digest(files.get(SIGNATURE, ("", 0))[0], sha256(self._signature(entry))):
            self._reject("an entry without a valid signature")
            return None
        return entry

    async def _image(self, digest: str) -> Entry | None:
        try:
            has = await self._with_retry("ac", lambda transport: transport.has(f"cas/{digest}"))
        except RemoteError as error:
            self._failed(self._reading, error)
            return None
        self._reading.worked()
        return Entry("", digest, 0, "") if has else None

    async def blob(self, digest: str, limit: int) -> bytes | None:
        """Return the bytes of a digest; None if they are missing, wrong, or more than `limit`."""
        content = await self._get(f"cas/{digest}", limit)
        if content is not None and await asyncio.to_thread(sha256, content) != digest:
            self._reject("bytes that do not match their digest")
            return None
        return content

    async def _get(self, path: str, limit: int) -> bytes | None:
        if self._reading.is_open:
            return None
        try:
            content = await self._with_retry(_kind(path), lambda transport: transport.get(path, limit))
        except RemoteError as error:
            self._failed(self._reading, error)
            return None
        self._reading.worked()
        return content

    def _reject(self, answer: str) -> None:
        self._failed(
            self._reading, RemoteError(f"{self.name} sent {answer}; the answer is ignored", name="remote-failed")
        )

    def _failed(self, breaker: Breaker, error: RemoteError) -> None:
        breaker.failed(error)
        if isinstance(error, RemoteUnreachable):  # reading and writing stop together, so there is one warning
            self._reading.open()
            self._writing.open()

    # --- writing ---

    @property
    def may_write(self) -> bool:
        """Whether entries should be stored: writing is allowed, and did not fail too often."""
        return self.writes and not self._writing.is_open

    async def store(self, entry: Entry, image: bytes, provenance: bytes) -> bool:
        """Store an entry and its blobs; return True if everything was stored. Never raises."""
        if not self.may_write:
            return False
        files = {IMAGE: image, PROVENANCE: provenance}
        if self._secret:
            files[SIGNATURE] = self._signature(entry)
        named = {name: (sha256(content), len(content)) for name, content in files.items()}
        blobs = {f"cas/{named[name][0]}": content for name, content in files.items()}
        try:
            for path, content in {**blobs, f"ac/{entry.key}": action_result.render(named)}.items():
                await self._with_retry(_kind(path), partial(_put, path, content))
        except RemoteError as error:
            self._failed(self._writing, error)
            return False
        self._writing.worked()
        return True

    def _signature(self, entry: Entry) -> bytes:
        signed: Mapping[str, str] = {"image": entry.image, "key": entry.key, "provenance": entry.provenance}
        return hmac.new(self._secret, canonical_json(signed), hash_sha256).hexdigest().encode()

    # --- both ---

    async def _with_retry(self, kind: str, request: Callable[[Transport], Awaitable[_T]]) -> _T:
        """Send a request, and repeat it once if the failure may be temporary. A miss can cost a render.

        A request of the kind "ac" carries few bytes, one of the kind "cas" may carry an image.
        """
        try:
            return await self._in_time(kind, request)
        except RemoteUnreachable:
            raise
        except RemoteError:
            await asyncio.sleep(_RETRY_S)
        return await self._in_time(kind, request)

    async def _in_time(self, kind: str, request: Callable[[Transport], Awaitable[_T]]) -> _T:
        """Send a request. Raises RemoteUnreachable if its whole answer takes too long."""
        assert self._transport is not None
        try:
            async with asyncio.timeout(self._whole_s[kind]):
                return await request(self._transport)
        except TimeoutError:
            claim = f"{self.name} gave no complete answer within {self._whole_s[kind]:g} s"
            raise RemoteUnreachable(claim, name="remote-unreachable") from None


def _kind(path: str) -> str:
    return path.partition("/")[0]


async def _put(path: str, content: bytes, transport: Transport) -> None:
    await transport.put(path, content)
