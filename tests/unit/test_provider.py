"""Providers are found by entry point; what is wrong with them is told in words."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.errors import ProviderError, UsageError
from qwenbuild.provider import (
    OPTIONS,
    Price,
    Provider,
    Resumable,
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
from qwenbuild.providers.registry import create, installed

SETTINGS = Settings({}, builtin(), {"SECRET": "sk-secret"}, 3)


def plugin(folder: Path, name: str, entry: str, source: str = "") -> None:
    """Install a distribution that names a provider."""
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[qwenbuild.providers]\n{name} = {entry}\n")
    (folder / f"{name}_module.py").write_text(source)


def test_what_comes_with_qwenbuild() -> None:
    """The three providers of the package are installed under their names."""
    kinds = {"dashscope": DashScopeProvider, "draft": DraftProvider, "null": NullProvider}
    assert set(kinds) <= set(installed())
    for name, kind in kinds.items():
        provider: Provider = create(name, SETTINGS)
        assert (type(provider), provider.name) == (kind, name)
    assert [isinstance(create(name, SETTINGS), Resumable) for name in kinds] == [True, False, False]


def test_families_differ() -> None:
    """No two providers share a family, so that no draft is taken for the service's image."""
    families = {create(name, SETTINGS).family for name in ("dashscope", "draft", "null")}
    assert len(families) == 3


def test_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider of another distribution gets the settings."""
    plugin(tmp_path, "fancy", "fancy_module:make", "def make(settings):\n    return settings\n")
    monkeypatch.syspath_prepend(tmp_path)
    made: object = create("fancy", SETTINGS)
    assert made is SETTINGS
    sys.modules.pop("fancy_module", None)


@pytest.mark.parametrize(
    ("entry", "source"),
    [
        ("nosuch_module:make", ""),
        ("torn_module:nosuch", ""),
        ("torn_module:make", "raise ImportError('no fonts')\n"),
        ("torn_module:make", "raise ZeroDivisionError\n"),
        ("torn_module:make", "not Python\n"),
    ],
)
def test_a_plugin_that_can_not_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, source: str
) -> None:
    """A provider whose module or factory is missing, or raises when imported, is an error in words."""
    plugin(tmp_path, "torn", entry, source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match='provider "torn" can not be loaded: '):
        create("torn", SETTINGS)
    sys.modules.pop("torn_module", None)


def test_a_plugin_that_can_not_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A factory that raises what is no error of qwenbuild's is told as the plugin's mistake."""
    plugin(tmp_path, "sick", "sick_module:make", "def make(settings):\n    return settings.nosuch\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ProviderError, match='the provider "sick" broke: AttributeError: '):
        create("sick", SETTINGS)
    sys.modules.pop("sick_module", None)


def test_an_unknown_provider() -> None:
    """A name that is not installed comes with those that are, and the nearest."""
    with pytest.raises(UsageError) as caught:
        create("darft", SETTINGS)
    assert caught.value.claim == 'unknown provider "darft"'
    assert caught.value.facts[0].startswith("installed: dashscope, draft, null")
    assert caught.value.hint == 'did you mean "draft"?'


def test_settings_hide_the_environment() -> None:
    """The environment, which holds secrets, is no part of the settings' text."""
    assert "sk-secret" not in repr(SETTINGS)


def test_unknown_keys() -> None:
    """A key that a provider has not is told with its value and the nearest known one."""
    reject_unknown({"pace": 1}, ("pace",), "p")
    with pytest.raises(UsageError) as caught:
        reject_unknown({"pcae": 1}, ("pace", "region"), "p")
    assert str(caught.value) == (
        'error: unknown key "pcae" in [providers.p]\n  = value: 1\n  = known: pace, region\n'
        '  = hint: did you mean "pace"?'
    )


def test_a_provider_that_breaks() -> None:
    """An exception that a provider ought not to raise becomes an error that tells what and where."""
    try:
        [][1]
    except IndexError as error:
        found = broken("p", error)
    assert isinstance(found, ProviderError)
    assert found.claim == 'the provider "p" broke: IndexError: list index out of range'
    assert found.facts[0].startswith(f"at {__file__}:")


def test_what_a_provider_can_do() -> None:
    """Only the provider of a service can be resumed, has tasks, and examines the machine."""
    made = [create(name, SETTINGS) for name in ("dashscope", "draft", "null")]
    asked: list[list[object]] = [[ask(provider) for provider in made] for ask in (resumable, task_service, diagnosable)]
    assert asked == [[made[0], None, None]] * 3


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
