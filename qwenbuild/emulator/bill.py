"""What the emulator was sent, what it would have billed for it, and the links by which the images are to be had.

Invariants:
- One charge for each billed image, with the whole exchange that ordered it; no key in any of them.
- A link carries its own death date and is signed, as OSS's are; it opens nothing without both.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from qwenbuild.request import Request

from .request_body import Order
from .wire_format import Refusal, china_time, link_expired

BUCKETS = (
    "dashscope-result-bj", "dashscope-result-hz", "dashscope-result-sh", "dashscope-result-wlcb",
    "dashscope-result-zjk", "dashscope-result-sz", "dashscope-result-hy", "dashscope-result-cd",
    "dashscope-result-gz", "dashscope-result-wlcb-acdr-1",
)  # fmt: skip
"""The ten result buckets of the API reference of 2026-02."""


@dataclass(slots=True, eq=False)
class Exchange:
    """One call as it came, the Authorization header masked, and how it went.

    `body` is the parsed JSON, or the text where it is none. `status` is the answer's, 0 while there
    is none; `fault` is the notation of the fault that befell it. `answered` says that a true answer
    was handed to the network.
    """

    operation: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Any
    at_s: float
    fault: str = ""
    status: int = 0
    answered: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "at": china_time(self.at_s), "operation": self.operation, "method": self.method, "path": self.path,
            "query": self.query, "headers": dict(self.headers), "body": self.body,
            "fault": self.fault, "status": self.status, "answered": self.answered,
        }  # fmt: skip


@dataclass(slots=True, eq=False)
class Charge:
    """One billed image; `delivered` says that it was downloaded whole."""

    account: str
    order: Order
    price_cny: Decimal
    at_s: float
    exchange: Exchange
    task_id: str = ""
    delivered: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "digest": self.order.digest, "interface": self.order.interface, **self.order.wire(),
            "account": self.account, "price_cny": str(self.price_cny), "at": china_time(self.at_s),
            "task_id": self.task_id, "answered": self.exchange.answered, "delivered": self.delivered,
            "exchange": self.exchange.as_json(),
        }  # fmt: skip


class Bill:
    """All charges since the start or the last reset."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.charges: list[Charge] = []

    @property
    def amount_cny(self) -> Decimal:
        return sum((charge.price_cny for charge in self.charges), Decimal(0))

    def totals(self) -> list[tuple[str, str, int, Decimal]]:
        """Return (account, model, images, amount in CNY), sorted."""
        prices = {(charge.account, charge.order.model): charge.price_cny for charge in self.charges}
        counts = Counter((charge.account, charge.order.model) for charge in self.charges)
        return [(*key, count, prices[key] * count) for key, count in sorted(counts.items())]

    def as_json(self) -> dict[str, Any]:
        return {
            "region": self.region, "currency": "CNY", "count": len(self.charges), "amount": str(self.amount_cny),
            "totals": [
                {"account": account, "model": model, "count": count, "amount": str(amount)}
                for account, model, count, amount in self.totals()
            ],
            "records": [charge.as_json() for charge in self.charges],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Image:
    """A result: which image of which order it is, when its link dies, and its charge."""

    id: str
    order: Order
    index: int
    expires_s: int
    charge: Charge = field(repr=False)

    def request(self, family: str) -> Request:
        """Return the request that renders it."""
        return self.order.request(family, self.index)


class Results:
    """The images that were made and have not died yet."""

    def __init__(self) -> None:
        self._images: dict[str, Image] = {}
        self._secret = secrets.token_bytes(32)

    def add(self, index: int, expires_s: float, charge: Charge) -> Image:
        """Return a new image of `charge`'s order."""
        image = Image(secrets.token_hex(16), charge.order, index, int(expires_s), charge)
        self._images[image.id] = image
        return image

    def link(self, image: Image) -> str:
        """Return the signed path and query at which the image is to be had."""
        bucket = BUCKETS[int(image.id[:8], 16) % len(BUCKETS)]
        path = f"/results/{bucket}/7d/{image.id}.png"
        expires = str(image.expires_s)
        return f"{path}?Expires={expires}&OSSAccessKeyId=EMULATOR&Signature={self._signature(path, expires)}"

    def open(self, path: str, query: Mapping[str, str], now: float) -> Image:
        """Return the image behind a link; raises Refusal with OSS's codes."""
        expires, signature = query.get("Expires", ""), query.get("Signature", "")
        if not hmac.compare_digest(signature.encode(), self._signature(path, expires).encode()):
            raise Refusal("SignatureDoesNotMatch", "The request signature we calculated does not match.", status=403)
        if now > int(expires):
            raise link_expired()
        image = self._images.get(path.rpartition("/")[2].removesuffix(".png"))
        if image is None:
            raise Refusal("NoSuchKey", "The specified key does not exist.", status=404)
        return image

    def forget(self, now: float) -> None:
        """Drop the images whose links have died."""
        # Lifetimes are equal, so the oldest come first.
        while self._images and (oldest := next(iter(self._images.values()))).expires_s < now:
            del self._images[oldest.id]

    def _signature(self, path: str, expires: str) -> str:
        digest = hmac.digest(self._secret, f"GET\n\n\n{expires}\n{path}".encode(), hashlib.sha1)
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")
