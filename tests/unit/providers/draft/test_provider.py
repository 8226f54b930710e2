"""Tests of the draft provider: the bytes it makes, and that equal requests give equal bytes everywhere."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from qwenbuild.catalogue import builtin
from qwenbuild.digest import sha256
from qwenbuild.errors import UsageError
from qwenbuild.files import png
from qwenbuild.provider import Provider, Settings
from qwenbuild.providers.draft.artwork import image
from qwenbuild.providers.draft.artwork import png as draft
from qwenbuild.providers.draft.layout import Box, layout
from qwenbuild.providers.draft.provider import DraftProvider
from qwenbuild.providers.registry import create
from qwenbuild.request import Request, Size
from tests.support.drafts import CHINESE, ENGLISH, PROMPTS, SIZES, parti_prompts, request


class NoJournal:
    """Drafts have nothing to remember."""

    async def intend(self, context: object) -> None:
        raise AssertionError

    async def accepted(self, handle: str) -> None:
        raise AssertionError

    async def refused(self) -> None:
        raise AssertionError


def provider(**table: object) -> Provider:
    return create("draft", Settings(table, builtin(), {}, jobs=3))


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


@pytest.mark.parametrize(("prompt", "size"), list(zip(PROMPTS, cycle(SIZES), strict=False)), ids=range(len(PROMPTS)))
def test_every_draft_is_a_png_of_its_size(prompt: str, size: Size) -> None:
    """Hard prompts at the service's sizes in turn: valid, exactly as large as asked for, and not blank."""
    content = draft(request(prompt, size))
    png.verify(content, size)
    assert len(opened(content).getcolors(1 << 24) or ()) > 20


@given(st.builds(Size, st.integers(1, 700), st.integers(1, 700)), st.integers(0, 2_147_483_647))
@settings(max_examples=40)
def test_any_size_is_met(size: Size, seed: int) -> None:
    """From a pixel upwards, the image has the size of the request."""
    content = draft(request(size=size, seed=seed))
    png.verify(content, size)
    assert opened(content).size == size


def test_the_largest_size_is_met() -> None:
    """The largest that the service makes, too."""
    png.verify(draft(request(size=Size(2688, 1536))), Size(2688, 1536))


_PROGRAM = """
import hashlib, json, sys
from qwenbuild.providers.draft.artwork import png
from qwenbuild.request import Request
print(json.dumps([hashlib.sha256(png(Request.from_dict(fields))).hexdigest() for fields in json.load(sys.stdin)]))
"""


def test_equal_requests_give_equal_bytes_in_every_process() -> None:
    """A process with another hash seed, in another order, and threads give the same bytes."""
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


def test_what_is_asked_for_is_seen() -> None:
    """Prompt, seed, size, model, watermark and label each change the image; the negative prompt does not show."""
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
    """Another label changes pixels within the label's line alone."""
    base = request(size=size)
    (label,) = (item for item in layout(base).placed if item.what == "label")
    box = changed(base, base._replace(label=base.label.replace("poster", "roster")))
    assert box is not None
    assert label.box.x <= box.x < box.right <= label.box.right
    assert label.box.y <= box.y < box.bottom <= size.height


def test_editing_a_text_keeps_the_scene() -> None:
    """Another headline leaves the caption, the strips and the kind of picture as they are."""
    box = changed(request(), request(ENGLISH.replace("Come Play Ball!", "Go Play Ball!")))
    assert box is not None
    assert (box.y > layout(request()).strip_px, box.bottom < 1328 - layout(request()).strip_px) == (True, True)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_draft_says_so(size: Size) -> None:
    """The strip above has ink-coloured ground with the word in the paper's colour, on every draft."""
    canvas = image(request("", size)).convert("RGB")
    (mark,) = (item for item in layout(request("", size)).placed if item.what == "mark")
    found = canvas.crop((mark.box.x, mark.box.y, mark.box.right, mark.box.bottom)).convert("L").getextrema()
    assert isinstance(found[0], int)
    assert isinstance(found[1], int)
    assert found[1] - found[0] > 128


@pytest.mark.parametrize("number", range(0, 1632, 204))
def test_parti_prompts_are_drawn(number: int) -> None:
    """A sample of the benchmark's prompts is drawn at a size each."""
    size = SIZES[number % 5]
    png.verify(draft(request(parti_prompts()[number], size, seed=number)), size)


async def rendered(made: Provider, requests: Sequence[Request]) -> list[bytes]:
    results = await asyncio.gather(*(made.render(each, NoJournal()) for each in requests))
    assert [dict(result.facts) for result in results] == [{}] * len(requests)
    return [result.png for result in results]


def children() -> set[int]:
    """Return the ids of this process's running children."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                found.add(int(entry.parent.name))
    return found


def test_many_drafts_are_those_of_one_by_one() -> None:
    """A session with enough to draw uses processes: the bytes are the same, and nothing is left running."""
    requests = [request(prompt, Size(300, 400), seed) for seed, prompt in enumerate(PROMPTS * 4)]
    before = children()

    async def session() -> tuple[list[bytes], set[int]]:
        made = provider()
        async with made.session():
            return await rendered(made, requests), children() - before

    contents, helpers = asyncio.run(session())
    assert contents == [draft(each) for each in requests]
    assert 1 <= len(helpers) <= 3 if sys.platform == "linux" and (os.cpu_count() or 1) > 1 else helpers == set()
    assert children() == before


def test_a_killed_process_costs_no_draft() -> None:
    """When its processes are killed, a session goes on without them."""
    first, second = ([request(size=Size(200, 200), seed=seed) for seed in range(at, at + 45)] for at in (0, 45))

    async def session() -> list[bytes]:
        made = provider()
        assert isinstance(made, DraftProvider)
        async with made.session():
            contents = await rendered(made, first)
            for worker in made._pool.started:
                worker.kill()
            return contents + await rendered(made, second)

    assert asyncio.run(session()) == [draft(each) for each in first + second]


def test_a_cancelled_session_leaves_nothing_behind() -> None:
    """Renders that are given up end with their processes."""
    before = children()

    async def session() -> None:
        made = provider()
        async with made.session():
            await asyncio.wait_for(rendered(made, [request(seed=seed) for seed in range(200)]), 1.0)

    with pytest.raises(TimeoutError):
        asyncio.run(session())
    assert children() == before


def test_what_the_provider_says_of_itself() -> None:
    """It is free, takes every request, has nothing to wait for, and labels its images."""
    made = provider()
    assert isinstance(made, DraftProvider)
    assert (made.name, made.labelled, made.concurrency) == ("draft", True, 3)
    assert (made.check("any"), made.price("any"), made.shortest_s({"any": 9})) == (None, None, 0.0)


def test_its_keys_are_not_the_services() -> None:
    """The family is in the key, so that a draft is never taken for a paid image, nor one provider's for another's."""
    families = ("dashscope", "null-1", DraftProvider.family)
    assert len({request()._replace(family=family).key for family in families}) == 3
    assert DraftProvider.family.startswith("draft-")


def test_unknown_settings_are_refused() -> None:
    """A key that the provider has not is a usage error that names it."""
    with pytest.raises(UsageError, match=r'unknown key "colour" in \[providers.draft\]'):
        provider(colour="red")


def test_planning_loads_no_fonts() -> None:
    """Making the provider imports neither Pillow nor the fonts: plans are made without them."""
    program = (
        "import sys, qwenbuild.providers.draft.provider; "
        "print(sorted({'PIL', 'justmytype_intl_cjk'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "[]\n"
