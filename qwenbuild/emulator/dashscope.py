"""The imitated DashScope without its HTTP: accounts, rate limits, tasks, and what is charged.

Invariants:
- No method reads a clock or sleeps. Each gets the time, `now`, in seconds since the epoch; `settle`
  brings all tasks up to that time.
- An image is charged once: when a sync call is accepted, or when a task succeeds.
  Refused calls and failed tasks are never charged.
- API keys are not kept. An account is a digest of its key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from qwenbuild.catalogue import Catalogue, builtin
from qwenbuild.digest import sha256
from qwenbuild.regions import REGION_IDS, REGIONS
from qwenbuild.request import Size

from .bill import Bill, Charge
from .exchange import Exchange
from .rate_limit import TokenBucket
from .request_body import Order, read_order
from .results import Image, Results
from .tasks import STATUSES, Task, TaskQueue
from .vendor_errors import NO_ASYNC, Refusal
from .wire_format import china_time, new_id, parsed_time

DAY_S = 86_400.0
QUERIES_PER_S = 20.0
"""How many task queries an account may send each second (Model Studio, asynchronous task management, 2026-03)."""


Link = Callable[[str], str]
"""Makes an absolute URL from a path with its query."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The conditions under which the service works.

    `region` decides which keys are accepted and which prices are charged. A key must begin with
    `sk-`. A key that begins with another region's name (`sk-beijing-…`) is refused, as the service
    refuses foreign keys. If `keys` is not empty, only those keys are accepted. `limits` multiplies
    the catalogue's rate limits and its numbers of concurrent tasks; 0 removes them. A render takes
    `latency_s` seconds, a task stays PENDING for at least `queue_s` seconds, and tasks and links
    live for `lifetime_s` seconds.
    """

    region: str = "singapore"
    keys: tuple[str, ...] = field(default=(), repr=False)
    limits: float = 1.0
    latency_s: float = 0.5
    queue_s: float = 0.05
    lifetime_s: float = DAY_S
    catalogue: Catalogue = field(default_factory=builtin, repr=False)


class Service:
    """One region of the service, and the accounts that have called it."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.bill = Bill(terms.region)
        self.results = Results()
        self._tasks: dict[str, Task] = {}  # oldest first
        self._queues: dict[tuple[str, str], TaskQueue] = {}  # by account and model
        self._buckets: dict[tuple[str, str], TokenBucket] = {}  # by account and model; "" for task queries

    def account(self, authorization: str | None) -> str:
        """Return the account of an Authorization header; raises Refusal for a missing or wrong key."""
        scheme, _, key = (authorization or "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise Refusal("InvalidApiKey", "No API-key provided.")
        foreign = any(key.startswith(f"sk-{region}-") for region in REGIONS if region != self.terms.region)
        known = key in self.terms.keys if self.terms.keys else key.startswith("sk-") and len(key) > len("sk-")
        is_plan = key.startswith("sk-sp-")  # keys of coding plans are for other services (third parties, October 2026)
        if foreign or is_plan or not known or not key.isascii() or not key.isprintable():
            raise Refusal("InvalidApiKey")
        return sha256(key.encode())[:12]

    def render(
        self, account: str, body: Mapping[str, Any], exchange: Exchange, now: float, *, asynchronous: bool
    ) -> list[Image]:
        """Accept a sync call, charge for it, and return its images; raises Refusal.

        `asynchronous` says whether the call carried the header of the async interface. Such a call is
        refused.
        """
        if asynchronous:
            raise Refusal("AccessDenied", NO_ASYNC)
        order = self._accept(account, body, "sync", now)
        return self._charge(account, order, exchange, now, now + self.terms.latency_s)

    def sync_answer(self, images: list[Image], link: Link) -> dict[str, Any]:
        """Return the answer to a sync call that made `images`."""
        size = images[0].order.size
        content = [{"image": link(self.results.link(image))} for image in images]
        return {
            "output": {
                "choices": [{"finish_reason": "stop", "message": {"content": content, "role": "assistant"}}],
                "task_metric": {"FAILED": 0, "SUCCEEDED": len(images), "TOTAL": len(images)},
            },
            "usage": _usage(images[0].order.model, len(images), size),
            "request_id": new_id(),
        }

    def create(
        self, account: str, body: Mapping[str, Any], exchange: Exchange, now: float,
        *, failing: str = "", failing_item: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """Accept a task and return the answer; raises Refusal.

        `failing` and `failing_item` are the error codes of an injected fault; see `Task`.
        """
        self.settle(now)
        order = self._accept(account, body, "async", now)
        task = Task(new_id(), account, order, exchange, now, failing, failing_item)
        self._tasks[task.id] = task
        key = (account, order.model)
        if key not in self._queues:
            terms, most = self.terms, self.terms.catalogue.models[order.model].concurrent
            most = max(1, round(most * terms.limits)) if most and terms.limits else 0
            self._queues[key] = TaskQueue(most, terms.queue_s, terms.latency_s)
        self._queues[key].pending.append(task)
        return {"output": {"task_status": task.status, "task_id": task.id}, "request_id": task.request_id}

    def poll(self, account: str, task_id: str, now: float, link: Link) -> dict[str, Any]:
        """Return the answer to a query of one task; raises Refusal.

        The status is UNKNOWN if the task does not exist, has expired, or belongs to another account.
        """
        task = self._find(account, task_id, now)
        if task is None:
            return {"request_id": new_id(), "output": {"task_id": task_id, "task_status": "UNKNOWN"}}
        output: dict[str, Any] = {"task_id": task.id, "task_status": task.status}
        times = {"submit_time": task.submitted_s, "scheduled_time": task.scheduled_s, "end_time": task.ended_s}
        output |= {name: china_time(at_s) for name, at_s in times.items() if at_s is not None}
        if task.status == "FAILED":
            output |= _failure(task.failing)
        elif task.status == "SUCCEEDED":
            output["results"] = self._task_results(task, link)
        answer: dict[str, Any] = {"request_id": new_id(), "output": output}
        if task.images:
            answer["usage"] = {"image_count": len(task.images)}
        return answer

    def cancel(self, account: str, task_id: str, now: float) -> dict[str, Any]:
        """Cancel a PENDING task and return the answer; raises Refusal if the task is not PENDING."""
        task = self._find(account, task_id, now)
        if task is None or task.status != "PENDING":
            raise Refusal("UnsupportedOperation")
        self._queues[task.account, task.order.model].pending.remove(task)
        task.status, task.ended_s = "CANCELED", now
        return {"request_id": new_id()}

    def listing(self, account: str, query: Mapping[str, str], now: float) -> dict[str, Any]:
        """Return one page of the account's tasks, newest first; raises Refusal for a wrong query.

        The filters and their defaults are those of Model Studio's "asynchronous task management" (2026-03).
        """
        self._count_query(account, now)
        self.settle(now)
        start, end = _window(query, now)
        if query.get("status") and query["status"] not in STATUSES:
            raise Refusal("InvalidParameter", f"status must be one of {', '.join(STATUSES)}.")
        page_no, page_size = _positive(query, "page_no", 1), _positive(query, "page_size", 10)
        filters = ("task_id", "model_name", "status", "region", "api_key_id")
        wanted = {name: query[name] for name in filters if query.get(name)}
        entries = [
            entry
            for task in reversed(self._tasks.values())
            # `end_time` is in whole seconds and includes the tasks of that second.
            if task.account == account and start <= task.submitted_s < end + 1
            for entry in [self._entry(task)]
            if all(entry[name] == value for name, value in wanted.items())
        ]
        first = (page_no - 1) * page_size
        return {
            "request_id": new_id(), "data": entries[first : first + page_size], "page_no": page_no,
            "page_size": page_size, "total": len(entries), "total_page": -(-len(entries) // page_size),
        }  # fmt: skip

    def settle(self, now: float) -> None:
        """Bring everything up to `now`: start, end and charge tasks that are due; forget expired tasks and links."""
        for queue in self._queues.values():
            queue.advance(now, self._finish)
        while self._tasks:
            oldest = next(iter(self._tasks.values()))
            if oldest.submitted_s + self.terms.lifetime_s >= now:
                break
            del self._tasks[oldest.id]
        self.results.forget(now)

    def tasks_by_status(self) -> dict[str, int]:
        """Return the number of tasks in each status; statuses without tasks are left out."""
        statuses = [task.status for task in self._tasks.values()]
        return {status: statuses.count(status) for status in STATUSES if status in statuses}

    def _accept(self, account: str, body: Mapping[str, Any], interface: str, now: float) -> Order:
        """Return the order of a valid body that is within the rate limit; raises Refusal."""
        order = read_order(body, interface, self.terms.catalogue)
        if self.terms.limits:
            key = (account, order.model)
            if key not in self._buckets:
                submits = self.terms.catalogue.models[order.model].submits_per_s
                rate = submits * self.terms.limits
                # A burst may use the whole limit of one second, or of one minute if the limit is per minute.
                self._buckets[key] = TokenBucket(rate, max(1.0, rate if submits >= 1 else rate * 60))
            self._buckets[key].take(now)
        return order

    def _count_query(self, account: str, now: float) -> None:
        if self.terms.limits:
            rate = QUERIES_PER_S * self.terms.limits
            self._buckets.setdefault((account, ""), TokenBucket(rate, max(1.0, rate))).take(now)

    def _find(self, account: str, task_id: str, now: float) -> Task | None:
        self._count_query(account, now)
        self.settle(now)
        task = self._tasks.get(task_id)
        return task if task is not None and task.account == account else None

    def _finish(self, task: Task, at_s: float) -> None:
        task.ended_s = at_s
        task.status = "FAILED" if task.failing else "SUCCEEDED"
        if not task.failing and not task.failing_item:
            task.images = self._charge(task.account, task.order, task.exchange, at_s, at_s, task.id)

    def _charge(
        self, account: str, order: Order, exchange: Exchange, now: float, ready_s: float, task_id: str = ""
    ) -> list[Image]:
        """Charge for an order and return its images. Their links live from `ready_s` on."""
        price = self.terms.catalogue.models[order.model].price(self.terms.region, order.size) or Decimal(0)
        images = []
        for index in range(order.count):
            charge = Charge(account, order, price, now, exchange, task_id)
            self.bill.charges.append(charge)
            images.append(self.results.add(index, ready_s + self.terms.lifetime_s, charge))
        return images

    def _task_results(self, task: Task, link: Link) -> list[dict[str, str]]:
        if task.failing_item:
            return [_failure(task.failing_item)] * task.order.count
        prompts = {"orig_prompt": task.order.orig_prompt}
        if task.order.actual_prompt:
            prompts["actual_prompt"] = task.order.actual_prompt
        return [{**prompts, "url": link(self.results.link(image))} for image in task.images]

    def _entry(self, task: Task) -> dict[str, Any]:
        """Return a task as the task list shows it."""
        number = str(int(task.account, 16))
        times = {"gmt_create": task.submitted_s, "start_time": task.scheduled_s, "end_time": task.ended_s}
        return {
            "api_key_id": number[:6], "caller_parent_id": number, "caller_uid": number,
            **{name: int(at_s * 1000) for name, at_s in times.items() if at_s is not None},
            "model_name": task.order.model, "region": REGION_IDS[self.terms.region],
            "request_id": task.request_id, "status": task.status, "task_id": task.id,
            "user_api_unique_key": f"apikey:v1:aigc:text2image:image-synthesis:{task.order.model}",
        }  # fmt: skip


def _window(query: Mapping[str, str], now: float) -> tuple[float, float]:
    """Return the start and end of a listing in epoch seconds; raises Refusal if it is longer than a day.

    Without `start_time` the window is the day before its end; without `end_time` it ends a day after
    its start. Without both it is the last day.
    """
    start = parsed_time(query["start_time"]) if query.get("start_time") else None
    end = parsed_time(query["end_time"]) if query.get("end_time") else None
    if end is None:
        end = now if start is None else start + DAY_S
    if start is None:
        start = end - DAY_S
    if not 0 <= end - start <= DAY_S:
        raise Refusal("InvalidParameter", "The time between start_time and end_time must not exceed 24 hours.")
    return start, end


def _usage(model: str, count: int, size: Size) -> dict[str, Any]:
    """Return the usage in an answer: the newer models have other names for it (third parties, October 2026)."""
    if model.startswith(("qwen-image-2.1", "qwen-image-3.0")):
        facts: dict[str, Any] = {"input_image_count": 0, "output_image_count": count, "output_image_type": "png"}
        return {**facts, "output_height": size.height, "output_width": size.width}
    return {"height": size.height, "image_count": count, "width": size.width}


def _failure(code: str) -> dict[str, str]:
    refusal = Refusal(code)
    return {"code": refusal.code, "message": refusal.message}


def _positive(query: Mapping[str, str], key: str, default: int) -> int:
    text = query.get(key) or str(default)
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 2**31):
        raise Refusal("InvalidParameter", f"{key} must be a positive integer.")
    return int(text)
