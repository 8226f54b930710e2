"""Tests of drawn drafts: valid PNGs of the right size, the same bytes everywhere, and what they show."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from qwenbuild.digest import sha256
from qwenbuild.files import png
from qwenbuild.providers.draft import artwork
from qwenbuild.providers.draft.artwork import image
from qwenbuild.providers.draft.layout import layout
from qwenbuild.providers.draft.placed import Box
from qwenbuild.request import Request, Size
from tests.support import looks
from tests.support.drafts import CHINESE, ENGLISH, PROMPTS, SIZES, parti_prompts, request

LOOKED_AT = looks.looked_at()


def draft(wanted: Request) -> bytes:
    return artwork.draft(wanted).png


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


@pytest.mark.parametrize(("prompt", "size"), list(zip(PROMPTS, cycle(SIZES), strict=False)), ids=range(len(PROMPTS)))
def test_every_draft_is_a_png_of_its_size(prompt: str, size: Size) -> None:
    """Each hard prompt gives a valid PNG of exactly the requested size that is not blank."""
    content = draft(request(prompt, size))
    png.verify(content, size)
    assert len(opened(content).getcolors(1 << 24) or ()) > 20


@given(st.builds(Size, st.integers(1, 700), st.integers(1, 700)), st.integers(0, 2_147_483_647))
@settings(max_examples=40)
def test_an_image_of_any_size_is_drawn(size: Size, seed: int) -> None:
    """From one pixel upwards, the image has the size of the request."""
    content = draft(request(size=size, seed=seed))
    png.verify(content, size)
    assert opened(content).size == size


def test_the_largest_size_is_drawn() -> None:
    """So has the largest image that the service makes."""
    png.verify(draft(request(size=Size(2688, 1536))), Size(2688, 1536))


_PROGRAM = """
import hashlib, json, sys
from qwenbuild.providers.draft.artwork import draft
from qwenbuild.request import Request
print(json.dumps([hashlib.sha256(draft(Request.from_dict(fields)).png).hexdigest() for fields in json.load(sys.stdin)]))
"""


def test_equal_requests_give_equal_bytes_in_every_process() -> None:
    """Threads, and a process with another hash seed and another order, give the same bytes."""
    requests = [request(prompt, SIZES[2], seed) for seed, prompt in enumerate(PROMPTS)]
    here = [hashlib.sha256(draft(each)).hexdigest() for each in requests]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps([each.as_dict() for each in requests[::-1]]),
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert json.loads(done.stdout) == here[::-1]
    with ThreadPoolExecutor(4) as pool:
        assert [sha256(content) for content in pool.map(draft, requests)] == here


def test_each_field_of_a_request_changes_the_draft() -> None:
    """Prompt, seed, model, watermark and label each change the image; the negative prompt does not."""
    base = request()
    others = [
        base._replace(prompt=CHINESE),
        base._replace(seed=2),
        base._replace(model="qwen-image-max"),
        base._replace(watermark=True),
        base._replace(label="puppies/other[seed=1]"),
    ]
    assert len({draft(each) for each in [base, *others]}) == 6
    assert draft(base._replace(negative_prompt="blurry")) == draft(base)


def changed(one: Request, other: Request) -> Box | None:
    """Return the box of the pixels in which two drafts differ."""
    bounds = ImageChops.difference(image(one).convert("RGB"), image(other).convert("RGB")).getbbox()
    return bounds and Box(bounds[0], bounds[1], bounds[2] - bounds[0], bounds[3] - bounds[1])


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_label_is_printed_where_the_layout_says(size: Size) -> None:
    """Another label changes only pixels of the label's line."""
    base = request(size=size)
    (label,) = (item for item in layout(base).placed if item.what == "label")
    box = changed(base, base._replace(label=base.label.replace("poster", "roster")))
    assert box is not None
    assert label.box.x <= box.x < box.right <= label.box.right
    assert label.box.y <= box.y < box.bottom <= size.height


def test_editing_a_text_keeps_the_scene() -> None:
    """Another headline changes no pixel of the strips."""
    box = changed(request(), request(ENGLISH.replace("Come Play Ball!", "Go Play Ball!")))
    assert box is not None
    assert (box.y > layout(request()).strip_px, box.bottom < 1328 - layout(request()).strip_px) == (True, True)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_draft_is_marked_as_a_draft(size: Size) -> None:
    """At every size the upper strip shows the mark with a strong contrast."""
    canvas = image(request("", size)).convert("RGB")
    (mark,) = (item for item in layout(request("", size)).placed if item.what == "mark")
    found = canvas.crop((mark.box.x, mark.box.y, mark.box.right, mark.box.bottom)).convert("L").getextrema()
    assert isinstance(found[0], int)
    assert isinstance(found[1], int)
    assert found[1] - found[0] > 128


@pytest.mark.parametrize("number", range(0, 1632, 204))
def test_parti_prompts_are_drawn(number: int) -> None:
    """A sample of the benchmark's prompts gives valid PNGs of the requested size."""
    size = SIZES[number % 5]
    png.verify(draft(request(parti_prompts()[number], size, seed=number)), size)


@pytest.mark.parametrize("name", LOOKED_AT)
def test_drafts_are_those_that_somebody_has_looked_at(name: str) -> None:
    """Twelve scripts and the prompts of designers give the pixels that were looked at.

    If this fails, look at the drafts again: `python -m tests.support.looks FOLDER`. If any pixel has changed, so must
    `FAMILY` in `provider.py`, unless its present value was never released.
    """
    assert looks.digest(LOOKED_AT[name]) == json.loads(looks.DIGESTS.read_text("utf-8"))[name]
