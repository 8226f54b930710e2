"""Pictures: the image inside an answer, verified, as PNG. A JPEG is decoded only if the settings accept that."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from qwenbuild.errors import BadImage
from qwenbuild.files import png

from ..same_images import pixels_of

_MOST_PIXELS: Final = 1 << 26  # as in `files.png`: no image is asked for that has more
_OTHER_FORMATS: Final = ((b"RIFF", "a WebP"), (b"GIF8", "a GIF"), (b"\0\0\0", "an AVIF image or a video"))
_JPEG: Final = b"\xff\xd8\xff"


class WrongFormat(BadImage):
    """The image is no PNG. Another attempt would give the same."""

    retryable = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A verified image as PNG. `pixels` is a digest of its pixel data, which no text chunk changes."""

    png: bytes = field(repr=False)
    pixels: str
    facts: Mapping[str, Any] = field(default_factory=dict)  # for the provenance


def picture(text: str, accepted: str, server: str) -> Picture:
    """Return the image that is written in base64. `accepted` is "png", or "jpeg" for both.

    Takes tens of milliseconds. Raises BadImage.
    """
    try:
        image = base64.b64decode(text.partition(";base64,")[2] or text, validate=True)
    except (binascii.Error, ValueError):
        # What it sent instead is not shown: it may be the token.
        raise BadImage(f"{server} sent an image that is not in base64", facts=[f"{len(text):,} characters"]) from None
    facts: Mapping[str, Any] = {}
    if image.startswith(_JPEG):
        if accepted != "jpeg":
            raise WrongFormat(
                f"{server} sent a JPEG, not a PNG",
                facts=["a JPEG has lost detail, and qwenbuild keeps pixels as they were made"],
                hint='accept = "jpeg" under [providers.images] takes it: it is decoded, and stored as PNG',
                name="not-png",
            )
        image, facts = _decoded(image, server)
    for start, what in _OTHER_FORMATS:
        if image.startswith(start):
            raise WrongFormat(f"{server} sent {what}, not a PNG", facts=[f"{len(image):,} bytes"], name="not-png")
    length = png.verify(image)
    image = image[:length]
    return Picture(image, pixels_of(image), facts)


def _decoded(image: bytes, server: str) -> tuple[bytes, Mapping[str, Any]]:
    """Return a JPEG as PNG, and what the provenance says about that. Raises BadImage."""
    import PIL
    from PIL import Image  # here, because most servers send PNG

    decoded = io.BytesIO()
    try:
        with Image.open(io.BytesIO(image), formats=["JPEG"]) as opened:
            is_huge = opened.width * opened.height > _MOST_PIXELS
            whole = opened if opened.mode in ("L", "RGB") or is_huge else opened.convert("RGB")
            if not is_huge:  # only the header has been read
                whole.save(decoded, "PNG")
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
        facts = [f"{type(error).__name__}: {error}", f"{len(image):,} bytes"]
        raise BadImage(f"{server} sent a JPEG that can't be decoded", facts=facts) from None
    if is_huge:
        raise BadImage(f"{server} sent a JPEG of more pixels than an image can have", facts=[f"{len(image):,} bytes"])
    return decoded.getvalue(), {"received_as": "jpeg", "decoded_by": f"Pillow {PIL.__version__}"}
