from __future__ import annotations

from typing import Any

import pytest

from qwenbuild.emulator.results import BUCKETS, Image, Results
from qwenbuild.emulator.vendor_errors import Refusal
from tests.support.orders import NOON_S, charge


def opened(results: Results, link: str, now: float = NOON_S) -> Image:
    """Open a link."""
    path, _, query = link.partition("?")
    return results.open(path, dict(pair.split("=") for pair in query.split("&")), now)


def refused(code: str, message: str = "") -> Any:
    """Expect a refusal with that code."""
    return pytest.raises(Refusal, match=f"{code}.*{message}")


def test_a_link_opens_its_image_until_it_expires() -> None:
    """A link still opens at its expiry time, but not half a second later."""
    results = Results()
    image = results.add(0, NOON_S + 60, charge())
    link = results.link(image)
    assert opened(results, link, NOON_S + 60) is image
    with refused("AccessDenied", "Request has expired."):
        opened(results, link, NOON_S + 60.5)


@pytest.mark.parametrize(
    ("old", "new"),
    [("Expires=1", "Expires=2"), ("7d/", "7e/"), ("Expires=", "Expires=x"), ("Signature=", "Signature=A")],
)
def test_a_changed_link_is_refused(old: str, new: str) -> None:
    """The signature covers the path and the expiry time."""
    results = Results()
    link = results.link(results.add(0, NOON_S, charge()))
    with refused("SignatureDoesNotMatch"):
        opened(results, link.replace(old, new))


def test_a_link_of_another_emulator_is_refused() -> None:
    """Each emulator signs with its own secret."""
    other = Results()
    with refused("SignatureDoesNotMatch"):
        opened(Results(), other.link(other.add(0, NOON_S, charge())))


def test_expired_images_are_forgotten() -> None:
    """The link of a forgotten image is refused, because the bucket does not have its key any more."""
    results = Results()
    old, new = (results.add(0, NOON_S + at, charge()) for at in (0, 60))
    results.forget(NOON_S + 1)
    with refused("NoSuchKey"):
        opened(results, results.link(old), NOON_S - 1)
    assert opened(results, results.link(new)) is new


def test_results_lie_in_the_ten_buckets() -> None:
    """The path names a bucket, as the host name of a real link does."""
    results = Results()
    links = [results.link(results.add(0, NOON_S, charge())) for _ in range(300)]
    assert {link.split("/")[2] for link in links} == set(BUCKETS)


def test_an_image_knows_the_request_that_draws_it() -> None:
    """Image `index` has the order's seed plus `index`."""
    request = Results().add(2, NOON_S, charge()).request("draft-1")
    assert (request.family, request.prompt, request.seed) == ("draft-1", "a cat", 9)
