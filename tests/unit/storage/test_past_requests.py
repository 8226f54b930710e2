"""Past requests: they can be read after the state was closed, in any order, and never raise."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenbuild.digest import canonical_json
from qwenbuild.storage.past_requests import PastRequests
from qwenbuild.storage.state import State

KNOWN = {f"{number:064}": {"number": number} for number in range(1200)}


@pytest.fixture
def past(tmp_path: Path) -> PastRequests:
    """All known requests and an unknown request, after their state was closed."""
    state = State(tmp_path / "state.sqlite3")
    state.record([], KNOWN)
    past = PastRequests(state)
    assert [past.add(key) for key in (*KNOWN, "f" * 64)] == [*KNOWN, "f" * 64]
    state.close()
    return past


def test_requests_are_read_in_any_order(past: PastRequests) -> None:
    """Each request is found after the state was closed, in the order of `add` or any other."""
    expected = {key: canonical_json(request).decode() for key, request in KNOWN.items()}
    jumps = [f"{1:064}", f"{1199:064}", f"{0:064}", f"{1:064}"]
    assert [past.text(key) for key in jumps] == [expected[key] for key in jumps]
    assert {key: past.text(key) for key in KNOWN} == expected


def test_requests_are_read_ahead(past: PastRequests, tmp_path: Path) -> None:
    """Those that were read at once need the state no more."""
    wanted = [f"{number:064}" for number in range(0, 1200, 100)]
    past.read([*wanted, "f" * 64])
    (tmp_path / "state.sqlite3").unlink()
    assert [past.text(key) for key in wanted] == [canonical_json(KNOWN[key]).decode() for key in wanted]
    assert past.text("f" * 64) == past.text(f"{1:064}") == ""


def test_an_unknown_request_is_empty(past: PastRequests) -> None:
    """The text of a key that was never recorded is empty."""
    assert past.text("f" * 64) == ""


def test_a_damaged_state_gives_empty_requests(past: PastRequests, tmp_path: Path) -> None:
    """Past requests only explain a plan, so a state that can't be read is no error here."""
    (tmp_path / "state.sqlite3").write_bytes(b"no database" * 100)
    assert past.text(f"{0:064}") == ""
