"""The wire format: requests equal those of the vendor's SDK, and any answer can be parsed."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dashscope
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.catalogue import builtin
from qwenbuild.errors import ProviderError
from qwenbuild.provider import Settings
from qwenbuild.providers.dashscope import wire
from qwenbuild.providers.dashscope.provider import DashScopeProvider
from qwenbuild.request import Request, Size
from tests.support.scripted import Journal, request_of

KEY = "sk-0123456789"
COMPARED = ("authorization", "content-type", "accept", "x-dashscope-async", "x-dashscope-workspace")

Recorded = tuple[str, str, dict[str, str], Any]


@contextmanager
def recorder() -> Iterator[tuple[str, list[Recorded]]]:
    """Run a server that records method, target, compared headers and JSON body, and refuses each request."""
    seen: list[Recorded] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: self.headers[name] for name in COMPARED if name in self.headers}
            seen.append((self.command, self.path, headers, json.loads(body) if body else None))
            answer = json.dumps({"code": "InvalidParameter", "message": "no", "request_id": "r"}).encode()
            self.send_response(400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/v1", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sdk_call(interface: str, base_url: str, request: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send `request` with the vendor's SDK."""
    monkeypatch.setattr(dashscope, "base_http_api_url", base_url)
    options: dict[str, Any] = {
        "api_key": KEY, "workspace": "ws-1", "model": request.model, "size": request.size.wire, "n": 1,
        "seed": request.seed, "prompt_extend": request.prompt_extend, "watermark": request.watermark,
    }  # fmt: skip
    options.update(json.loads(request.parameters or "{}"))
    if request.negative_prompt:
        options["negative_prompt"] = request.negative_prompt
    if interface == "sync":
        messages = [{"role": "user", "content": [{"text": request.prompt}]}]
        dashscope.MultiModalConversation.call(messages=messages, **options)
    else:
        dashscope.ImageSynthesis.async_call(prompt=request.prompt, **options)


def provider(interface: str, base_url: str) -> DashScopeProvider:
    environ = {"DASHSCOPE_API_KEY": KEY, "DASHSCOPE_HTTP_BASE_URL": base_url, "DASHSCOPE_WORKSPACE_ID": "ws-1"}
    return DashScopeProvider(Settings({"interface": interface}, builtin(), environ))


def test_vendor_parameters_never_replace_a_field() -> None:
    """Specs can't name a field there, but a program that makes requests could."""
    request = request_of(parameters='{"n":6,"seed":1,"size":"big","style":"oil"}')
    for body in (wire.sync_body(request), wire.async_body(request)):
        assert {name: body["parameters"][name] for name in ("n", "seed", "size", "style")} == {
            "n": 1, "seed": request.seed, "size": request.size.wire, "style": "oil"
        }  # fmt: skip


@pytest.mark.parametrize("interface", ["sync", "async"])
@pytest.mark.parametrize(
    "request_",
    [
        request_of(),
        request_of(negative_prompt="", prompt_extend=True, watermark=True, seed=0, size=Size(928, 1664)),
        request_of(negative_prompt=" "),  # the reference's own
        request_of(parameters='{"enable_thinking":false,"style":{"names":["水墨",1.5]}}'),
        request_of('He said "hi"\n\tand ‘bye’ \\ 🐶', model="qwen-image", seed=2_147_483_647),
    ],
)
def test_a_request_is_sent_as_the_vendors_sdk_sends_it(
    interface: str, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Method, path, headers and JSON body are equal, field by field."""

    async def ours(base_url: str) -> None:
        mine = provider(interface, base_url)
        async with mine.session():
            with pytest.raises(ProviderError):
                await mine.render(request_, Journal())

    with recorder() as (base_url, seen):
        sdk_call(interface, base_url, request_, monkeypatch)
        asyncio.run(ours(base_url))
        sdk, own = seen
    assert own == sdk


def test_queries_are_sent_as_the_vendors_sdk_sends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing and cancelling tasks use the SDK's method, path, query and headers."""

    async def ours(base_url: str) -> None:
        mine = provider("async", base_url)
        async with mine.session():
            for call in (mine.list_tasks(model="qwen-image", status="PENDING"), mine.cancel_task("t-1")):
                with pytest.raises(ProviderError):
                    await call

    with recorder() as (base_url, seen):
        monkeypatch.setattr(dashscope, "base_http_api_url", base_url)
        query: dict[str, Any] = {"page_no": 1, "page_size": 50, "model_name": "qwen-image", "status": "PENDING"}
        sdk: Any = dashscope.ImageSynthesis
        sdk.list(api_key=KEY, workspace="ws-1", **query)
        sdk.cancel("t-1", api_key=KEY, workspace="ws-1")
        asyncio.run(ours(base_url))
    half = len(seen) // 2
    # The reference's `/tasks/` and the SDK's `/tasks` are the same resource.
    assert [(m, p.replace("/tasks/?", "/tasks?"), h, b) for m, p, h, b in seen[half:]] == seen[:half]


def test_a_sync_answer_gives_link_and_facts() -> None:
    """The example of the API reference is parsed."""
    answer = wire.parse(200, json.dumps({
        "output": {
            "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": [
                {"text": "here"}, {"image": "https://a.aliyuncs.com/x.png?Expires=1"}]}}],
            "task_metric": {"FAILED": 0, "SUCCEEDED": 1, "TOTAL": 1},
        },
        "usage": {"height": 928, "image_count": 1, "width": 1664, "output_image_type": "png", "odd": {"x": 1}},
        "request_id": "d0250a3d",
    }).encode())  # fmt: skip
    usage = {"height": 928, "image_count": 1, "width": 1664, "output_image_type": "png"}
    facts = {"request_id": "d0250a3d", "usage": usage}
    assert wire.result(answer) == wire.Result("https://a.aliyuncs.com/x.png?Expires=1", "", "", facts)


@pytest.mark.parametrize("metric", ["task_metric", "task_metrics"])
def test_a_sync_answer_that_counts_a_failure_is_a_failure(metric: str) -> None:
    """Without an image, a count of failed tasks means that nothing was made."""
    answer = wire.parse(200, json.dumps({"output": {metric: {"FAILED": 1, "SUCCEEDED": 0}}}).encode())
    result = wire.result(answer)
    assert result == wire.Result("", "", "", {})


def test_a_finished_task_gives_the_facts_of_the_provenance() -> None:
    """The facts hold times, both prompts, usage and ids, but not the signed link."""
    body = {
        "request_id": "7434edb2",
        "output": {
            "task_id": "878f591e", "task_status": "SUCCEEDED", "submit_time": "2025-09-09 11:38:54.741+08:00",
            "scheduled_time": "2025-09-09 11:38:54.781+08:00", "end_time": "2025-09-09 11:39:19.484+08:00",
            "results": [
                {"code": "InternalError.Algo", "message": "one of two failed"},
                {"orig_prompt": "a cat", "actual_prompt": "Photo of a cat", "url": "https://x.aliyuncs.com/a?S=1"},
            ],
        },
        "usage": {"image_count": 1},
    }  # fmt: skip
    task = wire.task(wire.parse(200, json.dumps(body).encode()))
    assert task
    assert (task.id, task.status, task.prompt, task.url) == (
        "878f591e", "SUCCEEDED", "a cat", "https://x.aliyuncs.com/a?S=1",
    )  # fmt: skip
    assert dict(task.facts) == {
        "request_id": "7434edb2", "task_id": "878f591e", "submit_time": "2025-09-09 11:38:54.741+08:00",
        "scheduled_time": "2025-09-09 11:38:54.781+08:00", "end_time": "2025-09-09 11:39:19.484+08:00",
        "orig_prompt": "a cat",
        "actual_prompt": "Photo of a cat", "usage": {"image_count": 1},
        "code": "InternalError.Algo", "message": "one of two failed",
    }  # fmt: skip


@pytest.mark.parametrize("where", ["output", "results"])
def test_the_code_of_a_failed_task_is_found(where: str) -> None:
    """The code is in the task, or in the failed result."""
    failure = {"code": "DataInspectionFailed", "message": "no"}
    output: dict[str, Any] = {"task_id": "t", "task_status": "FAILED"}
    output |= failure if where == "output" else {"results": [failure]}
    task = wire.task(wire.parse(200, json.dumps({"output": output}).encode()))
    assert task and (task.code, task.message, task.url) == ("DataInspectionFailed", "no", "")


def test_a_list_is_parsed_in_both_forms() -> None:
    """The documented key `data` and the newer SDK's key `tasks` give the same tasks."""
    entry = {"task_id": "t", "status": "RUNNING", "model_name": "qwen-image", "gmt_create": 1_700_000_000_500}
    expected = wire.Task("t", "RUNNING", "qwen-image", created_at_s=1_700_000_000.5, facts={"task_id": "t"})
    for key in ("data", "tasks"):
        answer = wire.parse(200, json.dumps({key: [entry, {"no": "id"}], "total": 1}).encode())
        assert wire.task_list(answer) == wire.TaskPage((expected,), 2, 1, is_list=True)
    for body in ({"request_id": "r"}, {"data": None}, {"data": {"task_id": "t"}}):
        page = wire.task_list(wire.parse(200, json.dumps(body).encode()))
        assert page == wire.TaskPage((), 0, None, is_list=False)


def test_a_task_id_can_not_leave_its_path() -> None:
    """For any task id, the path stays below /tasks."""
    assert wire.task_path("../x?y", "/cancel") == "/tasks/..%2Fx%3Fy/cancel"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([
        "output", "choices", "message", "content", "image", "results", "task_id", "task_status", "url", "code",
        "usage", "data", "tasks", "total", "gmt_create", "request_id", "task_metric", "FAILED", "SUCCEEDED", "error",
    ]) | st.text(), inner),
    max_leaves=30,
)  # fmt: skip


@given(json_values)
def test_any_json_is_read_without_harm(value: object) -> None:
    """Parsing never fails, and the facts can be written as canonical JSON."""
    from qwenbuild.digest import canonical_json

    answer = wire.parse(200, json.dumps(value).encode())
    kept: list[Any] = [answer.code, answer.message, answer.request_id]
    if result := wire.result(answer):
        kept += [result.url, result.code, dict(result.facts)]
    tasks = wire.task_list(answer).tasks
    for task in filter(None, (wire.task(answer), *tasks)):
        kept += [task.id, task.url, task.prompt, dict(task.facts)]
    assert canonical_json(kept)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_harm(content: bytes) -> None:
    """Content that is not a JSON object gives an excerpt of at most one line."""
    answer = wire.parse(502, content)
    assert "\n" not in answer.excerpt
    assert len(answer.excerpt) <= 200


def test_json_that_nests_too_deep_is_not_an_answer() -> None:
    """The recursion limit of the JSON parser raises no error."""
    assert wire.parse(200, b'{"a":' * 100_000).body == {}


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b'{"code": "InvalidParameter", "message": "no"}', "InvalidParameter", "no"),
        (b'{"code": 400, "message": "size must be one of .."}', "400", "size must be one of .."),
        (b'{"error": {"code": null, "message": "busy"}}', "", "busy"),
        (b'{"error": "model not deployed"}', "", "model not deployed"),
        (b'{"detail": "Not Found"}', "", "Not Found"),
        (b'{"detail": [{"loc": ["body"], "msg": "field required"}]}', "", "field required"),
        (b'{"code": 0, "msg": "fine"}', "", "fine"),
        (b'{"code": "Success"}', "", ""),
        ('{"message": "参数错误"}'.encode("gbk"), "", "参数错误"),
        ('\ufeff{"message": "参数错误"}'.encode(), "", "参数错误"),
        (b"[1]", "", ""),
    ],
)
def test_errors_of_gateways_are_read(content: bytes, code: str, message: str) -> None:
    """Each has its own fields for the code and the message."""
    answer = wire.parse(400, content)
    assert (answer.code, answer.message) == (code, message)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("<html><head><style>p {}</style></head>\n<body><h1>502</h1> Bad  Gateway</body>", "502 Bad Gateway"),
        ("no right to https://x/a.png?Signature=canary&Expires=1 here", "no right to https://x/a.png here"),
        ("<script>" * 100_000, ""), ("<" * 100_000, "<" * 200),
    ],
)  # fmt: skip
def test_an_excerpt_is_one_line_of_words(said: str, expected: str) -> None:
    """It has no tags and no signature, and a hostile page takes no time."""
    assert wire.excerpt(said) == expected


_LINK = "https://a.oss.aliyuncs.com/x.png?Signature=s"
_BESIDE = st.dictionaries(
    st.sampled_from(["code", "message", "error", "task_metric", "status", "usage", "detail", "request_id"]),
    st.one_of(st.none(), st.integers(), st.text(), st.dictionaries(st.text(), st.integers()), st.lists(st.text())),
)
_PADDED = st.sampled_from(["{}", " {}", "{}\n", "\t{} "])


@st.composite
def outputs(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an `output` that holds the link once, at any place where the vendor puts one, with anything beside it."""
    link = draw(_PADDED).format(_LINK)
    others = draw(st.lists(st.one_of(_BESIDE, st.none(), st.text()), max_size=2))
    if draw(st.booleans()):
        part = {**draw(_BESIDE), "image": link}
        content = draw(st.permutations([*others, part]) | st.just(part))  # gateways write one part without a list
        choice = {**draw(_BESIDE), "message": {**draw(_BESIDE), "content": content}}
        return {**draw(_BESIDE), "choices": draw(st.permutations([*others, choice]))}
    return {**draw(_BESIDE), "results": draw(st.permutations([*others, {**draw(_BESIDE), "url": link}]))}


@given(output=outputs(), beside=_BESIDE)
def test_an_image_is_found_whatever_stands_beside_it(output: dict[str, Any], beside: dict[str, Any]) -> None:
    """In the answer to a request and in a task alike. It was paid for."""
    answer = wire.parse(200, json.dumps({**beside, "output": output}).encode())
    assert answer.link == _LINK
    result = wire.result(answer)
    assert result
    assert result.url == _LINK
    task = wire.task(wire.parse(200, json.dumps({**beside, "output": {**output, "task_id": "t"}}).encode()))
    assert task
    assert task.url == _LINK
