"""The null provider: plain images, at once or after a latency."""

from __future__ import annotations

import asyncio
import io
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qwenbuild.catalogue import builtin
from qwenbuild.errors import UsageError
from qwenbuild.files import png
from qwenbuild.provider import Provider, Settings
from qwenbuild.providers.null import NullProvider, plain
from qwenbuild.providers.registry import create
from qwenbuild.request import Request, Size
from tests.support.drafts import UnusedJournal, request


def provider(jobs: int | None = 4, **table: object) -> Provider:
    return create("null", Settings(table, builtin(), {}, jobs=jobs))


def render(made: Provider, requests: list[Request]) -> list[bytes]:
    async def rendered() -> list[bytes]:
        async with made.session():
            return [result.png for result in await asyncio.gather(*(made.render(r, UnusedJournal()) for r in requests))]

    return asyncio.run(rendered())


@given(st.builds(Size, st.integers(1, 600), st.integers(1, 600)), st.binary(min_size=3, max_size=3))
def test_the_image_is_plain_and_has_its_size(size: Size, colour: bytes) -> None:
    """Pillow decodes the image, and every pixel has the same colour."""
    content = plain(size, colour)
    png.verify(content, size)
    image = Image.open(io.BytesIO(content)).convert("RGB")
    assert (image.size, image.getcolors()) == (size, [(size.width * size.height, tuple(colour))])


@given(st.builds(Size, st.integers(1, 600), st.integers(1, 600)))
@settings(max_examples=20)
def test_a_label_is_written_across(size: Size) -> None:
    """The image has its size and at most one colour more; an image of usual size shows the label in its middle."""
    content = plain(size, b"\1\2\3", "EMULATOR")
    png.verify(content, size)
    colours = Image.open(io.BytesIO(content)).convert("RGB").getcolors() or []
    assert {colour for _, colour in colours} <= {(1, 2, 3), (129, 130, 131)}
    assert len(colours) == 2 or min(size) < 60


def test_images_differ() -> None:
    """Different requests have different colours; the same request has the same bytes."""
    requests = [request(seed=seed) for seed in range(50)]
    made = render(provider(), requests)
    assert len(set(made)) == 50
    assert render(provider(), requests) == made


def test_renders_take_the_latency() -> None:
    """Each render takes `latency_s`; renders run at once."""
    made = provider(latency_s=0.2)
    began = time.monotonic()
    render(made, [request(seed=seed) for seed in range(20)])
    assert 0.2 <= time.monotonic() - began < 2


@pytest.mark.parametrize(("count", "seconds"), [(0, 0), (1, 0.5), (4, 0.5), (5, 1.0), (8, 1.0)])
def test_the_shortest_time_counts_whole_rounds(count: int, seconds: float) -> None:
    """With four renders at once, five renders take two rounds."""
    assert provider(latency_s=0.5).shortest_s({"qwen-image": count}) == seconds


@pytest.mark.parametrize("latency", [-1, "1", True, math.nan, math.inf, None])
def test_a_latency_is_a_number_of_seconds(latency: object) -> None:
    """Any other latency is a usage error that shows the value."""
    with pytest.raises(UsageError, match="not a number of seconds"):
        provider(latency_s=latency)


def test_unknown_settings_are_refused() -> None:
    """An unknown key is a usage error that suggests the nearest known key."""
    with pytest.raises(UsageError, match='unknown key "latency"') as caught:
        provider(latency=1)
    assert caught.value.hint == 'did you mean "latency_s"?'


def test_the_provider_is_free_and_takes_every_model() -> None:
    """Renders are free, every model can be rendered, and no labels are drawn."""
    made = provider()
    assert isinstance(made, NullProvider)
    assert (made.name, made.family, made.labelled, made.concurrency) == ("null", "null-1", False, 4)
    assert (made.check("any"), made.price("any")) == (None, None)
