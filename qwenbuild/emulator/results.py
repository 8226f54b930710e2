"""Finished images and their download links, signed as Alibaba's object storage (OSS) signs them.

Invariant: a link opens its image only with the right signature and before its expiry time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from qwenbuild.request import Request

from .bill import Charge
from .request_body import Order
from .vendor_errors import Refusal, link_expired

BUCKETS = (
    "dashscope-result-bj", "dashscope-result-hz", "dashscope-result-sh", "dashscope-result-wlcb",
    "dashscope-result-zjk", "dashscope-result-sz", "dashscope-result-hy", "dashscope-result-cd",
    "dashscope-result-gz", "dashscope-result-wlcb-acdr-1",
)  # fmt: skip
"""The ten result buckets of the API reference of 2026-02."""


@dataclass(frozen=True, slots=True)
class Image:
    """A finished image: image `index` (from 0) of `order`. Its link expires at `expires_s` (epoch seconds)."""

    id: str
    order: Order
    index: int
    expires_s: int
    charge: Charge = field(repr=False)

    def request(self, family: str) -> Request:
        """Return the request that draws this image, for the provider family `family`."""
        return self.order.request(family, self.index)


class Results:
    """All finished images whose links have not expired."""

    def __init__(self) -> None:
        self._images: dict[str, Image] = {}
        self._secret = secrets.token_bytes(32)

    def add(self, index: int, expires_s: float, charge: Charge) -> Image:
        """Add and return image `index` of the charge's order. Its link expires at `expires_s`."""
        image = Image(secrets.token_hex(16), charge.order, index, int(expires_s), charge)
        self._images[image.id] = image
        return image

    def link(self, image: Image) -> str:
        """Return the signed path and query from which the image is downloaded."""
        bucket = BUCKETS[int(image.id[:8], 16) % len(BUCKETS)]
        path = f"/results/{bucket}/7d/{image.id}.png"
        expires = str(image.expires_s)
        return f"{path}?Expires={expires}&OSSAccessKeyId=EMULATOR&Signature={self._signature(path, expires)}"

    def open(self, path: str, query: Mapping[str, str], now: float) -> Image:
        """Return the image of a link; raises Refusal with the codes of OSS.

        The link is refused if its signature is wrong, if it has expired, or if its image is gone.
        """
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
        """Remove the images whose links have expired."""
        # All lifetimes are equal, so the oldest images come first.
        while self._images and (oldest := next(iter(self._images.values()))).expires_s < now:
            del self._images[oldest.id]

    def _signature(self, path: str, expires: str) -> str:
        digest = hmac.digest(self._secret, f"GET\n\n\n{expires}\n{path}".encode(), hashlib.sha1)
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")
