"""SHA-256 over bytes and canonical JSON.

Canonical JSON has sorted keys, no spaces, and UTF-8 text with only the escapes that JSON requires. Equal values give
equal bytes on every machine and version.
"""

from __future__ import annotations

import hashlib
import json

_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def canonical_json(value: object) -> bytes:
    """Return `value` as canonical JSON.

    Raises ValueError for NaN and infinities, and UnicodeEncodeError for unpaired surrogates.
    """
    return _encode(value).encode("utf-8")


def sha256(content: bytes) -> str:
    """Return the SHA-256 of `content` as 64 lower-case hex digits."""
    return hashlib.sha256(content).hexdigest()
