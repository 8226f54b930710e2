"""The client: what each way to answer, or not to answer, becomes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from qwenbuild.errors import ProviderError, ServiceFault, Unreachable
from qwenbuild.providers.addresses import Address
from qwenbuild.providers.comfyui.client import Client, Gone, NotComfyUI
from tests.support.comfy_server import Comfy


def asked(url: str, ask: Callable[[Client], Coroutine[Any, Any, Any]]) -> Any:
    async def answered() -> Any:
        async with Client(Address(url, is_users=False)) as client:
            return await ask(client)

    return asyncio.run(answered())


def fault(url: str, ask: Callable[[Client], Coroutine[Any, Any, Any]] = lambda it: it.get("/queue")) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        asked(url, ask)
    assert caught.value.__context__ is None  # httpx's errors carry the request
    return caught.value


def test_json_and_images(comfy: Comfy) -> None:
    """A table, the bytes of a file, and a file that is gone."""
    comfy.files["a b&c.png"] = b"png"
    assert asked(comfy.url, lambda it: it.get("/queue")) == {"queue_running": [], "queue_pending": []}
    assert asked(comfy.url, lambda it: it.image({"filename": "a b&c.png", "subfolder": "", "type": "temp"})) == b"png"
    assert isinstance(fault(comfy.url, lambda it: it.image({"filename": "b", "subfolder": "", "type": "temp"})), Gone)


def test_a_web_page_is_no_comfyui(comfy: Comfy) -> None:
    """The message shows its beginning, and what to check."""
    comfy.page = "<html>\n<title>Router</title>"
    error = fault(comfy.url)
    assert isinstance(error, NotComfyUI)
    assert str(error) == (
        f"error: what answers at {comfy.url} is no ComfyUI\n  = status 200\n  = it says: <html> <title>Router</title>\n"
        "  = hint: is ComfyUI running there? base_url under [providers.comfyui] names its address"
    )
    comfy.page, comfy.status = "", 503
    assert isinstance(fault(comfy.url), ServiceFault)


def test_nothing_answers(comfy: Comfy) -> None:
    """No server at all, and an answer that breaks off."""
    error = fault("http://127.0.0.1:9")  # the port of discard, where nothing listens
    assert isinstance(error, Unreachable)
    assert error.claim == "can't reach http://127.0.0.1:9"
    comfy.lost.append("/queue")
    assert fault(comfy.url).claim == f"{comfy.url} did not answer"
