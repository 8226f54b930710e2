from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
from PIL import Image

from qwenbuild.emulator.server import EmulatorOptions, environment, running, serve
from qwenbuild.errors import UsageError
from tests.support.emulated import QUICK

pytest_plugins = ("tests.support.emulated",)

SYNC = "/services/aigc/multimodal-generation/generation"


def render(base_url: str, key: str = "sk-a") -> dict[str, Any]:
    """Make a sync call and return its answer."""
    body = {"model": "qwen-image", "input": {"messages": [{"role": "user", "content": [{"text": "a cat"}]}]}}
    headers = {"Authorization": f"Bearer {key}"}
    found: dict[str, Any] = httpx.post(
        base_url + SYNC, json=body, headers=headers, trust_env=False, verify=False
    ).json()
    return found


def test_it_serves_until_it_is_cancelled() -> None:
    """`serve` reports the base URL once the port answers, and the bill at the end."""
    reported: list[Any] = []

    async def main() -> None:
        answers = asyncio.Event()

        def started(base_url: str) -> None:
            reported.append(base_url)
            answers.set()

        serving = asyncio.create_task(serve(QUICK, started, reported.append))
        await answers.wait()
        await asyncio.to_thread(render, reported[0])
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving

    asyncio.run(main())
    base_url, bill = reported
    assert base_url.startswith("http://127.0.0.1:")
    assert (bill["count"], bill["amount"]) == (1, "0.256873")
    with pytest.raises(httpx.ConnectError):
        httpx.get(base_url, trust_env=False, verify=False)


def test_an_interrupt_stops_a_process_that_serves() -> None:
    """Ctrl-C reaches the caller of `serve`, and the bill is still reported."""
    script = (
        "import asyncio\n"
        "from qwenbuild.emulator.server import EmulatorOptions, serve\n"
        "options = EmulatorOptions(images='null')\n"
        "def report(text): print(text, flush=True)\n"
        "try:\n"
        "    asyncio.run(serve(options, report, lambda bill: report(bill['amount'])))\n"
        "except KeyboardInterrupt:\n"
        "    report('interrupted')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    render(process.stdout.readline().strip())
    process.send_signal(2)
    assert process.communicate(timeout=10) == ("0.256873\ninterrupted\n", "")


def test_a_free_port_is_found_and_a_taken_one_refused() -> None:
    """Port 0 takes any free port. A port in use is a UsageError."""
    with running(QUICK) as first, running(QUICK) as second:
        assert first.base_url != second.base_url
        port = httpx.URL(first.base_url).port or 0
        with (
            pytest.raises(UsageError, match=f"can't listen at 127.0.0.1, port {port}: "),
            running(replace(QUICK, port=port)),
        ):
            pass


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"faults": ("throtle",)}, 'did you mean "throttle"?'),
        ({"images": "drafts"}, 'unknown provider "drafts"'),
        ({"host": "no host"}, "can't listen at no host, port 0"),
        ({"port": 70_000}, "can't listen at 127.0.0.1, port 70000"),
    ],
)
def test_wrong_options_are_reported_before_it_serves(wrong: dict[str, Any], message: str) -> None:
    """A wrong fault, image provider, host or port is a UsageError."""
    with pytest.raises(UsageError) as caught, running(replace(QUICK, **wrong)):
        pass
    assert message in str(caught.value)


def test_only_free_providers_draw() -> None:
    """A provider whose renders cost money is refused."""
    with pytest.raises(UsageError) as caught, running(replace(QUICK, images="dashscope")):
        pass
    assert 'the emulator can\'t draw with "dashscope"' in str(caught.value)


def test_it_listens_on_ipv6() -> None:
    """The base URL has the address in brackets. A machine without IPv6 gives a UsageError."""
    try:
        with running(replace(QUICK, host="::1")) as emulator:
            assert emulator.base_url.startswith("http://[::1]:")
            link = render(emulator.base_url)["output"]["choices"][0]["message"]["content"][0]["image"]
            assert httpx.get(link, trust_env=False, verify=False).status_code == 200
    except UsageError as error:
        assert error.claim.startswith("can't listen at ::1, port 0: ")


def test_every_host_name_is_accepted_beyond_loopback() -> None:
    """An emulator that listens on every address accepts every host name, because it can't know its own names."""
    with running(replace(QUICK, host="0.0.0.0")) as emulator:
        port = httpx.URL(emulator.base_url).port
        answer = httpx.get(
            f"http://127.0.0.1:{port}/", headers={"Host": "build.example"}, trust_env=False, verify=False
        )
        assert (answer.status_code, "http://build.example/api/v1" in answer.text) == (200, True)


def test_the_environment_points_clients_at_it() -> None:
    """The variables are the ones that the vendor's SDK reads."""
    assert environment("http://127.0.0.1:1/api/v1", "sk-x") == {
        "DASHSCOPE_API_KEY": "sk-x",
        "DASHSCOPE_HTTP_BASE_URL": "http://127.0.0.1:1/api/v1",
        "DASHSCOPE_BASE_URL": "http://127.0.0.1:1/api/v1",
    }


def test_a_reset_forgets_everything() -> None:
    """After a reset, bill, calls, faults and links are gone, and the service works."""
    with running(QUICK) as emulator:
        link = render(emulator.base_url)["output"]["choices"][0]["message"]["content"][0]["image"]
        emulator.inject("throttle")
        emulator.advance(1000)
        emulator.reset()
        assert (emulator.bill()["count"], emulator.requests(), emulator.fired()) == (0, [], {})
        assert httpx.get(link, trust_env=False, verify=False).status_code == 403
        assert render(emulator.base_url)["output"]["task_metric"]["SUCCEEDED"] == 1


def test_it_draws_drafts_unless_told_otherwise() -> None:
    """By default `draft` draws the images, and one link always gives the same bytes."""
    with running(replace(QUICK, images=EmulatorOptions().images)) as emulator:
        link = render(emulator.base_url)["output"]["choices"][0]["message"]["content"][0]["image"]
        first = httpx.get(link, trust_env=False, verify=False).content
        emulator.inject("wrong-size:1")
        other = httpx.get(link, trust_env=False, verify=False).content
        sizes = [Image.open(io.BytesIO(png)).size for png in (first, other)]
        assert sizes == [(1664, 928), (1109, 618)]
        assert httpx.get(link, trust_env=False, verify=False).content == first


def test_the_latency_is_that_of_a_render() -> None:
    """Sync calls take `latency_s` seconds, and wait in parallel."""
    with running(replace(QUICK, latency_s=0.5)) as emulator:
        started = time.monotonic()
        callers = [threading.Thread(target=render, args=(emulator.base_url,)) for _ in range(10)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert 0.5 <= time.monotonic() - started < 2.5  # one after the other they would take 5 seconds
        assert emulator.bill()["count"] == 10


def test_accepted_keys_are_hidden() -> None:
    """If `keys` is given, only those keys are accepted, and the options' repr hides them."""
    options = EmulatorOptions(keys=("sk-canary",))
    assert "canary" not in repr(options)
    with running(replace(QUICK, keys=("sk-canary",))) as emulator:
        assert render(emulator.base_url)["code"] == "InvalidApiKey"
        assert "output" in render(emulator.base_url, "sk-canary")


def test_no_other_module_loads_a_server() -> None:
    """Neither the command line nor the engine imports Starlette or uvicorn."""
    script = (
        "import sys, qwenbuild.cli.main, qwenbuild.engine.engine; "
        "print([m for m in ('uvicorn', 'starlette') if m in sys.modules])"
    )
    environ: Mapping[str, str] = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environ, check=True)
    assert found.stdout == "[]\n"
