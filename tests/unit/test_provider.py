"""The provider contract: what a provider is asked, and how its mistakes are reported."""

from __future__ import annotations

from decimal import Decimal

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.errors import ProviderError, UsageError
from qwenbuild.provider import (
    OPTIONS,
    Price,
    Provider,
    Settings,
    broken,
    diagnosable,
    options_of,
    reject_unknown,
    resumable,
    task_service,
)
from qwenbuild.providers.dashscope.provider import DashScopeProvider
from qwenbuild.providers.draft.provider import DraftProvider
from qwenbuild.providers.null import NullProvider
from qwenbuild.providers.registry import create

SETTINGS = Settings({}, builtin(), {"SECRET": "sk-secret"}, 3)


def test_settings_hide_the_environment() -> None:
    """The `repr` of settings does not show the environment, because it holds secrets."""
    assert "sk-secret" not in repr(SETTINGS)


def test_unknown_keys() -> None:
    """The error about an unknown key shows its value and the nearest known key."""
    reject_unknown({"pace": 1}, ("pace",), "p")
    with pytest.raises(UsageError) as caught:
        reject_unknown({"pcae": 1}, ("pace", "region"), "p")
    assert str(caught.value) == (
        'error: unknown key "pcae" in [providers.p]\n  = value: 1\n  = known: pace, region\n'
        '  = hint: did you mean "pace"?'
    )


def test_a_provider_that_breaks() -> None:
    """An unexpected exception of a provider becomes an error that says what happened and where."""
    try:
        [][1]
    except IndexError as error:
        found = broken("p", error)
    assert isinstance(found, ProviderError)
    assert found.claim == 'the provider "p" broke: IndexError: list index out of range'
    assert found.facts[0].startswith(f"at {__file__}:")


def test_what_a_provider_can_do() -> None:
    """Only the provider of a service can be resumed and has tasks; that provider and drafts examine the machine."""
    made = [create(name, SETTINGS) for name in ("dashscope", "draft", "null")]
    asked: list[list[object]] = [[ask(provider) for provider in made] for ask in (resumable, task_service, diagnosable)]
    assert asked == [[made[0], None, None], [made[0], None, None], [made[0], made[1], None]]


def test_command_line_options() -> None:
    """A provider that does not say which options it takes gets all; built-in free ones take none."""

    def make(settings: Settings) -> Provider:
        raise AssertionError(settings)

    kinds = (make, DashScopeProvider, DraftProvider, NullProvider)
    assert [options_of(kind) for kind in kinds] == [OPTIONS, OPTIONS, (), ()]


def test_prices_by_currency() -> None:
    """Prices are added in each currency, in the order of their first amounts; None is free."""
    prices = [Price(Decimal("0.1")), None, Price(Decimal(1), "USD"), Price(Decimal("0.2"))]
    assert Price.by_currency(prices) == {"CNY": Decimal("0.3"), "USD": Decimal(1)}
    before = {"USD": Decimal(2)}
    assert list(Price.by_currency(prices, before).items()) == [("USD", Decimal(3)), ("CNY", Decimal("0.3"))]
    assert before == {"USD": Decimal(2)}
