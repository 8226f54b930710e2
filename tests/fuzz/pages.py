"""Pages: reports of projects with hostile texts, and odd requests to the server of the preview."""

from __future__ import annotations

import json
import re
import select
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import tomli_w
from hypothesis import strategies as st

from qwenbuild.engine.engine import load
from qwenbuild.errors import QwenbuildError
from tests.support.watched import Running, previewing
from tests.support.workspace import Workspace

from .mutation import NUMBERS, WORDS, json_values, mutated
from .target import Check, Target

_CONFIG = 'provider = "null"\n'
_texts = st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_values = _texts | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats()
_projects = st.fixed_dictionaries({
    "prompt": _texts, "label": st.lists(_values, min_size=1, max_size=3), "brand": _texts, "row": _texts,
})  # fmt: skip


def _spec(drawn: dict[str, Any]) -> str:
    """Return a spec that shows the drawn texts in prompts, labels, variables and rows."""
    table = {
        "vars": {"brand": drawn["brand"]},
        "image": {
            "plain": {"prompt": f"A {drawn['prompt']}"},
            "cells": {"prompt": "A {{ label }} {{ brand }} {{ row.title }}",
                      "matrix": {"label": drawn["label"], "row": [{"id": "r", "title": drawn["row"]}]},
                      "output": "{{ image }}/{{ label | slug }}-.png"},
        },
    }  # fmt: skip
    return tomli_w.dumps(table)


@contextmanager
def _reports(folder: Path) -> Iterator[Check]:
    root, page = folder / "project", folder / "page"

    def check(drawn: dict[str, Any]) -> None:
        """Each script of a report is one JSON value, and holds nothing that ends a script element."""
        for old in (root, page):
            shutil.rmtree(old, ignore_errors=True)
        Workspace(root).write({"qwenbuild.toml": _CONFIG, "specs/a.toml": _spec(drawn)})
        try:
            load(root).report(page)
        except QwenbuildError as error:
            assert str(error)
            return
        for path in [page / "data.js", *(page / "details").iterdir()]:
            text = path.read_text("utf-8")
            head, line = text.removesuffix(";\n").split("\n", 1)
            assert not {*line} & {"<", "\n", "\u2028", "\u2029"}
            assert head.startswith("var qwenbuildData")
            json.loads(line.partition(" = ")[2], parse_constant=_refuse)

    yield check


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON: the page could not be read")


_PATIENCE_S = 0.5  # an answer that takes longer is missed, and nothing else happens
_HOSTILE = {"prompt": "</script><img src=x onerror=alert(1)>", "label": ["[31m\u202e", "{{ x }}", 1.5,
            float("inf")],
            "brand": "é'\"`", "row": "\u2028"}  # fmt: skip
_PATHS = ["/", "/data.js", "/model.json", "/details.json", "/events", "/thumbnails/{d}.webp", "/images/{d}.png",
          "/price",
          "/render", "/app.js", "/index.html", "/nosuch", "/../qwenbuild.toml", "/images/../../x.png", "//",
          "*"]  # fmt: skip
_methods = st.sampled_from(["GET", "GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "get", "PROPFIND", "X" * 500])
_paths = st.tuples(st.sampled_from(_PATHS), st.sampled_from(["0" * 64, "a" * 64, "A" * 64, "x", "%2e%2e%2f", "é"])).map(
    lambda it: it[0].replace("{d}", it[1])
)
_odd = st.sampled_from([*NUMBERS, "٣", "²"]) | st.sampled_from(WORDS) | st.text(max_size=8)
_queries = st.lists(
    st.tuples(st.sampled_from(["since", "path", "x", ""]), _odd).map(
        lambda it: f"{it[0]}={quote(it[1].encode('utf-8', 'surrogatepass'))}"
    ),
    max_size=3,
).map(lambda it: f"?{'&'.join(it)}" if it else "")
_known_calls = st.tuples(
    st.sampled_from(
        [
            "GET /model.json?since=",
            "GET /details.json?path=",
            "POST /price?x=",
            "POST /render?x=",
            "POST /pick?x=",
            "POST /keep?x=",
            "POST /session?x=",
        ]
    ),
    _odd,
).map(lambda it: f"{it[0]}{quote(it[1].encode('utf-8', 'surrogatepass'))}")
_headers = st.lists(
    st.tuples(
        st.sampled_from(["X-Qwenbuild-Proof", "Content-Type", "Range", "If-None-Match", "Accept-Encoding",
                         "Cookie", "Expect",
                         "Transfer-Encoding", "Content-Length", "Connection", "Upgrade", "Origin", "X-é"]),
        _odd,
    ).map(lambda it: f"{it[0]}: {it[1]}"),
    max_size=3,
)  # fmt: skip
_bodies = st.one_of(
    st.just(""),
    st.lists(st.sampled_from(["a/plain", "a/cells[label=1.5,row=r]", "x"]) | _odd, max_size=3).map(
        lambda names: json.dumps({"names": names, "force": True})
    ),
    json_values.map(json.dumps),
    json_values.map(lambda value: json.dumps({"names": value})),
    st.sampled_from(["[" * 100_000, '{"names": ' + "9" * 5000 + "}", "{much}"]),
)


@st.composite
def _requests(draw: st.DrawFn) -> bytes:
    """Draw the bytes of a request, most of them well formed."""
    body = draw(_bodies).encode("utf-8", "surrogatepass")
    call = draw(_known_calls | st.tuples(_methods, _paths, _queries).map(lambda it: f"{it[0]} {it[1]}{it[2]}"))
    lines = [f"{call} HTTP/1.1", "Host: {host}", *draw(_headers)]
    if body and draw(st.integers(0, 9)):
        lines.append(f"Content-Length: {len(body)}")
    if draw(st.integers(0, 3)):
        lines.append("X-Qwenbuild-Proof: {proof}")
    head = "\r\n".join([*lines, "Connection: close", "", ""])
    if draw(st.integers(0, 9)) == 0:
        head = draw(mutated([head]))
    return head.encode("utf-8", "surrogatepass") + body


@contextmanager
def _served(folder: Path) -> Iterator[Check]:
    workspace = Workspace(folder / "project")
    workspace.write({"qwenbuild.toml": _CONFIG, "specs/a.toml": _spec(_HOSTILE)})
    with previewing(workspace, price_cny="0.20") as preview:

        def check(request: bytes) -> None:
            """The server answers, or closes the connection; it never fails."""
            sent = request.replace(b"{much}", b"x" * 4_100_000)
            if b"{proof}" in sent:
                act, body = re.match(rb"\w* ?/?(\w*)", sent), sent.partition(b"\r\n\r\n")[2]
                proof = preview.proof(act[1].decode() if act else "", body)
                sent = sent.replace(b"{proof}", proof.encode())
            status = _status(preview, sent)
            assert status is None or 200 <= status < 500, f"status {status}"

        assert httpx.get(f"{preview.origin}/model.json", timeout=60).json()["cells"]
        yield check
        assert httpx.get(f"{preview.origin}/model.json", timeout=60).status_code == 200


def _status(preview: Running, request: bytes) -> int | None:
    """Return the status of the answer to a request; None if there was none."""
    host, _, port = preview.origin.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        try:
            connection.sendall(request.replace(b"{host}", f"{host}:{port}".encode()))
            if not select.select([connection], [], [], _PATIENCE_S)[0]:
                connection.shutdown(socket.SHUT_WR)  # the server waits for the rest of the request
            line = connection.makefile("rb").readline(1000)
        except TimeoutError:
            raise
        except OSError:  # the server closed the connection while the request was sent
            return None
    return int(line.split()[1]) if line else None


REPORT_TARGET = Target("report", "reports of projects with hostile texts", _projects, _reports, 25)
SERVER_TARGET = Target("server", "odd requests to the preview", _requests(), _served, 200)
