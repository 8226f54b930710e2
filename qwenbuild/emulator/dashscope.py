"""The imitated service without its HTTP: accounts, limits, and the life of tasks.

Invariants:
- Nothing here reads a clock or sleeps: every method is told the time, in seconds since the epoch.
  A task's life follows from its submission, its lane's limit and the terms; `settle` catches up with it.
- An image is charged once, when it is accepted (sync) or when its task succeeds (async); refused and
  failed ones never.
- Keys are not kept: an account is a digest of its key.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from qwenbuild.catalogue import REGIONS, Catalogue, builtin
from qwenbuild.digest import sha256

from .bill import Bill, Charge, Exchange, Image, Results
from .request_body import Order, read_order
from .wire_format import NO_ASYNC, Refusal, china_time, new_id, parsed_time

DAY_S = 86_400.0
QUERIES_PER_S = 20.0
"""Task queries an account may send each second (Model Studio, asynchronous task management, 2026-03)."""

_REGION_IDS = {"beijing": "cn-beijing", "singapore": "ap-southeast-1"}
_STATUSES = ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELED", "UNKNOWN")

Link = Callable[[str], str]
"""Makes an absolute URL of a path with its query."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The conditions under which the service works.

    `region` is the one whose keys are taken and whose prices are charged. A key must begin with
    `sk-`; one that begins with another region's name (`sk-beijing-…`) is refused as the service
    refuses foreign keys; where `keys` names any, only those are taken. `limits` scales the
    catalogue's rates and numbers of concurrent tasks, 0 lifts them. `latency_s` is how long a render
    takes, `queue_s` how long a task is at least PENDING; tasks and links live `lifetime_s`.
    """

    region: str = "singapore"
    keys: tuple[str, ...] = field(default=(), repr=False)
    limits: float = 1.0
    latency_s: float = 0.5
    queue_s: float = 0.05
    lifetime_s: float = DAY_S
    catalogue: Catalogue = field(default_factory=builtin, repr=False)


@dataclass(slots=True, eq=False)
class Task:
    """An asynchronous task; `failing` is a code that it ends with, `failing_item` one of its result."""

    id: str
    account: str
    order: Order
    exchange: Exchange
    submitted_s: float
    failing: str = ""
    failing_item: str = ""
    request_id: str = field(default_factory=new_id)
    status: str = "PENDING"
    scheduled_s: float | None = None
    ended_s: float | None = None
    images: list[Image] = field(default_factory=list)


class _Bucket:
    """A token bucket: `burst` tokens, refilled at `rate_per_s`."""

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate, self._burst = rate_per_s, burst
        self._tokens, self._at_s = burst, 0.0

    def take(self, now: float) -> None:
        """Take a token; raises Refusal where there is none."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at_s) * self._rate)
        self._at_s = now
        if self._tokens < 1:
            raise Refusal("Throttling.RateQuota")
        self._tokens -= 1


class _Lane:
    """The tasks of one account and model, run in order, `most` at a time (0: all at once)."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.pending: deque[Task] = deque()
        self._running: list[tuple[float, int, Task]] = []
        self._started = 0
        self._freed_s = 0.0

    def advance(self, now: float, terms: Terms, finish: Callable[[Task, float], None]) -> None:
        """Start and finish what is due by `now`, in the order in which it is due."""
        while True:
            end_s = self._running[0][0] if self._running else None
            if self.pending and (not self._most or len(self._running) < self._most):
                start_s = max(self.pending[0].submitted_s + terms.queue_s, self._freed_s if self._most else 0.0)
                if start_s <= now and (end_s is None or start_s <= end_s):
                    task = self.pending.popleft()
                    task.status, task.scheduled_s = "RUNNING", start_s
                    self._started += 1
                    heapq.heappush(self._running, (start_s + terms.latency_s, self._started, task))
                    continue
            if end_s is None or end_s > now:
                return
            self._freed_s = end_s
            finish(heapq.heappop(self._running)[2], end_s)


class Service:
    """One region of the service, with the accounts that have called it."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.bill = Bill(terms.region)
        self.results = Results()
        self._tasks: dict[str, Task] = {}
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def account(self, authorization: str | None) -> str:
        """Return the account whose key the Authorization header carries; raises Refusal."""
        scheme, _, key = (authorization or "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise Refusal("InvalidApiKey", "No API-key provided.")
        foreign = any(key.startswith(f"sk-{region}-") for region in REGIONS if region != self.terms.region)
        known = key in self.terms.keys if self.terms.keys else key.startswith("sk-") and len(key) > len("sk-")
        if foreign or not known or not key.isascii() or not key.isprintable():
            raise Refusal("InvalidApiKey")
        return sha256(key.encode())[:12]

    def render(
        self, account: str, body: Mapping[str, Any], exchange: Exchange, now: float, *, asynchronous: bool
    ) -> list[Image]:
        """Accept a sync call, charge for it, and return its images; raises Refusal."""
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
            "usage": {"height": size.height, "image_count": len(images), "width": size.width},
            "request_id": new_id(),
        }

    def create(
        self, account: str, body: Mapping[str, Any], exchange: Exchange, now: float,
        *, failing: str = "", failing_item: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """Accept a task and return the answer; raises Refusal. The codes, where given, are what it will fail with."""
        self.settle(now)
        order = self._accept(account, body, "async", now)
        task = Task(new_id(), account, order, exchange, now, failing, failing_item)
        self._tasks[task.id] = task
        key = (account, order.model)
        if key not in self._lanes:
            most = self.terms.catalogue.models[order.model].concurrent
            self._lanes[key] = _Lane(max(1, round(most * self.terms.limits)) if most and self.terms.limits else 0)
        self._lanes[key].pending.append(task)
        return {"request_id": task.request_id, "output": {"task_id": task.id, "task_status": task.status}}

    def poll(self, account: str, task_id: str, now: float, link: Link) -> dict[str, Any]:
        """Return the answer to a query of a task, UNKNOWN for one that is gone or another's; raises Refusal."""
        task = self._find(account, task_id, now)
        if task is None:
            return {"request_id": new_id(), "output": {"task_id": task_id, "task_status": "UNKNOWN"}}
        output: dict[str, Any] = {"task_id": task.id, "task_status": task.status}
        times = {"submit_time": task.submitted_s, "scheduled_time": task.scheduled_s, "end_time": task.ended_s}
        output |= {name: china_time(at_s) for name, at_s in times.items() if at_s is not None}
        made = len(task.images)
        if task.status == "FAILED":
            output |= _failure(task.failing)
        elif task.status == "SUCCEEDED":
            output["results"] = self._task_results(task, link)
        ended = task.status in ("FAILED", "SUCCEEDED")
        total = task.order.count
        output["task_metrics"] = {"TOTAL": total, "SUCCEEDED": made, "FAILED": total - made if ended else 0}
        answer: dict[str, Any] = {"request_id": new_id(), "output": output}
        if made:
            answer["usage"] = {"image_count": made}
        return answer

    def cancel(self, account: str, task_id: str, now: float) -> dict[str, Any]:
        """Cancel a PENDING task and return the answer; raises Refusal for any other."""
        task = self._find(account, task_id, now)
        if task is None or task.status != "PENDING":
            raise Refusal("UnsupportedOperation")
        self._lanes[task.account, task.order.model].pending.remove(task)
        task.status, task.ended_s = "CANCELED", now
        return {"request_id": new_id()}

    def listing(self, account: str, query: Mapping[str, str], now: float) -> dict[str, Any]:
        """Return a page of the account's tasks, newest first; raises Refusal.

        Filters and defaults are those of Model Studio's "asynchronous task management" (2026-03).
        """
        self._count_query(account, now)
        self.settle(now)
        start = parsed_time(query["start_time"]) if query.get("start_time") else None
        end = parsed_time(query["end_time"]) if query.get("end_time") else None
        if end is None:
            end = now if start is None else start + DAY_S
        if start is None:
            start = end - DAY_S
        if not 0 <= end - start <= DAY_S:
            raise Refusal("InvalidParameter", "The time between start_time and end_time must not exceed 24 hours.")
        if query.get("status") and query["status"] not in _STATUSES:
            raise Refusal("InvalidParameter", f"status must be one of {', '.join(_STATUSES)}.")
        page_no, page_size = _positive(query, "page_no", 1), _positive(query, "page_size", 10)
        filters = ("task_id", "model_name", "status", "region", "api_key_id")
        wanted = {name: query[name] for name in filters if query.get(name)}
        entries = [
            entry
            for task in reversed(self._tasks.values())
            # `end_time` has whole seconds: a task of the same second belongs to it.
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
        """Catch up with what is due by `now`: tasks start, end and are billed, dead ones are forgotten."""
        for lane in self._lanes.values():
            lane.advance(now, self.terms, self._finish)
        while self._tasks:
            oldest = next(iter(self._tasks.values()))
            if oldest.submitted_s + self.terms.lifetime_s >= now:
                break
            del self._tasks[oldest.id]
        self.results.forget(now)

    def tasks_by_status(self) -> dict[str, int]:
        """Return how many tasks are in each status, those without any left out."""
        statuses = [task.status for task in self._tasks.values()]
        return {status: statuses.count(status) for status in _STATUSES if status in statuses}

    def _accept(self, account: str, body: Mapping[str, Any], interface: str, now: float) -> Order:
        order = read_order(body, interface, self.terms.catalogue)
        if self.terms.limits:
            key = (account, order.model)
            if key not in self._buckets:
                submits = self.terms.catalogue.models[order.model].submits_per_s
                rate = submits * self.terms.limits
                # As many at once as the second, or the minute, of the limit holds.
                self._buckets[key] = _Bucket(rate, max(1.0, rate if submits >= 1 else rate * 60))
            self._buckets[key].take(now)
        return order

    def _count_query(self, account: str, now: float) -> None:
        if self.terms.limits:
            rate = QUERIES_PER_S * self.terms.limits
            self._buckets.setdefault((account, ""), _Bucket(rate, max(1.0, rate))).take(now)

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
        price = self.terms.catalogue.models[order.model].price_cny.get(self.terms.region, Decimal(0))
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
        number = str(int(task.account, 16))
        times = {"gmt_create": task.submitted_s, "start_time": task.scheduled_s, "end_time": task.ended_s}
        return {
            "api_key_id": number[:6], "caller_parent_id": number, "caller_uid": number,
            **{name: int(at_s * 1000) for name, at_s in times.items() if at_s is not None},
            "model_name": task.order.model, "region": _REGION_IDS[self.terms.region],
            "request_id": task.request_id, "status": task.status, "task_id": task.id,
            "user_api_unique_key": f"apikey:v1:aigc:text2image:image-synthesis:{task.order.model}",
        }  # fmt: skip


def _failure(code: str) -> dict[str, str]:
    refusal = Refusal(code)
    return {"code": refusal.code, "message": refusal.message}


def _positive(query: Mapping[str, str], key: str, default: int) -> int:
    text = query.get(key) or str(default)
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 2**31):
        raise Refusal("InvalidParameter", f"{key} must be a positive integer.")
    return int(text)
