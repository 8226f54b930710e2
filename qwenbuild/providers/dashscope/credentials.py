"""Credentials: the API key, found where the vendor's SDK finds it.

Invariant: only `ApiKey.reveal` shows a key; the key's `repr`, `str` and errors never hold it.

Source: the `dashscope` SDK 2.0.2 (`common/api_key.py`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from qwenbuild.digest import sha256
from qwenbuild.errors import AccountError

from .error_codes import KEYS_URL

KEY_ENV: Final = "DASHSCOPE_API_KEY"
KEY_FILE_ENV: Final = "DASHSCOPE_API_KEY_FILE_PATH"

_MAX_KEY: Final = 512  # characters


class ApiKey:
    """An API key that only `reveal` shows. `origin` names the variable or the file that holds it."""

    __slots__ = ("_value", "origin")

    def __init__(self, value: str, origin: str) -> None:
        """Raises AccountError if `value` can't be a key. The message says why and does not show the value."""
        defect = _defect(value)
        if defect:
            raise AccountError(
                f"the API key in {origin} {defect}",
                hint=f"copy it again, alone on its line, from the Model Studio console: {KEYS_URL}",
                name="malformed-api-key",
            )
        self._value = value
        self.origin = origin

    def reveal(self) -> str:
        """Return the key itself."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """12 hex digits that differ between keys. They don't reveal the key, which has at least 128 random bits."""
        return sha256(b"qwenbuild account\0" + self._value.encode())[:12]

    @property
    def is_plan(self) -> bool:
        """True for a key of a coding plan, which the image service refuses (third parties, October 2026)."""
        return self._value.startswith("sk-sp-")

    def __repr__(self) -> str:
        return f"ApiKey(***, origin={self.origin!r})"


def _defect(value: str) -> str:
    """Return why `value` can't be a key, as the end of a sentence; empty if it can."""
    if not value:
        return "is empty"
    if value != value.strip():
        return "has spaces or line ends around it"
    if value[0] in "\"'“”‘’" or value[-1] in "\"'“”‘’":
        return "is in quotes"
    if value.lower().startswith("bearer "):
        return 'begins with "Bearer": leave that out'
    if not value.isascii():
        return "has characters that no key has (not ASCII)"
    if not value.isprintable() or " " in value:
        return "has spaces or control characters in it"
    return f"is longer than {_MAX_KEY} characters" if len(value) > _MAX_KEY else ""


def find_key(environ: Mapping[str, str]) -> ApiKey:
    """Return the API key.

    It comes from `DASHSCOPE_API_KEY`, else from the file that `DASHSCOPE_API_KEY_FILE_PATH` names, else from
    `~/.dashscope/api_key`. An empty variable counts as not set. Raises AccountError if there is no valid key.
    """
    if environ.get(KEY_ENV):
        return ApiKey(environ[KEY_ENV], KEY_ENV)
    home = environ.get("HOME") or environ.get("USERPROFILE") or os.path.expanduser("~")
    default = Path(home) / ".dashscope" / "api_key"
    key_file = environ.get(KEY_FILE_ENV)
    path = Path(key_file) if key_file else default
    try:
        return ApiKey(path.read_text("utf-8").strip(), str(path))
    except FileNotFoundError:
        missing = f"{path}, set by {KEY_FILE_ENV}, does not exist" if key_file else ""
    except (OSError, UnicodeDecodeError) as error:
        missing = f"{path} can't be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}"
    raise AccountError(
        "no API key for the dashscope provider",
        facts=[missing or f"looked at: {KEY_ENV}, {KEY_FILE_ENV}, {default}"],
        hint=f"set {KEY_ENV} to a key from {KEYS_URL}; `--provider draft` renders without one",
        name="no-api-key",
    )
