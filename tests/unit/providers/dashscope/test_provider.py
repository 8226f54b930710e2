"""The provider dashscope: its settings, its answers to a plan, and its session."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.errors import AccountError, UsageError
from qwenbuild.provider import Price, Resumable, Settings
from qwenbuild.providers.dashscope.provider import DashScopeProvider
from qwenbuild.providers.registry import create
from qwenbuild.trust import Kind
from tests.support.scripted import Journal, request_of


def planned(table: dict[str, Any], **models: Any) -> DashScopeProvider:
    """Return a provider as a plan creates it: without a key."""
    return DashScopeProvider(Settings(table, builtin().extended(models), {}))


def test_the_registry_creates_the_provider() -> None:
    """The name `dashscope` gives this provider, and the provider is Resumable."""
    provider = create("dashscope", Settings({}, builtin(), {}))
    assert isinstance(provider, DashScopeProvider)
    assert isinstance(provider, Resumable)
    assert (provider.name, provider.family, provider.labelled) == ("dashscope", "dashscope", False)


def test_planning_loads_nothing_heavy_and_needs_no_key() -> None:
    """Creating a provider, checks, prices and times import no HTTP, no asyncio and no image library."""
    script = (
        "import sys\n"
        "from qwenbuild.provider import Settings\nfrom qwenbuild.providers.registry import create\n"
        "from qwenbuild.catalogue import builtin\n"
        "p = create('dashscope', Settings({}, builtin(), {}))\n"
        "m = 'qwen-image-plus'\n"
        "assert p.check(m) is None and p.price(m) and p.shortest_s({m: 1}) == 0\n"
        "print([m for m in ('httpx', 'asyncio', 'tenacity', 'PIL', 'ssl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("table", "model", "expected"),
    [
        ({}, "qwen-image-max", None),
        ({"interface": "async"}, "qwen-image", None),
        ({"interface": "async"}, "qwen-image-max", None),
        (
            {"interface": "async", "interface_only": True}, "qwen-image-max",
            'qwen-image-max has no async interface: "sync" is the one that it has',
        ),
        ({"region": "beijing"}, "mine", None),
        ({}, "mine", None),
    ],
)  # fmt: skip
def test_a_plan_knows_which_requests_can_not_be_sent(table: dict[str, Any], model: str, expected: str | None) -> None:
    """Interface and price are checked against the catalogue and the declared models."""
    provider = planned(table, mine={"price_cny": {"singapore": "1"}})
    assert provider.check(model) == expected


def test_a_model_without_a_price_needs_approval() -> None:
    """The catalogue's highest price is counted for it, so no budget takes it for free."""
    settings = Settings({"region": "beijing"}, builtin().extended({"mine": {"price_cny": {"singapore": "1"}}}), {})
    provider = DashScopeProvider(settings)
    assert provider.price("mine") == Price(Decimal("0.50"), is_assumed=True)
    assert settings.trust.asked == []
    provider.check("mine")
    [item] = settings.trust.refused
    assert (item.kind, item.value) == (Kind.PRICES, "mine in beijing: unknown")


def test_an_unknown_model_gets_a_suggestion() -> None:
    """The check suggests the nearest known model."""
    found = planned({}).check("qwen-imag-plus")
    assert found and found.endswith('did you mean "qwen-image-plus"?')


def test_prices_depend_on_the_region() -> None:
    """The same model has a different price in each region."""
    assert planned({}).price("qwen-image-max") == Price(Decimal("0.550443"))
    assert planned({"region": "beijing"}).price("qwen-image-max") == Price(Decimal("0.50"))


def test_the_shortest_time_is_that_of_the_slowest_model() -> None:
    """Each model has its own pace, and the first submit does not wait."""
    renders = {"qwen-image-max": 5, "qwen-image-plus": 101}
    assert planned({}).shortest_s(renders) == pytest.approx(120.0)
    assert planned({}).shortest_s({"qwen-image-plus": 101}) == pytest.approx(50.0)
    assert planned({"submits": "10/second"}).shortest_s(renders) == pytest.approx(10.0)
    assert planned({}).shortest_s({}) == 0.0


def test_the_user_chooses_the_concurrency() -> None:
    """`-j` wins over the config. The builder may run twice as many renders: half of them download."""
    assert planned({}).concurrency == 2 * 50
    assert planned({"max_concurrency": 25}).concurrency == 2 * 25
    assert DashScopeProvider(Settings({"max_concurrency": 25}, builtin(), {}, jobs=3)).concurrency == 2 * 3


@pytest.mark.parametrize(
    "table",
    [
        {"regoin": "beijing"}, {"region": "paris"}, {"interface": "asink"}, {"interface": 3}, {"submits": "fast"},
        {"max_concurrency": 0}, {"max_concurrency": True}, {"timeout_s": 0}, {"timeout_s": "5"}, {"poll_s": -1},
        {"retry_wait_s": float("nan")}, {"timeout_s": float("inf")}, {"download_hosts": "*.aliyuncs.com"},
        {"download_hosts": ["*"]}, {"download_hosts": ["https://x.com"]}, {"download_hosts": [""]},
    ],
)  # fmt: skip
def test_invalid_settings_are_refused(table: dict[str, Any]) -> None:
    """The error shows known values or an example."""
    with pytest.raises(UsageError) as caught:
        planned(table)
    assert caught.value.hint or caught.value.facts


def test_a_session_needs_a_key() -> None:
    """A plan needs no key; the session's error says where keys come from."""

    async def main() -> None:
        async with planned({}).session():
            raise AssertionError

    with pytest.raises(AccountError, match="no API key"):
        asyncio.run(main())


def test_a_render_needs_the_session() -> None:
    """A render outside of the session is a UsageError."""
    with pytest.raises(UsageError, match="outside of its session"):
        asyncio.run(planned({}).render(request_of(), Journal()))
