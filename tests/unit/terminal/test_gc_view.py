"""A garbage collection, planned and done, as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenbuild.storage.gc import Collected, Collection, Removal, Stamp
from qwenbuild.terminal import gc_view

STORE = Path("/store")
FILE = Stamp("ac/x", 1500, 0, 1)
REMOVALS = (
    Removal("0123456789abcdef", "not used for 30 days", (FILE,)),
    Removal("", "no action \x1b names it", (FILE,)),
)


def test_a_dry_run_lists_what_would_be_removed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each removal has its size, its key and the reason; stray files have no key and do not count as images."""
    gc_view.show(Collection(REMOVALS, kept_entries=2, kept_bytes=4000, spared=0), None, STORE)
    assert capsys.readouterr().out == (
        "    1.5 kB  0123456789ab  not used for 30 days\n"
        "    1.5 kB  stray file    no action \\x1b names it\n"
        "would remove 1 images, 3.0 kB; 2 images, 4.0 kB are kept in /store\n"
    )


def test_a_dry_run_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Only what is kept is counted; images that projects use are mentioned."""
    gc_view.show(Collection((), kept_entries=2, kept_bytes=4000, spared=1), None, STORE)
    assert capsys.readouterr().out == (
        "2 images, 4.0 kB are kept in /store\n"
        "1 of them are kept because projects use them; --used would remove these too\n"
    )


def test_a_collection_counts_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    """Images that were planned but not removed are left."""
    planned = Collection(REMOVALS, kept_entries=2, kept_bytes=4000, spared=0)
    gc_view.show(planned, Collected(entries=0, bytes_freed=1000, kept=1), STORE)
    assert capsys.readouterr().out == "removed 0 images, 1.0 kB\n3 images, 6.0 kB are left in /store\n"
