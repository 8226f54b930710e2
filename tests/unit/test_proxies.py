"""Proxies of the environment: an address that can't exist is named without its password."""

from __future__ import annotations

import pytest

from qwenbuild.errors import UsageError
from qwenbuild.proxies import check_proxies


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("http://me:secret@proxy:99999", "its port is not a number from 1 to 65535"),
        ("http://me:secret@proxy:0", "its port is not a number from 1 to 65535"),
        ("proxy:port", "its port is not a number from 1 to 65535"),
        ("http://[::1", "it is not an address"),
        ("http://me:secret@", "it names no host"),
        ("http://:3128", "it names no host"),
        (f"http://{'a' * 64}.example:3128", "it names no possible host"),
        ("http://a..b:3128", "it names no possible host"),
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy", "ALL_PROXY"])
def test_an_impossible_proxy_is_named(name: str, value: str, why: str) -> None:
    """The variable and the reason are shown, the value is not: it may hold a password."""
    with pytest.raises(UsageError) as caught:
        check_proxies({"OTHER": "x", name: value})
    assert (caught.value.claim, caught.value.facts) == (
        "the proxy set in the environment can't be used", (f"{name}: {why}",)
    )  # fmt: skip
    assert "HTTPS_PROXY" in (caught.value.hint or "")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    ["", "proxy", "proxy:3128", "http://me:p%40ss@proxy:3128/", "http://[::1]:3128", "socks5://h:1080", "Ärger:8"],
)
def test_a_possible_proxy_is_accepted(value: str) -> None:
    """Whether it answers is seen when a request is sent."""
    check_proxies({"HTTPS_PROXY": value, "NO_PROXY": "http://[::1", "PROXY": "x:99999"})
