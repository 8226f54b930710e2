"""Orders, exchanges and charges for tests of the local DashScope's parts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from qwenbuild.catalogue import builtin
from qwenbuild.emulator.bill import Charge
from qwenbuild.emulator.exchange import Exchange
from qwenbuild.emulator.request_body import Order, read_order

NOON_S = 1_757_390_400.0
"""2025-09-09 12:00:00 in China, in seconds since the epoch."""


def order(prompt: str = "a cat", model: str = "qwen-image-plus", **parameters: Any) -> Order:
    """Return the order of a task with this prompt."""
    body = {"model": model, "input": {"prompt": prompt}, "parameters": {"prompt_extend": False, **parameters}}
    return read_order(body, "async", builtin())


def exchange(operation: str = "create") -> Exchange:
    """Return an exchange of an empty call at noon."""
    return Exchange(operation, "POST", "/", "", {}, {}, NOON_S)


def charge(account: str = "someone", price_cny: str = "0.20", model: str = "qwen-image-plus") -> Charge:
    """Return the charge for one image, made at noon."""
    return Charge(account, order(model=model, seed=7), Decimal(price_cny), NOON_S, exchange())
