"""The wire format: paths, headers and JSON bodies of requests, and parsed answers. No I/O.

Invariants: a body has the same fields as the body that the vendor's SDK sends for the same request. Vendor parameters
stand beside them, and never replace one of them.
Parsing accepts any JSON, ignores unknown fields, and leaves missing values empty.

Sources: Qwen-Image API reference of 2026-02-10; recorded requests of the `dashscope` SDK 2.0.2; Model Studio
"Asynchronous task management API" of 2026-03-15 for listing and cancelling.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote

from qwenbuild.emulation import FACT
from qwenbuild.request import Request

from ..masking import Mask

SYNC_PATH: Final = "/services/aigc/multimodal-generation/generation"
ASYNC_PATH: Final = "/services/aigc/text2image/image-synthesis"
ASYNC_HEADERS: Final = {"X-DashScope-Async": "enable"}
LIST_PATH: Final = "/tasks/"

LIFE_S: Final = 24 * 3600.0  # the service keeps tasks and results for 24 hours (API reference of 2026-02-10)
WAITING: Final = ("PENDING", "RUNNING")
_MAX_TEXT: Final = 8192  # characters; longer texts of an answer are cut
_SUCCESS_CODES: Final = ("", "0", "200", "success", "ok")  # of gateways, and of other services of the vendor


def headers(key: str, workspace: str, version: str) -> dict[str, str]:
    """Return the headers of every request to the service. They hold the key."""
    found = {
        "Authorization": f"Bearer {key}",
        "Accept": "application/json; charset=utf-8",
        "User-Agent": f"qwenbuild/{version}",
    }
    if workspace:
        found["X-DashScope-WorkSpace"] = workspace
    return found


def sync_body(request: Request) -> dict[str, Any]:
    """Return the body of a POST to `SYNC_PATH`."""
    return {
        "model": request.model,
        "input": {"messages": [{"role": "user", "content": [{"text": request.prompt}]}]},
        "parameters": {**_vendor_parameters(request), **_negative_prompt(request), **_parameters(request)},
    }


def async_body(request: Request) -> dict[str, Any]:
    """Return the body of a POST to `ASYNC_PATH`. As in the SDK, `negative_prompt` is in `input`."""
    return {
        "model": request.model,
        "input": {"prompt": request.prompt, **_negative_prompt(request)},
        "parameters": {**_vendor_parameters(request), **_parameters(request)},
    }


def _vendor_parameters(request: Request) -> dict[str, Any]:
    return json.loads(request.parameters) if request.parameters else {}


def _negative_prompt(request: Request) -> dict[str, str]:
    return {"negative_prompt": request.negative_prompt} if request.negative_prompt else {}


def _parameters(request: Request) -> dict[str, Any]:
    return {
        "size": request.size.wire,
        "n": 1,
        "seed": request.seed,
        "prompt_extend": request.prompt_extend,
        "watermark": request.watermark,
    }


def task_path(task_id: str, action: str = "") -> str:
    """Return the path of a task, or of an action on it (`/cancel`)."""
    return f"/tasks/{quote(task_id, safe='')}{action}"


def list_query(page: int, size: int, *, model: str = "", status: str = "") -> dict[str, str]:
    """Return the query of one page (from 1) of the account's tasks of the last 24 hours.

    There is no `start_time` and `end_time`, because their time zone is not documented. Without them the
    service lists 24 hours, which is also how long it keeps tasks.
    """
    query = {"page_no": str(page), "page_size": str(size)}
    if model:
        query["model_name"] = model
    if status:
        query["status"] = status
    return query


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer.

    `body` is the JSON object, empty if there is none. `excerpt` is the beginning of the answer's text.
    In seconds: `retry_after_s` is the wait that the service asks for, None if none. `ahead_s` is how
    far the service's clock is ahead of this machine's, None if unknown. `is_emulated`: it has the mark of an emulator.
    """

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    excerpt: str = ""
    retry_after_s: float | None = None
    ahead_s: float | None = None
    is_emulated: bool = False

    @property
    def link(self) -> str:
        """The link of the image in the answer, empty if there is none. Whatever stands beside it: it was paid for."""
        return _link(table(self.body, "output"))

    @property
    def code(self) -> str:
        """The code of an error; empty if there is none, or if the code says that all is well."""
        found = _word(self.body, "code") or _word(table(self.body, "error"), "code")
        return "" if found.lower() in _SUCCESS_CODES else found

    @property
    def message(self) -> str:
        """What the answer says in words. Gateways have other fields for it than the service."""
        error = table(self.body, "error")
        said = (text(self.body, "message"), text(error, "message"), text(self.body, "error"), text(self.body, "detail"),
                *(text(one, "msg") for one in tables(self.body, "detail")), text(self.body, "msg"))  # fmt: skip
        return next(filter(None, said), "")

    @property
    def request_id(self) -> str:
        """The request's id, which the vendor's support asks for."""
        return text(self.body, "request_id")


def parse(
    status: int, content: bytes, *, mask: Mask | None = None, retry_after_s: float | None = None,
    ahead_s: float | None = None, is_emulated: bool = False,
) -> Answer:  # fmt: skip
    """Return the answer with this content. Any content is accepted.

    With `mask`, neither the JSON nor the excerpt holds the API key. JSON is decoded first, because it has escapes.
    """
    said = decoded(content)
    try:
        body = json.loads(said)
        body = mask.json(body) if mask else body
    except (ValueError, RecursionError):
        body = None
    said = said[:_MAX_TEXT]
    beginning = excerpt(mask.text(said) if mask else said)
    return Answer(status, body if isinstance(body, dict) else {}, beginning, retry_after_s, ahead_s, is_emulated)


def decoded(content: bytes) -> str:
    """Return the text of an answer: UTF-8, else GBK as Chinese gateways write it. What is neither becomes `?`."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    try:
        return content.decode("gb18030")
    except UnicodeDecodeError:
        return content.decode("utf-8", "replace")


def excerpt(said: str) -> str:
    """Return the beginning of a text for a message, on one line: without tags, and without queries of addresses.

    The query of an address may be a signature, which gives access to an image.
    """
    words = re.sub(r"<(script|style)\b.*?(</\1>|$)|<[^>]{0,500}>", " ", said[:4000], flags=re.DOTALL | re.IGNORECASE)
    return " ".join(re.sub(r"\?[^\s\"'<>]+", "", words).split())[:200]


@dataclass(frozen=True, slots=True)
class Result:
    """The result in an answer to a request: the `url` of the image, or the `code` and `message` of a failure."""

    url: str = field(repr=False)  # signed: it gives access to the image
    code: str
    message: str
    facts: Mapping[str, Any]


def result(answer: Answer) -> Result | None:
    """Return the result in a successful answer; None if the answer has neither an image nor a failure."""
    output = table(answer.body, "output")
    code, message = text(output, "code") or answer.code, text(output, "message") or answer.message
    facts = {"request_id": answer.request_id, "usage": _scalars(table(answer.body, "usage")), FACT: answer.is_emulated}
    if answer.link:
        return Result(answer.link, "", "", _present({**facts, "code": code, "message": message}))
    metric = table(output, "task_metric") or table(output, "task_metrics")
    if code or (metric.get("SUCCEEDED") == 0 and metric.get("FAILED")):
        return Result("", code, message, _present(facts))
    return None


@dataclass(frozen=True, slots=True)
class Task:
    """A task as the service shows it.

    `status` is PENDING, RUNNING, SUCCEEDED, FAILED, CANCELED, or UNKNOWN once the task has expired. `url`
    leads to the image; `code` and `message` describe a failure. `created_at_s` is in seconds since the epoch
    by the service's clock, None if unknown. A listed task has no prompt, URL or failure.
    """

    id: str
    status: str
    model: str = ""
    request_id: str = ""
    created_at_s: float | None = None
    prompt: str = ""
    url: str = field(default="", repr=False)  # signed: it gives access to the image
    code: str = ""
    message: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def task(answer: Answer, asked_id: str = "") -> Task | None:
    """Return the task in the answer to a create or a query; None if there is none.

    `asked_id` is the task that a query asked for. An image in the answer is that task's, also without an id beside it.
    """
    entry = table(answer.body, "output")
    if asked_id and answer.link and not text(entry, "task_id"):
        entry = {**entry, "task_id": asked_id}
    found = _task(entry, answer.request_id, table(answer.body, "usage"))
    return replace(found, facts={**found.facts, FACT: True}) if found and answer.is_emulated else found


@dataclass(frozen=True, slots=True)
class TaskPage:
    """One page of the list of tasks.

    `entries` is the number of entries, of which only `tasks` could be read. `total` is the number of tasks on all
    pages, None if unknown. `is_list` is False if the answer holds no list at all.
    """

    tasks: tuple[Task, ...]
    entries: int
    total: int | None
    is_list: bool


def task_list(answer: Answer) -> TaskPage:
    """Return one page of a list. Any answer is accepted."""
    page = answer.body if "data" in answer.body or "tasks" in answer.body else table(answer.body, "output")
    listed = next((page[name] for name in ("data", "tasks") if isinstance(page.get(name), list)), None)
    entries = listed or []
    total = page.get("total")
    found = (_task(entry, text(entry, "request_id"), {}) for entry in entries if isinstance(entry, dict))
    tasks = tuple(one for one in found if one)
    return TaskPage(tasks, len(entries), total if type(total) is int else None, listed is not None)


def _task(entry: Mapping[str, Any], request_id: str, usage: Mapping[str, Any]) -> Task | None:
    task_id = text(entry, "task_id")
    if not task_id:
        return None
    results, url = tables(entry, "results"), _link(entry)
    made = next((one for one in results if text(one, "url").strip() == url), {}) if url else {}
    failed = next((one for one in (entry, *results) if _word(one, "code")), {})
    first = made or next(iter(results), {})
    code, message = _word(failed, "code"), text(failed, "message")
    created_ms = entry.get("gmt_create")
    facts = {
        "request_id": request_id,
        "task_id": task_id,
        **{name: _with_zone(text(entry, name)) for name in ("submit_time", "scheduled_time", "end_time")},
        "orig_prompt": text(first, "orig_prompt"),
        "actual_prompt": text(first, "actual_prompt"),
        "usage": _scalars(usage),
        **({"code": code, "message": message} if url else {}),  # an image was made nevertheless
    }
    return Task(
        id=task_id,
        status=(text(entry, "task_status") or text(entry, "status")).upper(),
        model=text(entry, "model_name") or text(entry, "model"),
        request_id=request_id,
        created_at_s=created_ms / 1000 if type(created_ms) is int and 0 < created_ms < 1e14 else None,
        prompt=text(first, "orig_prompt"),
        url=url,
        code=code,
        message=message,
        facts=_present(facts),
    )


def _with_zone(time: str) -> str:
    """Return a task's time with its zone, which the service leaves out (reference: UTC+8). Other texts stay."""
    return f"{time}+08:00" if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?", time, re.ASCII) else time


def _link(output: Mapping[str, Any]) -> str:
    """Return the link of the first image in an `output`, empty if there is none.

    It is looked for at every place where an interface of the vendor puts one: `choices[].message.content[].image`
    and `results[].url`. White space around it means nothing.
    """
    contents = (tables(table(choice, "message"), "content") for choice in tables(output, "choices"))
    links = [text(part, "image") for parts in contents for part in parts]
    links += [text(one, "url") for one in tables(output, "results")]
    return next(filter(None, (link.strip() for link in links)), "")


# --- reading any JSON ---


def text(source: Mapping[str, Any], key: str) -> str:
    """Return the text under `key`, empty if there is none. Unpaired surrogates become `?`."""
    value = source.get(key)
    return value[:_MAX_TEXT].encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""


def _word(source: Mapping[str, Any], key: str) -> str:
    """Return the text or the whole number under `key`, empty if there is neither: gateways write codes as numbers."""
    value = source.get(key)
    return str(value) if type(value) is int and abs(value) < 10**9 else text(source, key)


def table(source: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the object under `key`, empty if there is none."""
    value = source.get(key)
    return value if isinstance(value, dict) else {}


def tables(source: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    """Return the objects in the list under `key`, empty if there is none. A single object counts as a list of one."""
    value = source.get(key)
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]


def _scalars(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the integers and the short texts of a table, such as `output_image_type` in the service's `usage`."""
    known = {key: value for key, value in source.items() if key.isascii()}
    return {key: it for key, it in known.items() if type(it) is int or (isinstance(it, str) and len(it) <= 40)}


def _present(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if value}
