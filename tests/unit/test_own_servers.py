"""Own servers: what a provider may say besides the contract is asked of it, and nothing is the answer of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qwenbuild import own_servers
from qwenbuild.catalogue import builtin
from qwenbuild.errors import UsageError
from qwenbuild.problems import Problem
from qwenbuild.provider import Settings
from qwenbuild.providers.null import NullProvider
from qwenbuild.request import Request


class Own(NullProvider):
    """A provider that says everything."""

    serves_any_model = True
    default_model = "workflow"
    is_repeatable = False
    parameters: Mapping[str, Any] = {"steps": 20}

    def checked_parameters(self, table: Mapping[str, Any]) -> Mapping[str, Any]:
        return table

    def wrong_fields(self, request: Request) -> Mapping[str, UsageError]:
        return {}

    def files(self) -> Sequence[Path]:
        return []

    def read_files(self) -> Sequence[Problem]:
        return []


def test_a_provider_says_it_or_not() -> None:
    """The class answers what must be known before a provider is made."""
    settings = Settings({}, builtin(), {})
    own, plain = Own(settings), NullProvider(settings)
    assert [*map(own_servers.serves_any_model, (Own, own, NullProvider, None))] == [True, True, False, False]
    assert [*map(own_servers.default_model, (Own, NullProvider))] == ["workflow", ""]
    assert (own_servers.parametrised(own), own_servers.parametrised(plain)) == (own, None)
    assert (own_servers.choosy(own), own_servers.choosy(plain)) == (own, None)
    assert (own_servers.reading(own), own_servers.reading(plain)) == (own, None)
    assert [*map(own_servers.is_repeatable, (own, plain))] == [False, True]
    assert own_servers.settings_of_environment(plain) == {}
    assert own_servers.is_forced(object()) is False
