"""The pairs of a report: earlier images beside the present ones."""

from __future__ import annotations

from pathlib import Path

from qwenbuild.pages.pairs import Pairs
from qwenbuild.plan.comparison import Comparison, Difference, Made, Side
from qwenbuild.storage.store import Store

NEW = Made("s/a", "k" * 64, "f" * 64)


def old(digit: str, name: str = "s/a") -> Made:
    return Made(name, "0" * 64, digit * 64)


def test_a_pair_needs_an_image_on_both_sides(tmp_path: Path) -> None:
    """Images that are gone from the store are named; equal images, and new or dropped outputs, are no pairs."""
    store = Store(tmp_path)
    for made in (old("1"), old("2")):
        store.blob_path(made.image).parent.mkdir(parents=True)
        store.blob_path(made.image).write_bytes(b"")
    differences = [
        Difference("added", "new.png", None, NEW, ""),
        Difference("changed", "a.png", old("1"), NEW, ""),
        Difference("changed", "gone.png", old("3", "s/gone\x1b"), NEW._replace(name=""), ""),
        Difference("changed", "same.png", old("f"), NEW, ""),
        Difference("dropped", "dropped.png", old("2"), None, ""),
    ]
    found = Pairs.of(Comparison(Side("build 1", {}), Side("", {}), differences), {"0" * 64: {"prompt": "a"}}, store)
    assert found.earlier == {
        "a.png": {"image": "1" * 64, "key": "0" * 64, "at_s": None, "request": {"prompt": "a"}, "label": "build 1"}
    }
    assert (found.files, found.dropped) == ({"1" * 64: [store.blob_path("1" * 64)]}, 1)
    assert [str(problem) for problem in found.warnings] == [
        "error: 1 image of build 1 is not in the store: the report does not show it\n  = s/gone\\x1b"
    ]
    two = Pairs("main", lacking=["a", "b"]).warnings
    assert two[0].claim == "2 images of main are not in the store: the report does not show them"
    cells = [{"path": "a.png"}, {"path": "b.png"}]
    assert found.marked({"cells": cells}) == {
        "cells": [{"path": "a.png", "before": "1" * 64}, {"path": "b.png"}],
        "compared": {"label": "build 1", "dropped": 1},
    }


def test_a_report_that_compares_nothing() -> None:
    """Its model stays as it is."""
    assert (Pairs().marked({"cells": []}), Pairs().warnings) == ({"cells": []}, [])
