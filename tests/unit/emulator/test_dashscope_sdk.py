"""The vendor's own SDK works with the emulator: its v1 calls and its newer client, sync and asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import dashscope
import httpx
import pytest
from dashscope import AioMultiModalConversation, ImageSynthesis, MultiModalConversation
from dashscope.aigc.image_synthesis import AioImageSynthesis
from dashscope.api_entities.aio_session import close_shared_aio_session
from dashscope.api_entities.http_request import close_shared_sync_session
from dashscope.v2.errors import DashScopeError

from qwenbuild.emulator.dashscope import DAY_S
from qwenbuild.emulator.server import Running, running
from tests.support.emulated import QUICK

KEY = "sk-vendor"
MESSAGES: Any = [{"role": "user", "content": [{"text": "一只猫 “Hello”"}]}]
PARAMETERS: Any = {"size": "1328*1328", "prompt_extend": True, "watermark": False, "negative_prompt": "dog"}


class Seen(NamedTuple):
    """What a client read from an answer: `status` and `code` of the call, the task's id, state and links."""

    status: int
    code: str = ""
    task: str = ""
    state: str = ""
    urls: tuple[str, ...] = ()
    total: int = -1


def seen_v1(answer: Any) -> Seen:
    """Read an answer of the v1 calls."""
    output = answer.output or {}
    results = output.get("results") or []
    return Seen(
        answer.status_code, answer.code or "", output.get("task_id") or "", output.get("task_status") or "",
        tuple(result["url"] for result in results), output.get("total", -1),
    )  # fmt: skip


class V1:
    """The v1 calls."""

    calls: Any = ImageSynthesis  # its type stub lacks cancel and list

    def __init__(self, base_url: str) -> None:
        dashscope.base_http_api_url = base_url

    def create(self, model: str = "qwen-image-plus", **more: Any) -> Seen:
        return seen_v1(ImageSynthesis.async_call(model=model, prompt="a cat", api_key=KEY, **more))

    def fetch(self, task: str) -> Seen:
        return seen_v1(ImageSynthesis.fetch(task, api_key=KEY))

    def wait(self, task: str) -> Seen:
        return seen_v1(ImageSynthesis.wait(task, api_key=KEY))

    def cancel(self, task: str) -> Seen:
        return seen_v1(self.calls.cancel(task, api_key=KEY))

    def list(self, **query: Any) -> Seen:
        return seen_v1(self.calls.list(api_key=KEY, **query))

    def generate(self) -> Seen:
        return seen_v1(ImageSynthesis.call(model="qwen-image", prompt="a cat", n=1, api_key=KEY))

    def close(self) -> None:
        close_shared_sync_session()


class V1Aio:
    """The v1 calls for asyncio."""

    def __init__(self, base_url: str) -> None:
        dashscope.base_http_api_url = base_url
        self.runner = asyncio.Runner()

    def run(self, call: Any) -> Seen:
        return seen_v1(self.runner.run(call))

    def create(self, model: str = "qwen-image-plus", **more: Any) -> Seen:
        return self.run(AioImageSynthesis.async_call(model=model, prompt="a cat", api_key=KEY, **more))

    def fetch(self, task: str) -> Seen:
        return self.run(AioImageSynthesis.fetch(task, api_key=KEY))

    def wait(self, task: str) -> Seen:
        return self.run(AioImageSynthesis.wait(task, api_key=KEY))

    def cancel(self, task: str) -> Seen:
        return self.run(AioImageSynthesis.cancel(task, api_key=KEY))

    def list(self, **query: Any) -> Seen:
        return self.run(AioImageSynthesis.list(api_key=KEY, **query))

    def generate(self) -> Seen:
        return self.run(AioImageSynthesis.call(model="qwen-image", prompt="a cat", n=1, api_key=KEY))

    def close(self) -> None:
        self.runner.run(close_shared_aio_session())
        self.runner.close()


class V2:
    """The newer client."""

    def __init__(self, base_url: str) -> None:
        self.client: Any = dashscope.Client(api_key=KEY, base_url=base_url, max_retries=0)

    def run(self, call: Callable[[], Any]) -> Seen:
        """Make a call and read its answer. This client raises errors that v1 returns."""
        try:
            return self.read(call())
        except DashScopeError as error:
            return Seen(error.status_code or 0, error.code or "")

    def read(self, job: Any) -> Seen:
        urls = tuple(getattr(job, "image_urls", ()))
        task, state = getattr(job, "task_id", ""), getattr(job, "status", "")
        return Seen(200, job.code or "", task, state, urls, getattr(job, "total", -1))

    def create(self, model: str = "qwen-image-plus", **more: Any) -> Seen:
        return self.run(lambda: self.client.images.jobs.create(model=model, prompt="a cat", **more))

    def fetch(self, task: str) -> Seen:
        return self.run(lambda: self.client.images.jobs.fetch(task))

    def wait(self, task: str) -> Seen:
        return self.run(lambda: self.client.images.jobs.wait(task))

    def cancel(self, task: str) -> Seen:
        return self.run(lambda: self.client.images.jobs.cancel(task))

    def list(self, **query: Any) -> Seen:
        return self.run(lambda: self.client.images.jobs.list(**query))

    def generate(self) -> Seen:
        return self.run(lambda: self.client.images.generate(model="qwen-image", prompt="a cat", poll_interval=0.01))

    def close(self) -> None:
        self.client.close()


class V2Async(V2):
    """The newer client for asyncio."""

    def __init__(self, base_url: str) -> None:
        self.client = dashscope.AsyncClient(api_key=KEY, base_url=base_url, max_retries=0)
        self.runner = asyncio.Runner()

    def run(self, call: Callable[[], Any]) -> Seen:
        return super().run(lambda: self.runner.run(call()))

    def close(self) -> None:
        self.runner.run(self.client.aclose())
        self.runner.close()


@pytest.fixture(scope="module")
def patient() -> Iterator[Running]:
    """An emulator whose tasks stay PENDING until the clock is moved."""
    with running(replace(QUICK, queue_s=3600, limits=1)) as handle:
        yield handle


@pytest.fixture(params=[V1, V1Aio, V2, V2Async])
def vendor(request: pytest.FixtureRequest, patient: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The vendor's client in each of its four forms."""
    patient.reset()
    monkeypatch.setattr(dashscope, "base_http_api_url", patient.base_url)
    client = request.param(patient.base_url)
    yield client
    client.close()


def test_a_task_is_created_waited_for_and_collected(vendor: Any, patient: Running) -> None:
    """The client sees the task PENDING, then SUCCEEDED, and can download its image."""
    created = vendor.create()
    assert (created.status, created.state, bool(created.task)) == (200, "PENDING", True)
    assert vendor.fetch(created.task).state == "PENDING"
    patient.advance(3601)
    found = vendor.wait(created.task)
    assert (found.status, found.state, found.task) == (200, "SUCCEEDED", created.task)
    assert vendor.fetch(created.task)._replace(urls=()) == found._replace(urls=())
    answer = httpx.get(found.urls[0], trust_env=False, verify=False)
    assert (answer.status_code, answer.content[:4]) == (200, b"\x89PNG")


def test_a_pending_task_is_cancelled_once(vendor: Any, patient: Running) -> None:
    """A second cancel is refused with the vendor's code."""
    task = vendor.create().task
    assert vendor.cancel(task).status == 200
    assert vendor.fetch(task).state == "CANCELED"
    refused = vendor.cancel(task)
    assert (refused.status, refused.code) == (400, "UnsupportedOperation")
    assert patient.bill()["count"] == 0


def test_tasks_are_listed(vendor: Any, patient: Running) -> None:
    """The client's filters work, and a window over a day is refused."""
    vendor.create()
    vendor.create(model="qwen-image")
    assert vendor.list().total == 2
    assert vendor.list(model_name="qwen-image", status="PENDING", page_no=1, page_size=1).total == 1
    assert vendor.list(status="FAILED").total == 0
    refused = vendor.list(start_time="20250101000000", end_time="20250103000000")
    assert (refused.status, refused.code) == (400, "InvalidParameter")


def test_a_whole_call_waits_for_its_image(vendor: Any, patient: Running) -> None:
    """The blocking call returns the image."""
    patient.advance(3601)
    with running(QUICK) as quick:
        other = type(vendor)(quick.base_url)
        try:
            found = other.generate()
        finally:
            other.close()
        assert (found.status, found.state, len(found.urls), quick.bill()["count"]) == (200, "SUCCEEDED", 1, 1)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"model": "qwen-image-max"}, (403, "AccessDenied")),
        ({"model": "qwen-imagine"}, (404, "ModelNotFound")),
        ({"size": "1472*1140"}, (400, "InvalidParameter")),
        ({"n": 2}, (400, "InvalidParameter")),
        ({"seed": -1}, (400, "InvalidParameter")),
    ],
)
def test_errors_reach_the_caller(vendor: Any, more: dict[str, Any], expected: tuple[int, str]) -> None:
    """The client reports the status and the code that the vendor documents."""
    refused = vendor.create(**more)
    assert (refused.status, refused.code) == expected


def test_limits_and_moderation_reach_the_caller(vendor: Any, patient: Running) -> None:
    """A refused prompt has its own code, and a third task at the same time is throttled."""
    patient.inject("moderation:create:1")
    answers = []
    for _ in range(4):
        patient.advance(-10)  # time never moves forward, so even a slow machine gets no new token
        answers.append(vendor.create())
    assert [(answer.status, answer.code) for answer in answers] == [
        (400, "DataInspectionFailed"), (200, ""), (200, ""), (429, "Throttling.RateQuota"),
    ]  # fmt: skip


def test_a_failed_task_reaches_the_caller(vendor: Any, patient: Running) -> None:
    """v1 returns the state FAILED; the newer client raises the error code."""
    patient.inject("task-failed=DataInspectionFailed")
    task = vendor.create().task
    patient.advance(3601)
    found = vendor.wait(task)
    raised = isinstance(vendor, V2)
    assert (found.status, found.state, found.code) == (
        (200, "", "DataInspectionFailed") if raised else (200, "FAILED", "")
    )


def test_a_forgotten_task_is_unknown(vendor: Any, patient: Running) -> None:
    """Waiting for a task that is a day old, or for an unknown id, ends with UNKNOWN."""
    task = vendor.create().task
    patient.advance(DAY_S + 1)
    assert (vendor.wait(task).state, vendor.wait("0385dc79-5ff8-4d82-bcb6-000000").state) == ("UNKNOWN", "UNKNOWN")


def test_a_wrong_key_reaches_the_caller(vendor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of another region is refused with the vendor's code."""
    monkeypatch.setattr(f"{__name__}.KEY", "sk-beijing-key")
    if isinstance(vendor, V2):
        vendor.client.transport.http_client.headers["Authorization"] = "Bearer sk-beijing-key"
    refused = vendor.create()
    assert (refused.status, refused.code) == (401, "InvalidApiKey")


# --- the sync interface ---


@pytest.fixture
def base_url(monkeypatch: pytest.MonkeyPatch, patient: Running) -> Iterator[str]:
    """Point the v1 calls at an emulator, and return its base URL."""
    patient.reset()
    monkeypatch.setattr(dashscope, "base_http_api_url", patient.base_url)
    yield patient.base_url
    close_shared_sync_session()


def rendered(patient: Running) -> list[tuple[Any, ...]]:
    """Return the main fields of each billed image."""
    fields = ("interface", "model", "prompt", "negative_prompt", "size", "prompt_extend")
    return [tuple(record[field] for field in fields) for record in patient.bill()["records"]]


ORDERED = ("sync", "qwen-image-max", "一只猫 “Hello”", "dog", "1328*1328", True)


def test_v1_calls_the_sync_interface(base_url: str, patient: Running) -> None:
    """The API reference's example gets the answer that the reference describes."""
    answer: Any = MultiModalConversation.call(
        model="qwen-image-max", messages=MESSAGES, api_key=KEY, result_format="message", stream=False, **PARAMETERS
    )
    assert (answer.status_code, answer.code, answer.message) == (200, "", "")
    assert answer.output["task_metric"] == {"TOTAL": 1, "FAILED": 0, "SUCCEEDED": 1}
    choice = answer.output.choices[0]
    assert (choice.finish_reason, choice.message.role) == ("stop", "assistant")
    assert httpx.get(choice.message.content[0]["image"], trust_env=False, verify=False).content[:4] == b"\x89PNG"
    assert (answer.usage["width"], answer.usage["height"], answer.usage["image_count"]) == (1328, 1328, 1)
    assert rendered(patient) == [ORDERED]


def test_v1_calls_the_sync_interface_from_asyncio(base_url: str, patient: Running) -> None:
    """The same call works with asyncio."""

    async def main() -> Any:
        try:
            return await AioMultiModalConversation.call(
                model="qwen-image-max", messages=MESSAGES, api_key=KEY, **PARAMETERS
            )
        finally:
            await close_shared_aio_session()

    answer = asyncio.run(main())
    assert (answer.status_code, len(answer.output.choices)) == (200, 1)
    assert rendered(patient) == [ORDERED]


def test_the_newer_client_calls_the_sync_interface(base_url: str, patient: Running) -> None:
    """The newer client's resource for the multimodal endpoint works, sync and asyncio."""
    more: Any = {"model": "qwen-image-max", "messages": MESSAGES, "parameters": PARAMETERS}

    async def main() -> Any:
        async with dashscope.AsyncClient(api_key=KEY, base_url=base_url) as client:
            return await client.multimodal.chat.create(**more)

    with dashscope.Client(api_key=KEY, base_url=base_url) as client:
        answers = [client.multimodal.chat.create(**more), asyncio.run(main())]
        with pytest.raises(DashScopeError) as caught:
            client.multimodal.chat.create(model="qwen-image-plus", messages=MESSAGES, n=2)
    assert [answer.usage.image_count for answer in answers] == [1, 1]
    assert (caught.value.status_code, caught.value.code, caught.value.message) == (
        400, "InvalidParameter", "num_images_per_prompt must be 1",
    )  # fmt: skip
    assert rendered(patient) == [ORDERED, ORDERED]


def test_v1_sees_business_errors_and_refusals(base_url: str, patient: Running) -> None:
    """v1 returns errors as answers and raises nothing."""
    answer: Any = MultiModalConversation.call(model="qwen-image-plus", messages=MESSAGES, api_key=KEY, n=2)
    assert (answer.status_code, answer.code, answer.message) == (
        400, "InvalidParameter", "num_images_per_prompt must be 1",
    )  # fmt: skip
    patient.inject("arrearage:sync:1")
    answer = MultiModalConversation.call(model="qwen-image-plus", messages=MESSAGES, api_key=KEY)
    assert (answer.status_code, answer.code) == (400, "Arrearage")


def test_the_vendors_client_pays_twice_for_a_lost_answer(base_url: str, patient: Running) -> None:
    """The SDK repeats a call after a lost answer and is billed twice. qwenbuild must not do this."""
    patient.inject("drop-after:sync:1")
    answer: Any = MultiModalConversation.call(model="qwen-image-plus", messages=MESSAGES, api_key=KEY)
    assert answer.status_code == 200
    assert [record["answered"] for record in patient.bill()["records"]] == [False, True]


def test_the_vendors_client_stops_waiting_at_a_throttled_poll(base_url: str, patient: Running) -> None:
    """v1 stops waiting at a 429, though the task goes on and is billed."""
    task = ImageSynthesis.async_call(model="qwen-image-plus", prompt="a cat", api_key=KEY)
    patient.inject("throttle:poll:1")
    assert ImageSynthesis.wait(task, api_key=KEY).status_code == 429
    patient.advance(3601)
    assert patient.bill()["count"] == 1


def test_the_vendors_client_polls_on_after_a_server_error(base_url: str, patient: Running) -> None:
    """A 503 on a poll does not end the wait."""
    task = ImageSynthesis.async_call(model="qwen-image-plus", prompt="a cat", api_key=KEY)
    patient.advance(3601)
    patient.inject("503:poll:1")
    assert ImageSynthesis.wait(task, api_key=KEY).output.task_status == "SUCCEEDED"
    assert [call["status"] for call in patient.requests() if call["operation"] == "poll"] == [503, 200]
