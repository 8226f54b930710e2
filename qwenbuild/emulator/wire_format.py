"""The vendor's wire format: ids, times, JSON, and OSS's XML error documents.

Sources: Model Studio, "asynchronous task management", and the Qwen-Image API reference (2026-02).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from xml.sax.saxutils import escape

from .vendor_errors import Refusal

API_PATH = "/api/v1"
"""The path under which the vendor's API lies; a base URL ends with it."""

CHINA_TIME = timezone(timedelta(hours=8))


def new_id() -> str:
    """Return a new id in the form of the service's request and task ids."""
    return str(uuid.uuid4())


def encode(body: Mapping[str, Any]) -> bytes:
    """Return `body` as JSON the way the service writes it: compact UTF-8 without escapes."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def china_time(at_s: float) -> str:
    """Return seconds since the epoch as `YYYY-MM-DD HH:mm:ss.SSS` in UTC+8, the form of task answers."""
    moment = datetime.fromtimestamp(at_s, CHINA_TIME)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"


def parsed_time(text: str) -> float:
    """Read `YYYYMMDDhhmmss` in UTC+8, the form of the task list's filters.

    Returns seconds since the epoch; raises Refusal for any other text.
    """
    try:
        moment = datetime.strptime(text, "%Y%m%d%H%M%S")
    except ValueError:
        raise Refusal("InvalidParameter", "start_time and end_time must be in the format YYYYMMDDhhmmss.") from None
    return moment.replace(tzinfo=CHINA_TIME).timestamp()


def oss_error(code: str, message: str, host: str) -> bytes:
    """Return the XML document with which OSS answers a failed download."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error>\n  <Code>{escape(code)}</Code>\n  <Message>{escape(message)}</Message>\n"
        f"  <RequestId>{uuid.uuid4().hex[:24].upper()}</RequestId>\n  <HostId>{escape(host)}</HostId>\n</Error>\n"
    ).encode()
