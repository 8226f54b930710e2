"""Addresses: which servers are named, what needs approval, and when a token is not sent."""

from __future__ import annotations

from typing import Any

import pytest

from qwenbuild.errors import UsageError
from qwenbuild.providers.addresses import asked, find, find_token

LIKE = "http://127.0.0.1:8091/v1"
PREFIX = "QWENBUILD_IMAGES_"
TOKEN = f"{PREFIX}TOKEN"
HERE, THERE = "http://127.0.0.1:8091/v1", "https://gpu.example:8443/v1"


def test_the_environment_comes_first() -> None:
    """Its servers are the user's own. A slash at the end and a second mention don't matter."""
    stated = [f"{HERE}/", HERE, THERE]
    assert [it.url for it in find(stated, {}, "URLS", like=LIKE)] == [HERE, THERE]
    found = find(stated, {"URLS": " http://gpu:1  http://gpu:2/v1 "}, "URLS", like=LIKE)
    assert [(it.url, it.is_users) for it in found] == [("http://gpu:1", True), ("http://gpu:2/v1", True)]


@pytest.mark.parametrize(
    ("stated", "claim"),
    [
        (1, "base_url is neither an address nor a list of 1 to 100 addresses"),
        ([], "base_url is neither an address nor a list of 1 to 100 addresses"),
        ("gpu.example:8091", "base_url is not the address of a server"),
        ("ftp://gpu.example", "base_url is not the address of a server"),
        ("http://gpu.example/v1?key=1", "base_url is not the address of a server"),
        ("http://gpu.example:99999", "base_url is not an address"),
        ("http://me:secret@gpu.example", "base_url holds a user name or a password"),
    ],
)
def test_what_is_no_address(stated: object, claim: str) -> None:
    """The message shows an address that could be meant."""
    with pytest.raises(UsageError) as caught:
        find(stated, {}, "URLS", like=LIKE)
    assert (caught.value.claim, caught.value.hint) == (claim, f'such as "{LIKE}"')


@pytest.mark.parametrize(
    ("url", "variable", "items"),
    [
        (HERE, "", []),
        ("http://localhost:1", "", []),
        ("http://[::1]:1", "", []),
        (HERE, TOKEN, [("secrets", f"{TOKEN} to http://127.0.0.1:8091")]),
        (THERE, "", [("servers", "https://gpu.example:8443")]),
        ("http://gpu.example:1", "", [("servers", "http://gpu.example:1")]),
        (THERE, TOKEN, [("secrets", f"{TOKEN} to https://gpu.example:8443")]),
        ("http://127.0.0.1.gpu.example", "", [("servers", "http://127.0.0.1.gpu.example")]),
    ],
)
def test_what_needs_approval(url: str, variable: str, items: list[tuple[str, str]]) -> None:
    """A server beyond this machine, and each server that gets a token, unless the environment names it."""
    found = asked(find(url, {}, "URLS", like=LIKE), variable, "base_url", "prompts")
    assert [(item.kind.value, item.value) for item in found] == items
    assert asked(find(None, {"URLS": url}, "URLS", like=LIKE), variable, "base_url", "prompts") == []


def test_a_token_of_the_environment() -> None:
    """Its variable is named; an empty one is told by whoever needs it."""
    servers = find([HERE, THERE], {}, "URLS", like=LIKE)
    assert find_token(None, {TOKEN: "x"}, servers, PREFIX) == ("", "")
    assert find_token(TOKEN, {TOKEN: "tok-1"}, servers, PREFIX) == (TOKEN, "tok-1")
    assert find_token(TOKEN, {}, servers, PREFIX) == (TOKEN, "")


@pytest.mark.parametrize(
    ("variable", "environ", "url", "claim"),
    [
        ("AWS_SECRET_ACCESS_KEY", {}, HERE, f"token_env does not name a variable that begins with {PREFIX}"),
        (1, {}, HERE, f"token_env does not name a variable that begins with {PREFIX}"),
        (
            TOKEN,
            {TOKEN: "x"},
            "http://gpu:1",
            f"http://gpu:1 is plain http: the network could read the token in {TOKEN}",
        ),
        (TOKEN, {TOKEN: "to k"}, HERE, f"the token in {TOKEN} has characters that no token has"),
    ],
)
def test_a_token_that_is_not_sent(variable: Any, environ: dict[str, str], url: str, claim: str) -> None:
    """No other secret goes to a server, and none over plain http beyond this machine."""
    with pytest.raises(UsageError) as caught:
        find_token(variable, environ, find(url, {}, "URLS", like=LIKE), PREFIX)
    assert caught.value.claim == claim
