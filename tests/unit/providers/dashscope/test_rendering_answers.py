"""Answers that hold an image: it was paid for, so it ends in the store, and nothing is sent again."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from qwenbuild.builder.keep import keep
from qwenbuild.errors import ProviderError
from qwenbuild.request import Size
from qwenbuild.storage.store import Store
from tests.support.scripted import PNG, Journal, Reply, Scripted, png_of, request_of, says

_SIZE, _OTHER_SIZE = Size(64, 32), Size(8, 8)
_PNG, _OTHER = png_of(_SIZE), png_of(_OTHER_SIZE)
_VALUES = st.one_of(
    st.none(), st.integers(), st.floats(allow_nan=False), st.text(max_size=9), st.just("InternalError"),
    st.dictionaries(st.text(max_size=3), st.integers()), st.lists(st.text(max_size=3)),
)  # fmt: skip
_NAMES = ("code", "message", "error", "detail", "status", "task_metric", "task_status", "usage", "request_id", "msg")
_BESIDE = st.dictionaries(st.sampled_from(_NAMES), _VALUES, max_size=4)
_ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "gb18030"])
_STATUSES = st.sampled_from([200, 200, 201, 202, 400, 401, 403, 404, 408, 429, 500, 502, 503, 504])
_IMAGES = st.sampled_from([_PNG, _PNG + b"\0" * 16, _OTHER])


@st.composite
def _outputs(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an `output` that holds LINK once, at any place where the vendor puts one, with anything beside it."""
    link = draw(st.sampled_from(["LINK", " LINK", "LINK\n", "\t LINK \r\n"]))
    others = draw(st.lists(st.one_of(_BESIDE, _VALUES), max_size=2))
    if draw(st.booleans()):
        content = draw(st.permutations([*others, {**draw(_BESIDE), "image": link}]))
        choice = {**draw(_BESIDE), "message": {**draw(_BESIDE), "content": content}}
        return {**draw(_BESIDE), "choices": draw(st.permutations([*others, choice]))}
    return {**draw(_BESIDE), "results": draw(st.permutations([*others, {**draw(_BESIDE), "url": link}]))}


@dataclass(frozen=True)
class Answer:
    """An answer with LINK in it, the call that it answers, and the image at the link."""

    place: str
    status: int
    body: bytes
    image: bytes


@st.composite
def _answers(draw: st.DrawFn) -> Answer:
    encoding = draw(_ENCODINGS)
    whole = {**draw(_BESIDE), "output": draw(_outputs())}
    body = json.dumps(whole, ensure_ascii=encoding == "gb18030").encode(encoding, "replace")
    return Answer(draw(st.sampled_from(["sync", "create", "task"])), draw(_STATUSES), body, draw(_IMAGES))


async def _rendered(answers: Sequence[Answer], store: Store) -> list[tuple[int, list[str]]]:
    """Render once for each answer. Return the number of POSTs, and what was recorded."""
    found = []
    async with Scripted() as server:
        link = f"http://127.0.0.1:{server.port}/result/7.png".encode()
        providers = [server.provider(interface=interface) for interface in ("async", "sync")]
        async with providers[0].session(), providers[1].session():
            for seed, answer in enumerate(answers):
                request, journal, before = request_of(size=_SIZE, seed=seed), Journal(), len(server.paths("POST"))
                if answer.place == "task":
                    pending = {"task_id": "task-7", "task_status": "PENDING"}
                    server.script["create"].append(says(200, {"output": pending}))
                server.script[answer.place].append(Reply(answer.status, answer.body.replace(b"LINK", link)))
                server.script["result"].append(Reply(200, answer.image, {"Content-Type": "text/html"}))
                made = await providers[answer.place == "sync"].render(request, journal)
                keep(store, "dashscope", request.key, request, made, accept_size=True)
                found.append((len(server.paths("POST")) - before, journal.kinds))
    return found


@settings(max_examples=8, deadline=None)
@given(st.lists(_answers(), min_size=6, max_size=6))
def test_an_image_ends_in_the_store_and_one_request_was_sent(answers: list[Answer]) -> None:
    """Whatever status, words and codes come with it, in whatever encoding, and whatever size the image has."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        assert asyncio.run(_rendered(answers, store)) == [(1, ["intend", "accepted"])] * len(answers)
        for seed, answer in enumerate(answers):
            request = request_of(size=_SIZE, seed=seed)
            entry = store.lookup(request.key, any_size=True)
            assert entry is not None
            assert store.image(entry, request.key, _SIZE)
            assert entry.other_size == (_OTHER_SIZE if answer.image == _OTHER else None)


_BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"", b"<html>busy</html>", b"\xff\xd8\xff\xe0 JPEG", b"RIFF0000WEBPVP8 ", b"GIF89a", _PNG[:-20],
                     _PNG[:30], b'{"code": "x"}', b"[]", b"null", b'{"output": []}', b'{"output": {"results": "x"}}']),
)  # fmt: skip
_CALLS = st.sampled_from(["sync", "create", "task", "result"])


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(_CALLS, st.booleans(), _BODIES, _STATUSES), min_size=8, max_size=8))
def test_no_answer_is_a_mistake_in_the_provider(replies: list[tuple[str, bool, bytes, int]]) -> None:
    """Whatever comes back from service or storage, the error is one of the provider's own: it says what came."""

    async def main() -> list[ProviderError]:
        errors = []
        async with Scripted() as server:
            providers = [
                server.provider(interface=interface, retry_wait_s=0.0001, poll_s=0.001)
                for interface in ("async", "sync")
            ]
            async with providers[0].session(), providers[1].session():
                for route, is_sync, body, status in replies:
                    server.script.clear()
                    server.script[route].extend([Reply(status, body)] * 6)
                    is_sync = route == "sync" or (route == "result" and is_sync)
                    try:
                        made = await providers[is_sync].render(request_of(), Journal())
                    except ProviderError as error:
                        errors.append(error)
                    else:
                        assert made.png == PNG
        return errors

    assert all(error.claim and error.hint for error in asyncio.run(main()))
