"""Trust: what a project asks for, and what of it the user has approved."""

from __future__ import annotations

import pytest

from qwenbuild.errors import Untrusted
from qwenbuild.trust import Item, Kind, Trust, allows_all, is_loopback, origin, problem, secret

KEY = Item(Kind.SECRETS, "KEY to https://a.example", "the key would go to https://a.example", "[x] base_url")
LINK = Item(Kind.LINKS, "templates -> /etc", "templates leads out of the project, to /etc", "templates")


def test_only_what_is_approved_is_allowed() -> None:
    """The kind and the value of an item count. Sentences may change between versions."""
    trust = Trust(lambda: {Item(Kind.SECRETS, KEY.value, "", "")})
    assert trust.allows(KEY)
    assert not trust.allows(Item(Kind.REMOTES, KEY.value, "", ""))
    assert not trust.allows(Item(Kind.SECRETS, "KEY to https://b.example", "", ""))
    assert not Trust().allows(KEY)
    assert Trust(allow_all=True).allows(LINK)


def test_what_was_asked_is_kept() -> None:
    """A plan tells what was refused, once and in order."""
    trust = Trust(lambda: {KEY})
    for item in (LINK, KEY, LINK):
        trust.allows(item)
    assert (trust.asked, trust.refused) == ([LINK, KEY], [LINK])


def test_the_approvals_are_read_only_if_something_is_asked() -> None:
    """A project that asks for nothing never opens the user's config."""
    reads: list[int] = []
    trust = Trust(lambda: reads.append(1) or frozenset())  # type: ignore[func-returns-value]  # append returns None
    trust.require()
    assert reads == []
    trust.allows(KEY)
    trust.allows(LINK)
    assert reads == [1]


def test_a_refusal_names_all_that_is_missing() -> None:
    """The message names each destination, the place that asks, and the command that helps."""
    with pytest.raises(Untrusted) as caught:
        Trust().require(KEY, LINK)
    text = str(caught.value)
    assert "2 things that you have not approved" in text
    assert "the key would go to https://a.example ([x] base_url)" in text
    assert "templates leads out of the project, to /etc" in text
    assert "`qwenbuild trust`" in text
    assert caught.value.exit_code == 2
    assert problem([KEY]).claim == "not approved: the key would go to https://a.example ([x] base_url)"


def test_an_origin_never_holds_a_password() -> None:
    """Approvals stand in a file, and in messages."""
    assert origin("https://me:canary@a.example:8443/path?token=canary") == "https://a.example:8443"
    assert origin("https://me:canary@[a.example") == "https://[a.example"
    item = secret("TOKEN", "https://me:canary@a.example/x", "the token would go to", "[remote] token_env")
    assert (item.value, item.claim) == ("TOKEN to https://a.example", "the token would go to https://a.example")


def test_a_server_is_not_shown_as_another_one() -> None:
    """A path may look like a server behind a user name. Cyrillic letters look like Latin ones."""
    assert origin("https://evil.example/@dashscope.aliyuncs.com/x") == "https://evil.example"
    assert origin("https://d\u0430shscope.aliyuncs.com") == "https://d\\u0430shscope.aliyuncs.com"


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("true", True), ("Yes", True), ("0", False), ("", False)])
def test_the_environment_may_allow_everything(value: str, expected: bool) -> None:
    """CI has nobody who could be asked."""
    assert allows_all({"QWENBUILD_TRUST_PROJECT": value}) is expected
    assert not allows_all({})


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("LOCALHOST", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True),
     ("0.0.0.0", False), ("127.0.0.1.example.org", False), ("localhost.example.org", False), ("", False)],
)  # fmt: skip
def test_what_is_this_machine(host: str, expected: bool) -> None:
    """Names of other machines may begin like its own."""
    assert is_loopback(host) is expected
