"""Pictures: a PNG is verified, a JPEG is decoded only where that is accepted, and all else is refused."""

from __future__ import annotations

import base64
import io

import PIL
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from qwenbuild.errors import BadImage
from qwenbuild.files import png
from qwenbuild.providers.images.pictures import WrongFormat, picture
from qwenbuild.request import Size


def encoded(kind: str, mode: str = "RGB", text: str = "") -> bytes:
    buffer, info = io.BytesIO(), PngInfo()
    info.add_text("seed", text)
    more = {"pnginfo": info} if kind == "PNG" else {}
    Image.new(mode, (64, 32), 100 if mode == "L" else None).save(buffer, kind, **more)
    return buffer.getvalue()


def text_of(image: bytes) -> str:
    return base64.b64encode(image).decode()


def test_a_png_is_kept_as_it_is() -> None:
    """Also one in a data URL. Bytes behind its end are cut off; texts inside do not change its pixels."""
    one, other = encoded("PNG", text="1"), encoded("PNG", text="2")
    found = picture(f"data:image/png;base64,{text_of(one)}", "png", "here")
    assert (found.png, found.facts) == (one, {})
    assert picture(text_of(other + b"more"), "png", "here").png == other
    assert picture(text_of(other), "png", "here").pixels == found.pixels


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_is_decoded_where_it_is_accepted(mode: str) -> None:
    """The provenance says so, with the decoder's version."""
    found = picture(text_of(encoded("JPEG", mode)), "jpeg", "here")
    png.verify(found.png, Size(64, 32))
    assert found.facts == {"received_as": "jpeg", "decoded_by": f"Pillow {PIL.__version__}"}


@pytest.mark.parametrize(
    ("image", "accepted", "claim", "is_final"),
    [
        (encoded("JPEG"), "png", "here sent a JPEG, not a PNG", True),
        (encoded("WEBP"), "jpeg", "here sent a WebP, not a PNG", True),
        (encoded("JPEG")[:200], "jpeg", "here sent a JPEG that can't be decoded", False),
        (encoded("PNG")[:-20], "png", "the PNG is truncated", False),
        (b"<html>", "png", "the bytes are not a PNG image", False),
    ],
)
def test_what_is_refused(image: bytes, accepted: str, claim: str, is_final: bool) -> None:
    """Another attempt may give a whole image, but no other format."""
    with pytest.raises(BadImage) as caught:
        picture(text_of(image), accepted, "here")
    assert (caught.value.claim, isinstance(caught.value, WrongFormat)) == (claim, is_final)
    assert caught.value.retryable is not is_final


def test_what_is_not_base64() -> None:
    """It is not quoted: a server may send the token back."""
    with pytest.raises(BadImage) as caught:
        picture("Bearer tok-canary", "png", "here")
    assert (caught.value.claim, caught.value.facts) == ("here sent an image that is not in base64", ("17 characters",))


def test_a_jpeg_of_too_many_pixels_is_not_decoded() -> None:
    """Its header is enough."""
    image = encoded("JPEG")
    at = image.index(b"\xff\xc0") + 5
    huge = image[:at] + (9000).to_bytes(2) + (9000).to_bytes(2) + image[at + 4 :]
    with pytest.raises(BadImage, match="more pixels than an image can have"):
        picture(text_of(huge), "jpeg", "here")
