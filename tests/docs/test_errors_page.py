"""The page of errors says what `explain-error` says."""

from __future__ import annotations

from . import errors_page


def test_the_page_is_up_to_date() -> None:
    """`python -m tests.docs.errors_page` writes it from the entries."""
    assert errors_page.PAGE.read_text("utf-8") == errors_page.text()
