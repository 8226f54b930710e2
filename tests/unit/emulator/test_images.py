from __future__ import annotations

import asyncio

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.emulator import images
from qwenbuild.emulator.images import Renderer
from qwenbuild.errors import UsageError
from qwenbuild.files import png
from qwenbuild.request import Request, Size

SMALL = Size(96, 64)


def request(renderer: Renderer, seed: int = 1, size: Size = SMALL) -> Request:
    return Request(renderer.family, "qwen-image-plus", "a “Fair”", "", size, seed, False, False)


def drawn(name: str, *seeds: int, size: Size = SMALL) -> list[bytes]:
    """Return the images of these seeds, all drawn in one context."""

    async def main() -> list[bytes]:
        async with Renderer(name, builtin()) as renderer:
            return list(await asyncio.gather(*(renderer.png(request(renderer, seed, size)) for seed in seeds)))

    return asyncio.run(main())


@pytest.mark.parametrize("name", ["draft", "null"])
def test_equal_requests_give_equal_images(name: str) -> None:
    """An image has the requested size, and drawing it again gives the same bytes."""
    first, second, again = drawn(name, 1, 2, 1)
    png.verify(first, Size(96, 64))
    assert (first == again, first == second) == (True, False)
    assert drawn(name, 1) == [first]


@pytest.mark.parametrize("name", ["draft", "null"])
def test_each_image_has_the_mark(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the mark the pixels would be others."""
    size = Size(512, 512)
    marked = drawn(name, 1, size=size)
    monkeypatch.setattr(images, "MARK", "")
    assert drawn(name, 1, size=size) != marked


def test_images_beyond_the_cache_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a cache that is too small for any image, the images are the same."""
    first, second = drawn("null", 1, 2)
    monkeypatch.setattr(images, "CACHED_BYTES", 1)
    assert drawn("null", 1, 2, 1, 2) == [first, second, first, second]


def test_a_provider_that_costs_money_is_refused() -> None:
    """The emulator never spends money."""
    with pytest.raises(UsageError) as caught:
        Renderer("dashscope", builtin())
    assert caught.value.claim == 'the emulator can\'t draw with "dashscope"'


def test_an_unknown_provider_is_refused() -> None:
    """The error names the provider."""
    with pytest.raises(UsageError, match='unknown provider "drafts"'):
        Renderer("drafts", builtin())
