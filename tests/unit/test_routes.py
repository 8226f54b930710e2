"""Tests of routes: each choice has one provider, which is made when it is first asked for."""

from __future__ import annotations

from decimal import Decimal

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.errors import UsageError
from qwenbuild.provider import Price, Provider, Settings
from qwenbuild.providers.registry import create
from qwenbuild.request import Size
from qwenbuild.routes import DEFAULT, Choice, Routes

SQUARE = Size(1328, 1328)


def made(name: str, *, is_fixed: bool = False) -> tuple[Routes, list[Choice]]:
    """Return the routes of a project with this provider, and the choices for which others were made."""
    asked: list[Choice] = []

    def make(choice: Choice) -> Provider:
        asked.append(choice)
        return create(choice.provider, Settings({}, builtin(), {}))

    return Routes(create(name, Settings({}, builtin(), {})), make, is_fixed), asked


def test_each_provider_is_made_once() -> None:
    """Images that choose nothing have the project's provider."""
    routes, asked = made("null")
    service = routes.provider(Choice("dashscope"))
    assert (routes.provider(DEFAULT).name, routes.provider(Choice("dashscope"))) == ("null", service)
    assert asked == [Choice("dashscope")]
    assert [*routes.used] == [DEFAULT, Choice("dashscope")]
    assert routes.names == "null, dashscope"


def test_the_users_own_choice_is_that_of_all_images() -> None:
    """With `--provider`, no image has another one; its own region and interface still count."""
    routes, asked = made("null", is_fixed=True)
    assert [routes.provider(it) for it in (DEFAULT, Choice("draft"))] == [routes.default] * 2
    with pytest.raises(UsageError):
        routes.provider(Choice("draft", region="beijing"))
    assert asked == [Choice(region="beijing")]


def test_prices_are_those_of_the_image_s_provider() -> None:
    """The same model is free as a draft, and the size may matter."""
    routes, _ = made("dashscope")
    assert routes.price(DEFAULT, "qwen-image-plus", SQUARE) is not None
    assert routes.price(Choice("draft"), "qwen-image-plus", SQUARE) is None
    assert [routes.costs(choice, "qwen-image-plus") for choice in (DEFAULT, Choice("draft"))] == [True, False]
    beijing = Routes(create("dashscope", Settings({"region": "beijing"}, builtin(), {})), lambda choice: pytest.fail())
    found = [beijing.price(DEFAULT, "qwen-image-3.0-pro", Size(side, side)) for side in (1500, 1501)]
    assert found == [Price(Decimal("0.25"), is_about=True), Price(Decimal("0.50"), is_about=True)]
