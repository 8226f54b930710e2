"""The service's JSON, both ways: request bodies and paths, answers parsed into frozen records. Free of I/O.

Invariants: a body equals, field by field, what the vendor's SDK sends for the same request. Parsing
ignores fields it does not know, survives any JSON, and never invents what is missing.

Sources: Qwen-Image API reference of 2026-02-10; the `dashscope` SDK 2.0 as recorded; Model Studio
"Asynchronous task management API" of 2026-03-15 for listing and cancelling.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from qwenbuild.request import Request

SYNC_PATH: Final = "/services/aigc/multimodal-generation/generation"
ASYNC_PATH: Final = "/services/aigc/text2image/image-synthesis"
ASYNC_HEADERS: Final = {"X-DashScope-Async": "enable"}
LIST_PATH: Final = "/tasks/"

WAITING: Final = ("PENDING", "RUNNING")
_MAX_TEXT: Final = 8192  # characters of any text that goes into provenance


def headers(key: str, workspace: str, version: str) -> dict[str, str]:
    """Return the headers of every request to the service; they hold the key."""
    found = {
        "Authorization": f"Bearer {key}",
        "Accept": "application/json; charset=utf-8",
        "User-Agent": f"qwenbuild/{version}",
    }
    if workspace:
        found["X-DashScope-WorkSpace"] = workspace
    return found


def sync_body(request: Request) -> dict[str, Any]:
    """Return the body of a call to `SYNC_PATH`."""
    negative = {"negative_prompt": request.negative_prompt} if request.negative_prompt else {}
    return {
        "model": request.model,
        "input": {"messages": [{"role": "user", "content": [{"text": request.prompt}]}]},
        "parameters": {**negative, **_parameters(request)},
    }


def async_body(request: Request) -> dict[str, Any]:
    """Return the body that creates a task at `ASYNC_PATH`; `negative_prompt` stands in `input`, as the SDK puts it."""
    negative = {"negative_prompt": request.negative_prompt} if request.negative_prompt else {}
    return {
        "model": request.model,
        "input": {"prompt": request.prompt, **negative},
        "parameters": _parameters(request),
    }


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

    No `start_time` and `end_time`: their time zone is not documented, and 24 hours, as long as
    tasks live, is what the service takes without them.
    """
    query = {"page_no": str(page), "page_size": str(size)}
    if model:
        query["model_name"] = model
    if status:
        query["status"] = status
    return query


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: `body` is its JSON object, empty where it has none; `excerpt` is what came instead.

    `retry_after_s` is what the service asks to wait, None where it asks nothing; `ahead_s` by how
    much the service's clock is ahead of ours, None where it does not tell its time.
    """

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    excerpt: str = ""
    retry_after_s: float | None = None
    ahead_s: float | None = None

    @property
    def code(self) -> str:
        """The service's error code, empty for a success."""
        return text(self.body, "code") or text(table(self.body, "error"), "code")

    @property
    def message(self) -> str:
        """What the service says about its error code."""
        return text(self.body, "message") or text(table(self.body, "error"), "message")

    @property
    def request_id(self) -> str:
        """What the vendor's support asks for."""
        return text(self.body, "request_id")


def parse(status: int, content: bytes, *, retry_after_s: float | None = None, ahead_s: float | None = None) -> Answer:
    """Return the answer with this content, whatever it is."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict):
        return Answer(status, body, "", retry_after_s, ahead_s)
    excerpt = " ".join(content[:400].decode("utf-8", "replace").split())[:200]
    return Answer(status, {}, excerpt, retry_after_s, ahead_s)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a sync request: `url` of its image, or else the `code` and `message` of its failure."""

    url: str = field(repr=False)  # signed: whoever has it has the image
    code: str
    message: str
    facts: Mapping[str, Any]


def sync_result(answer: Answer) -> Result | None:
    """Return what a successful answer says of the image; None where it says neither where it is nor that it failed."""
    output = table(answer.body, "output")
    contents = (tables(table(choice, "message"), "content") for choice in tables(output, "choices"))
    url = next((text(part, "image") for parts in contents for part in parts if text(part, "image")), "")
    metric = table(output, "task_metric") or table(output, "task_metrics")
    facts = {"request_id": answer.request_id, "usage": _scalars(table(answer.body, "usage"))}
    if url:
        return Result(url, "", "", _present(facts))
    code, message = text(output, "code"), text(output, "message")
    if not code and metric.get("SUCCEEDED") == 0 and metric.get("FAILED"):
        code, message = "FAILED", "task_metric counts no image that succeeded"
    return Result("", code, message, _present(facts)) if code else None


@dataclass(frozen=True, slots=True)
class Task:
    """A task as the service tells of it.

    `status` is PENDING, RUNNING, SUCCEEDED, FAILED, CANCELED, or UNKNOWN once it has expired. `url` is
    its image's, `code` and `message` its failure's. `created_at_s` is in seconds since the epoch by
    the service's clock, None where it does not tell. A listed task has no prompt, URL or failure.
    """

    id: str
    status: str
    model: str = ""
    request_id: str = ""
    created_at_s: float | None = None
    prompt: str = ""
    url: str = field(default="", repr=False)  # signed: whoever has it has the image
    code: str = ""
    message: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def task(answer: Answer) -> Task | None:
    """Return the task that a create or a query tells of; None where the answer names none."""
    return _task(table(answer.body, "output"), answer.request_id, table(answer.body, "usage"))


def task_list(answer: Answer) -> tuple[tuple[Task, ...], int | None]:
    """Return the tasks of one page of a listing, and how many there are in all (None: it does not say)."""
    page = answer.body if "data" in answer.body or "tasks" in answer.body else table(answer.body, "output")
    entries = tables(page, "data") or tables(page, "tasks")
    total = page.get("total")
    found = tuple(one for entry in entries if (one := _task(entry, text(entry, "request_id"), {})))
    return found, total if type(total) is int else None


def _task(entry: Mapping[str, Any], request_id: str, usage: Mapping[str, Any]) -> Task | None:
    task_id = text(entry, "task_id")
    if not task_id:
        return None
    results = tables(entry, "results")
    made = next((one for one in results if text(one, "url")), {})
    failed = next((one for one in (entry, *results) if text(one, "code")), {})
    first = made or next(iter(results), {})
    created_ms = entry.get("gmt_create")
    facts = {
        "request_id": request_id,
        "task_id": task_id,
        "submit_time": text(entry, "submit_time"),
        "scheduled_time": text(entry, "scheduled_time"),
        "end_time": text(entry, "end_time"),
        "orig_prompt": text(first, "orig_prompt"),
        "actual_prompt": text(first, "actual_prompt"),
        "usage": _scalars(usage),
    }
    return Task(
        id=task_id,
        status=(text(entry, "task_status") or text(entry, "status")).upper(),
        model=text(entry, "model_name") or text(entry, "model"),
        request_id=request_id,
        created_at_s=created_ms / 1000 if type(created_ms) is int and 0 < created_ms < 1e14 else None,
        prompt=text(first, "orig_prompt"),
        url=text(made, "url"),
        code=text(failed, "code"),
        message=text(failed, "message"),
        facts=_present(facts),
    )


# --- reading JSON that may be anything ---


def text(source: Mapping[str, Any], key: str) -> str:
    """Return the text under `key`, empty where there is none; JSON's unpaired surrogates become `?`."""
    value = source.get(key)
    return value[:_MAX_TEXT].encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""


def table(source: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the object under `key`, empty where there is none."""
    value = source.get(key)
    return value if isinstance(value, dict) else {}


def tables(source: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    """Return the objects in the list under `key`, empty where there is none."""
    value = source.get(key)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _scalars(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts of a table (the service's `usage` holds nothing else)."""
    return {key: value for key, value in source.items() if type(value) is int and key.isascii()}


def _present(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if value}
