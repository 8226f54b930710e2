"""Belonging: whether bytes are the image of a request, for the store and for the remote cache alike.

A digest proves that bytes are those that an entry names. It does not prove that the entry names the right bytes:
somebody may have restored a folder, or may have written into the remote cache.
"""

from __future__ import annotations

from qwenbuild.emulation import is_unmarked, may_be_unmarked
from qwenbuild.errors import BadImage
from qwenbuild.files import png
from qwenbuild.files.provenance import read_provenance
from qwenbuild.request import Size


def is_image_of(image: bytes, key: str, size: Size, *, decode: bool) -> bool:
    """Return whether `image` is one whole PNG of `size`, nothing more, and carries `key` as the key of its request.

    An emulator's image that an older version took for the service's belongs to no request.

    With `decode`, every checksum and every pixel is looked at. Without, the bytes must be known by their digest: then
    their pixels were decoded before they were stored, and decoding takes ten times as long as the digest.
    """
    try:
        is_whole = png.verify(image, size) == len(image) if decode else png.is_whole(image, size)
        return is_whole and _carries(image, key)
    except BadImage:
        return False


def _carries(image: bytes, key: str) -> bool:
    # Reading the provenance takes ten times as long as finding the key in it. No text in JSON holds these quotes.
    head = image[: max(0, image.find(b"IDAT"))]
    if b'"action_key":"%b"' % key.encode() in head and not may_be_unmarked(head):
        return True
    provenance = read_provenance(image) or {}
    return provenance.get("action_key") == key and not is_unmarked(provenance)
