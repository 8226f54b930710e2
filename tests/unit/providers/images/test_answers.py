"""Answers: each server's errors become errors of qwenbuild, with what the server says and what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qwenbuild.errors import (
    AccountError,
    ModelRefused,
    ProviderError,
    Refused,
    ServiceFault,
    Throttled,
)
from qwenbuild.providers.images.answers import Reader, Stranger
from qwenbuild.providers.images.dialects import DIALECTS
from qwenbuild.providers.server_client import Answer
from tests.support.image_servers import told

READER = Reader(DIALECTS["vllm-omni"], "http://gpu:1", lambda text: text.replace("tok-1", "***"))


def answer(status: int, body: Any = None, text: str = "", **more: Any) -> Answer:
    """Return an answer with a body of JSON, or with a text."""
    return Answer(status, body, text or json.dumps(body), **more)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (
            answer(422, {"detail": [{"loc": ["body", "size"], "msg": "Value error, must be WIDTHxHEIGHT"}]}),
            Refused,
            "vLLM-Omni at http://gpu:1 refuses the request\n"
            "  status 422\n  it says: size: Value error, must be WIDTHxHEIGHT",
        ),
        (
            answer(400, {"detail": "Model mismatch: request specifies 'q' but server is running 'w'."}),
            ModelRefused,
            'http://gpu:1 does not serve "q"\n  status 400\n'
            "  it says: Model mismatch: request specifies 'q' but server is running 'w'.\n"
            "  `qwenbuild doctor` shows which models it serves",
        ),
        (
            answer(404, {"detail": "Model not found in the model list, uid: q"}),
            ModelRefused,
            'http://gpu:1 does not serve "q"\n  status 404\n  it says: Model not found in the model list, uid: q\n'
            "  `qwenbuild doctor` shows which models it serves",
        ),
        (
            answer(400, {"detail": "q takes a width that is a multiple of 16"}),
            Refused,
            "vLLM-Omni at http://gpu:1 refuses the request\n  status 400\n"
            "  it says: q takes a width that is a multiple of 16",
        ),
        (
            answer(404, {"detail": "Not Found"}),
            Stranger,
            "http://gpu:1 has no address for images\n  status 404\n  it says: Not Found\n"
            "  is base_url right, and does it speak vLLM-Omni? Usual is http://127.0.0.1:8091/v1",
        ),
        (
            answer(200, None, "<html>Welcome", is_page=True),
            Stranger,
            "http://gpu:1 answers with a web page\n  status 200\n"
            "  is base_url right, and does it speak vLLM-Omni? Usual is http://127.0.0.1:8091/v1",
        ),
        (
            answer(302, None, location="https://login.example/"),
            Stranger,
            "http://gpu:1 redirects to another address, which was not followed\n  it leads to https://login.example/\n"
            "  is base_url right, and does it speak vLLM-Omni? Usual is http://127.0.0.1:8091/v1",
        ),
        (
            answer(401, {"error": {"message": "wrong token tok-1", "code": 401}}),
            AccountError,
            "http://gpu:1 refuses the token\n  status 401\n  it says: wrong token ***\n"
            "  token_env under [providers.images] names the variable with the token",
        ),
        (
            answer(429, {"error": "job queue is full"}, retry_after_s=3.0),
            Throttled,
            "http://gpu:1 has a full queue\n  status 429\n  it says: job queue is full",
        ),
        (
            answer(503, {"error": {"message": "loading"}}),
            Throttled,
            "http://gpu:1 is busy, or still loads its model\n  status 503\n  it says: loading",
        ),
        (
            answer(500, {"detail": "CUDA out of memory. Tried to allocate 20.00 GiB"}),
            ServiceFault,
            "http://gpu:1 failed\n  status 500\n  it says: CUDA out of memory. Tried to allocate 20.00 GiB\n"
            "  the GPU has too little memory: a smaller size, or fewer requests at once, need less",
        ),
        (  # mudler/LocalAI, issue 1976
            answer(500, {"error": {"code": 500, "message": "could not load model (no success)", "type": ""}}),
            ServiceFault,
            "http://gpu:1 failed\n  status 500\n  it says: could not load model (no success)",
        ),
        (  # vllm-project/vllm-omni, pull request 3381
            answer(400, {"detail": "Requested image size 9000x9000 exceeds the maximum allowed size of 4 pixels.\n"}),
            Refused,
            "vLLM-Omni at http://gpu:1 refuses the request\n  status 400\n"
            "  it says: Requested image size 9000x9000 exceeds the maximum allowed size of 4 pixels.",
        ),
        (answer(502, None, "bad gateway"), ServiceFault, "http://gpu:1 failed\n  status 502\n  it says: bad gateway"),
        (
            answer(200, None, "PNG?"),
            ServiceFault,
            "http://gpu:1 answered without an image\n  status 200\n  it says: PNG?",
        ),
        (
            answer(200, {"data": [{"url": "/x.png", "b64_json": None}]}),
            Refused,
            "http://gpu:1 answered with a link, not with the image\n"
            "  it was asked for b64_json, so that the image is part of the answer\n"
            '  does it speak vLLM-Omni? dialect = "…" under [providers.images] says what it is',
        ),
    ],
)
def test_an_error(given: Answer, kind: type[ProviderError], message: str) -> None:
    """The server is quoted in one line, without the token."""
    with pytest.raises(kind) as caught:
        READER.image(given, "q")
    assert told(caught.value) == message
    assert (type(caught.value), caught.value.retry_after_s) == (kind, given.retry_after_s)


@pytest.mark.parametrize(
    "body", [{}, [], {"data": {}}, {"data": []}, {"data": [None]}, {"data": [{"b64_json": 1}]}, "x"]
)
def test_an_answer_of_another_form_has_no_image(body: Any) -> None:
    """Nothing of it is taken for granted."""
    with pytest.raises(ServiceFault, match="answered without an image"):
        READER.image(answer(200, body), "q")


def test_an_error_within_errors_without_end() -> None:
    """Only the first tables are looked into."""
    body: dict[str, Any] = {}
    for _ in range(5000):
        body = {"error": body}
    with pytest.raises(Refused, match="refuses the request"):
        READER.image(answer(400, body, "no words"), "q")


def test_the_image_of_an_answer() -> None:
    """The first one: one was asked for."""
    assert READER.image(answer(200, {"data": [{"b64_json": "aGk="}, {"b64_json": "bm8="}]}), "q") == "aGk="


def test_long_words_are_cut() -> None:
    """A server may say anything."""
    said = READER.said(answer(500, {"detail": [{"msg": "x" * 300}] * 9}))
    assert (len(said), said[-2:]) == (401, "x…")
