"""Access: which pages may act, such as render for money, write into a spec, or open an editor.

The address in the terminal ends with a key, after `#`. A browser keeps that part for itself. With each act the page
proves that it has the key: it sends the HMAC-SHA-256 of the server's challenge, of the act, and of the act's body.

A challenge is new for each server. The key is not: it follows from a secret in the user's cache folder, from the
project's folder, and from the port. So a page that was opened before can act again once `watch` is back on its port.

| who might act | what prevents it |
|---|---|
| another site | Its `Origin` is refused (see `guard`). It can't read the page, so it knows no challenge. |
| another port of this machine | Its `Origin` has another port. No cookie is used: a cookie goes to every port. |
| another name for this machine (DNS rebinding) | Its `Host` is refused (see `guard`). |
| another user of this machine | Only its owner can read the secret, and no call holds the key. |
| a server that takes the port later | It gets proofs for its own challenge alone, and no script reads the key. |
| a server on another port that passes calls on | Each port has another key. |
| a cloned project | It brings no secret: no file of a project is read. |
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from qwenbuild.files import atomic, regular
from qwenbuild.files.user_folders import cache_folder
from qwenbuild.version import __version__

PROOF: Final = "x-qwenbuild-proof"
"""The header with the proof of an act, in hex."""

_SECRET_BYTES = 32
_KEY_BYTES = 24
_NAME = "preview.secret"


class Access:
    """The access to one server. `challenge` and `identity` are for everybody; set `port` when it is known.

    `identity` is another one for each project and each version of qwenbuild, so that a page notices another server.
    """

    def __init__(self, root: Path, port: int = 0, secret: bytes | None = None) -> None:
        self.port = port
        self._secret, self._folder = secret or user_secret(), os.fsencode(os.path.realpath(root))
        self.identity = self._derived(b"page", __version__)[:8].hex()
        self.challenge = secrets.token_hex(16)

    @property
    def key(self) -> str:
        """The key, for the address."""
        return base64.urlsafe_b64encode(self._derived(b"key", str(self.port))[:_KEY_BYTES]).decode()

    def _derived(self, use: bytes, text: str) -> bytes:
        return hmac.digest(self._secret, b"\n".join((use, text.encode(), self._folder)), "sha256")

    def allows(self, proof: str, act: str, body: bytes) -> bool:
        """Return whether `proof` is that of a page with the key. `act` is the path of the call."""
        return hmac.compare_digest(proof.encode(), self.proof(act, body).encode())

    def proof(self, act: str, body: bytes) -> str:
        """Return the proof of a call, in hex."""
        message = f"{self.challenge}\n{act}\n".encode() + body
        return hmac.digest(self.key.encode(), message, "sha256").hex()


def user_secret() -> bytes:
    """Return the secret of this user, which is made if there is none. If it can't be kept, it lasts for one call."""
    folder = cache_folder()
    kept = folder / _NAME if folder else None
    if kept is None:
        return secrets.token_bytes(_SECRET_BYTES)
    with contextlib.suppress(OSError):
        if found := _read(kept):
            return found
    made = secrets.token_bytes(_SECRET_BYTES)
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = atomic.stage(made, kept.parent, mode=0o600, durable=False)
        try:
            os.replace(temporary, kept)
        finally:
            temporary.unlink(missing_ok=True)
    return made


def _read(path: Path) -> bytes:
    """Return the secret in a file; empty if others could have read or written it. Raises OSError."""
    status = os.lstat(path)
    if os.name == "posix" and (status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077):
        return b""
    found = regular.read(path, _SECRET_BYTES) if stat.S_ISREG(status.st_mode) else b""
    return found if len(found) == _SECRET_BYTES else b""
