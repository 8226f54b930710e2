from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.catalogue import builtin
from qwenbuild.emulator.dashscope import DAY_S, Service, Terms
from qwenbuild.emulator.exchange import Exchange
from qwenbuild.emulator.vendor_errors import Refusal
from qwenbuild.emulator.wire_format import china_time

T0 = 1_757_396_360.659  # 2025-09-09 13:39:20.659 in China
FREE = Terms(limits=0, latency_s=24.5, queue_s=0.058)


class Client:
    """Calls one service with one key."""

    def __init__(self, terms: Terms = FREE, key: str = "sk-a") -> None:
        self.service = Service(terms)
        self.account = self.service.account(f"Bearer {key}")

    def exchange(self) -> Exchange:
        return Exchange("create", "POST", "/", "", {}, {}, T0)

    def create(self, now: float, model: str = "qwen-image-plus", **failing: str) -> str:
        """Create a task and return its id."""
        body = {"model": model, "input": {"prompt": "a cat"}, "parameters": {"prompt_extend": False}}
        answer = self.service.create(self.account, body, self.exchange(), now, **failing)
        assert answer["output"]["task_status"] == "PENDING"
        found: str = answer["output"]["task_id"]
        return found

    def render(self, now: float, model: str = "qwen-image-plus", n: int = 1, size: str = "1328*1328") -> dict[str, Any]:
        """Make a sync call and return its answer."""
        messages = [{"role": "user", "content": [{"text": "a cat"}]}]
        body = {"model": model, "input": {"messages": messages}, "parameters": {"n": n, "size": size}}
        images = self.service.render(self.account, body, self.exchange(), now, asynchronous=False)
        return self.service.sync_answer(images, "http://h{}".format)

    def poll(self, task: str, now: float) -> dict[str, Any]:
        return self.service.poll(self.account, task, now, "http://h{}".format)

    def status(self, task: str, now: float) -> str:
        found: str = self.poll(task, now)["output"]["task_status"]
        return found

    def listing(self, now: float, **query: str) -> dict[str, Any]:
        return self.service.listing(self.account, query, now)


def refused(code: str, message: str = "") -> Any:
    """Expect a refusal with that code."""
    return pytest.raises(Refusal, match=f"{code}.*{message}")


# --- accounts ---


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "No API-key provided."),
        ("", "No API-key provided."),
        ("Bearer ", "No API-key provided."),
        ("sk-a", "No API-key provided."),
        ("Basic sk-a", "No API-key provided."),
        ("Bearer abc", "Invalid API-key provided."),
        ("Bearer sk-", "Invalid API-key provided."),
        ("Bearer sk-ä", "Invalid API-key provided."),
        ("Bearer sk-beijing-1", "Invalid API-key provided."),
        ("Bearer sk-sp-1", "Invalid API-key provided."),
    ],
)
def test_a_missing_or_wrong_key_is_refused(header: str | None, message: str) -> None:
    """A key must be present, begin with `sk-`, be printable ASCII, and not name another region."""
    with refused("InvalidApiKey", message):
        Service(FREE).account(header)


def test_a_key_belongs_to_its_region() -> None:
    """A key that names Beijing is accepted in Beijing; one that names Singapore is refused there."""
    beijing = Service(replace(FREE, region="beijing"))
    assert beijing.account("Bearer sk-beijing-1") == beijing.account("bearer  sk-beijing-1")
    with refused("InvalidApiKey"):
        beijing.account("Bearer sk-singapore-1")


def test_only_the_given_keys_are_accepted() -> None:
    """If the terms name keys, every other key is refused."""
    service = Service(replace(FREE, keys=("sk-right",)))
    assert service.account("Bearer sk-right") != Client(key="sk-a").account
    with refused("InvalidApiKey"):
        service.account("Bearer sk-wrong")


# --- the life of tasks ---


def test_a_task_waits_runs_and_succeeds() -> None:
    """The answers have the API reference's form; times are in China's time, to the millisecond."""
    client = Client()
    task = client.create(T0)
    assert client.poll(task, T0 + 0.05)["output"] == {
        "task_id": task, "task_status": "PENDING", "submit_time": "2025-09-09 13:39:20.659",
    }  # fmt: skip
    assert client.status(task, T0 + 10) == "RUNNING"
    answer = client.poll(task, T0 + 100)
    url = answer["output"]["results"][0].pop("url")
    assert url.startswith("http://h/results/dashscope-result-")
    assert answer["output"] == {
        "task_id": task, "task_status": "SUCCEEDED", "submit_time": "2025-09-09 13:39:20.659",
        "scheduled_time": "2025-09-09 13:39:20.717", "end_time": "2025-09-09 13:39:45.217",
        "results": [{"orig_prompt": "a cat"}],
    }  # fmt: skip
    assert answer["usage"] == {"image_count": 1}
    assert client.service.bill.amount_cny == Decimal("0.220177")


def test_a_failed_task_costs_nothing_and_says_why() -> None:
    """The answer of a FAILED task has a code and a message, and no usage."""
    client = Client()
    answer = client.poll(client.create(T0, failing="DataInspectionFailed"), T0 + 100)
    output = answer["output"]
    assert (output["task_status"], output["code"], output["message"]) == (
        "FAILED", "DataInspectionFailed", "Input data may contain inappropriate content.",
    )  # fmt: skip
    assert list(output) == [
        "task_id", "task_status", "submit_time", "scheduled_time", "end_time", "code", "message",
    ]  # fmt: skip
    assert ("usage" in answer, client.service.bill.charges) == (False, [])


def test_a_task_that_succeeded_can_have_a_failed_result() -> None:
    """The result has an error code instead of a link, and nothing is billed."""
    client = Client()
    output = client.poll(client.create(T0, failing_item="InternalError.Algo"), T0 + 100)["output"]
    assert (output["task_status"], output["results"]) == (
        "SUCCEEDED", [{"code": "InternalError.Algo", "message": "Inference internal error."}],
    )  # fmt: skip
    assert client.service.bill.charges == []


def test_only_two_tasks_run_at_once() -> None:
    """Further tasks of the model stay PENDING. Another model's tasks do not wait for them."""
    client = Client(Terms(latency_s=10, queue_s=0))
    tasks = [client.create(T0 + at) for at in (0, 0, 1, 2)]
    other = client.create(T0 + 2, "qwen-image")
    assert [client.status(task, T0 + 3) for task in tasks] == ["RUNNING", "RUNNING", "PENDING", "PENDING"]
    assert client.status(other, T0 + 3) == "RUNNING"
    assert [client.status(task, T0 + 11) for task in tasks] == ["SUCCEEDED", "SUCCEEDED", "RUNNING", "RUNNING"]
    assert client.poll(tasks[2], T0 + 20)["output"]["scheduled_time"] == china_time(T0 + 10)


def test_only_pending_tasks_can_be_cancelled() -> None:
    """A cancelled task makes room for the next one and is not billed."""
    client = Client(Terms(latency_s=10, queue_s=0))
    first, second, third, fourth = (client.create(T0 + at) for at in (0, 0, 1, 2))
    assert list(client.service.cancel(client.account, third, T0 + 3)) == ["request_id"]
    assert client.poll(third, T0 + 3)["output"]["end_time"] == china_time(T0 + 3)
    for task in (first, third, "unknown"):
        with refused("UnsupportedOperation", "Failed to cancel the task"):
            client.service.cancel(client.account, task, T0 + 4)
    assert [client.status(task, T0 + 30) for task in (second, third, fourth)] == ["SUCCEEDED", "CANCELED", "SUCCEEDED"]
    assert len(client.service.bill.charges) == 3


def test_tasks_are_forgotten_after_a_day() -> None:
    """A forgotten task is UNKNOWN, like a task that never existed, but it stays on the bill."""
    client = Client()
    task = client.create(T0)
    assert client.status(task, T0 + DAY_S) == "SUCCEEDED"
    assert client.poll(task, T0 + DAY_S + 1)["output"] == {"task_id": task, "task_status": "UNKNOWN"}
    assert client.status("never", T0) == "UNKNOWN"
    assert len(client.service.bill.charges) == 1


def test_another_accounts_tasks_are_unknown() -> None:
    """Another account can neither poll, list nor cancel a task."""
    client = Client()
    task = client.create(T0)
    client.account = client.service.account("Bearer sk-b")
    assert (client.status(task, T0), client.listing(T0)["total"]) == ("UNKNOWN", 0)
    with refused("UnsupportedOperation"):
        client.service.cancel(client.account, task, T0)


def scheduled(submits_s: Sequence[float], terms: Terms, most: int) -> list[float]:
    """Return when each task starts: in order, as soon as one of `most` places is free."""
    free = [0.0] * most
    starts = []
    for at_s in submits_s:
        starts.append(max(at_s + terms.queue_s, heapq.heappop(free)))
        heapq.heappush(free, starts[-1] + terms.latency_s)
    return starts


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=12).map(sorted),
    st.lists(st.integers(0, 200), max_size=12).map(sorted),
    st.integers(1, 3),
    st.integers(0, 12),
    st.integers(0, 3),
)
def test_tasks_start_when_a_place_is_free(
    submits: list[int], looks: list[int], scale: int, latency: int, queue: int
) -> None:
    """The times are those of a queue with 2 x `scale` places, however often the service is asked meanwhile."""
    unpaced = builtin().extended({"qwen-image-plus": {"submits": "1000000/second"}})
    terms = Terms(limits=float(scale), latency_s=float(latency), queue_s=float(queue), catalogue=unpaced)
    client = Client(terms)
    tasks = []
    for at in sorted([*((at, "submit") for at in submits), *((at, "look") for at in looks)]):
        if at[1] == "submit":
            tasks.append(client.create(T0 + at[0]))
        else:
            client.service.settle(T0 + at[0])
    found = [client.service._tasks[task] for task in tasks]
    client.service.settle(T0 + 10_000)
    starts = scheduled([T0 + at for at in submits], terms, 2 * scale)
    assert [task.scheduled_s for task in found] == starts
    assert [task.ended_s for task in found] == [start + terms.latency_s for start in starts]


# --- listing ---


def test_a_listing_shows_tasks_without_their_prompts() -> None:
    """Entries have the fields of the vendor's documentation. The newest task comes first."""
    client = Client()
    old, new = client.create(T0), client.create(T0 + 1)
    page = client.listing(T0 + 2)
    assert {name: page[name] for name in ("page_no", "page_size", "total", "total_page")} == {
        "page_no": 1, "page_size": 10, "total": 2, "total_page": 1,
    }  # fmt: skip
    assert [entry["task_id"] for entry in page["data"]] == [new, old]
    entry = client.listing(T0 + 100)["data"][1]
    assert (entry["gmt_create"], entry["start_time"], entry["end_time"]) == (
        1_757_396_360_659, 1_757_396_360_717, 1_757_396_385_217,
    )  # fmt: skip
    assert (entry["model_name"], entry["status"], entry["region"], entry["user_api_unique_key"]) == (
        "qwen-image-plus", "SUCCEEDED", "ap-southeast-1",
        "apikey:v1:aigc:text2image:image-synthesis:qwen-image-plus",
    )  # fmt: skip
    assert "a cat" not in str(page)


def test_a_listing_pages() -> None:
    """The pages hold each task once. A page after the last one is empty."""
    client = Client()
    tasks = [client.create(T0 + at) for at in range(25)]
    pages = [client.listing(T0 + 30, page_no=str(number), page_size="10") for number in (1, 2, 3, 4)]
    assert [len(page["data"]) for page in pages] == [10, 10, 5, 0]
    assert [entry["task_id"] for page in pages for entry in page["data"]] == tasks[::-1]
    assert {(page["total"], page["total_page"]) for page in pages} == {(25, 3)}


def test_a_listing_filters() -> None:
    """A listing can filter by model, status, task, region and time. All given filters must match."""
    client = Client()
    plus, plain = client.create(T0), client.create(T0 + 60, "qwen-image")
    now = T0 + 70

    def ids(**query: str) -> list[str]:
        return [entry["task_id"] for entry in client.listing(now, **query)["data"]]

    assert ids(model_name="qwen-image") == [plain]
    assert ids(status="SUCCEEDED") == [plus]
    assert ids(status="RUNNING") == [plain]
    assert ids(status="RUNNING", model_name="qwen-image-plus") == []
    assert ids(task_id=plus) == [plus]
    assert ids(region="cn-beijing") == []
    assert ids(start_time="20250909134000") == [plain]
    assert ids(end_time="20250909134000") == [plus]
    assert ids(end_time="20250909134020") == [plain, plus]
    assert ids(start_time="20250909133920", end_time="20250909133920") == [plus]


@pytest.mark.parametrize(
    "query",
    [
        {"start_time": "20250909000000", "end_time": "20250910000001"},
        {"start_time": "20250909000001", "end_time": "20250909000000"},
        {"start_time": "2025-09-09"},
        {"end_time": "20251309000000"},
        {"page_no": "0"},
        {"page_size": "ten"},
        {"page_size": "-1"},
        {"status": "DONE"},
    ],
)
def test_a_wrong_query_is_refused(query: dict[str, str]) -> None:
    """A window over 24 hours, another time format, a wrong page and an unknown status are refused."""
    with refused("InvalidParameter"):
        Client().listing(T0, **query)


# --- limits ---


def test_submits_are_limited_by_account_and_model() -> None:
    """An account may submit twice a second for each model. Other models and accounts have their own limits."""
    client = Client(Terms())
    client.create(T0)
    client.render(T0)
    with refused("Throttling.RateQuota", "Requests rate limit exceeded"):
        client.create(T0 + 0.1)
    client.create(T0 + 0.1, "qwen-image")
    client.create(T0 + 0.51)
    client.account = client.service.account("Bearer sk-b")
    client.create(T0 + 0.52)


def test_submits_of_a_minute_are_limited_over_the_minute() -> None:
    """qwen-image-max accepts two calls at once, and then one every half minute."""
    client = Client(Terms())
    for at in (0, 0, 30, 60, 90):
        client.render(T0 + at, "qwen-image-max")
    with refused("Throttling.RateQuota"):
        client.render(T0 + 119, "qwen-image-max")


def test_queries_are_limited_to_twenty_a_second() -> None:
    """Polls, listings and cancels share one limit."""
    client = Client(Terms())
    for _ in range(18):
        client.poll("x", T0)
    client.listing(T0)
    with refused("UnsupportedOperation"):
        client.service.cancel(client.account, "x", T0)
    with refused("Throttling.RateQuota"):
        client.poll("x", T0 + 0.04)
    client.poll("x", T0 + 0.06)


def test_limits_scale_and_can_be_removed() -> None:
    """`limits=10` allows ten times as many submits. With `limits=0` all tasks run at once."""
    client = Client(Terms(limits=10))
    for _ in range(20):
        client.create(T0)
    with refused("Throttling.RateQuota"):
        client.create(T0)
    free = Client(FREE)
    tasks = [free.create(T0) for _ in range(100)]
    assert {free.status(task, T0 + 1) for task in tasks} == {"RUNNING"}


def test_an_invalid_request_does_not_count_as_a_submit() -> None:
    """An invalid request is refused before the rate limit is checked."""
    client = Client(Terms())
    for _ in range(5):
        with refused("InvalidParameter"):
            client.render(T0, n=2)
    client.render(T0)


# --- sync calls, links and the bill ---


def test_a_sync_answer_has_the_form_of_the_reference() -> None:
    """The answer has one choice with the image's link, the task metric, and the usage."""
    answer = Client().render(T0)
    url = answer["output"]["choices"][0]["message"]["content"][0].pop("image")
    assert url.split("?")[1].startswith(f"Expires={int(T0 + FREE.latency_s + DAY_S)}&OSSAccessKeyId=")
    del answer["request_id"]
    assert answer == {
        "output": {
            "choices": [{"finish_reason": "stop", "message": {"content": [{}], "role": "assistant"}}],
            "task_metric": {"FAILED": 0, "SUCCEEDED": 1, "TOTAL": 1},
        },
        "usage": {"height": 1328, "image_count": 1, "width": 1328},
    }


def test_a_sync_call_with_the_async_header_is_refused() -> None:
    """The refusal has the vendor's words."""
    client = Client()
    with refused("AccessDenied", "current user api does not support asynchronous calls"):
        client.service.render(client.account, {}, client.exchange(), T0, asynchronous=True)


def test_the_bill_counts_images_by_account_and_model() -> None:
    """Each image costs its region's price, and amounts are exact."""
    client = Client(replace(FREE, region="beijing"), key="sk-beijing-1")
    client.render(T0)
    client.render(T0)
    client.render(T0, "qwen-image-2.0", n=3)
    bill = client.service.bill.as_json()
    assert (bill["region"], bill["currency"], bill["count"], bill["amount"]) == ("beijing", "CNY", 5, "1.00")
    assert bill["totals"] == [
        {"account": client.account, "model": "qwen-image-2.0", "count": 3, "amount": "0.60"},
        {"account": client.account, "model": "qwen-image-plus", "count": 2, "amount": "0.40"},
    ]


def test_a_price_by_area_is_charged_by_the_images_area() -> None:
    """Two images of one model may cost different amounts; the newer models name their usage anew."""
    client = Client(replace(FREE, region="beijing"))
    small = client.render(T0, "qwen-image-3.0-pro", size="1500*1500")
    client.render(T0, "qwen-image-3.0-pro", size="2048*2048")
    assert client.service.bill.totals() == [(client.account, "qwen-image-3.0-pro", 2, Decimal("0.75"))]
    assert small["usage"] == {
        "input_image_count": 0, "output_image_count": 1, "output_image_type": "png", "output_height": 1500,
        "output_width": 1500,
    }  # fmt: skip


def test_the_bill_names_every_image() -> None:
    """A record says what was ordered, by whom, and whether the client got it."""
    client = Client()
    task = client.create(T0)
    client.service.settle(T0 + 100)
    record = client.service.bill.as_json()["records"][0]
    assert {name: record[name] for name in ("interface", "model", "prompt", "size", "seed", "n", "task_id")} == {
        "interface": "async", "model": "qwen-image-plus", "prompt": "a cat", "size": "1664*928", "seed": None, "n": 1,
        "task_id": task,
    }  # fmt: skip
    assert (record["account"], record["price_cny"], record["at"]) == (
        client.account, "0.220177", "2025-09-09 13:39:45.217",
    )  # fmt: skip
    assert (record["answered"], record["delivered"]) == (False, False)
