"""The comparison of two sides: what was added, changed, repinned and dropped."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from qwenbuild.plan.comparison import Comparison, Difference, Made, Side, compare

REQUESTS = {"red": {"prompt": "red"}, "blue": {"prompt": "blue"}, "red again": {"prompt": "red"}}


def made(key: str, image: str, name: str = "s/a") -> Made:
    return Made(name, key, image)


def difference(old: Made | None, new: Made | None) -> list[tuple[str, str]]:
    """Return the kind and the reason of each difference of one output."""
    asked: list[Collection[str]] = []

    def requests(keys: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        asked.append(keys)
        return {key: REQUESTS[key] for key in keys if key in REQUESTS}

    before, after = (Side("", {"a.png": it} if it else {}) for it in (old, new))
    found = compare(before, after, requests)
    assert len(asked) == 1
    return [(it.kind, it.reason) for it in found.differences]


def test_one_output() -> None:
    """The reason tells how the request changed, if both requests are known."""
    red = made("red", "1")
    assert difference(red, red) == []
    assert difference(None, red) == [("added", "added")]
    assert difference(red, None) == [("dropped", "dropped")]
    assert difference(red, made("blue", "2")) == [("changed", "prompt changed: -red +blue")]
    assert difference(red, made("blue", "1")) == [("changed", "prompt changed: -red +blue")]
    assert difference(red, made("unknown", "2")) == [("changed", "its request changed")]
    assert difference(red, made("red", "2")) == [("repinned", "another image of the same request")]
    assert difference(red, made("red again", "2")) == [("repinned", "another image of the same request")]
    assert difference(red, made("red again", "1")) == []


def test_a_renamed_output_is_named() -> None:
    """The image of a dropped output that is at another path now is no new one. Differences have an order."""
    old = {"a.png": made("red", "1"), "b.png": made("red", "2", "")}
    new = {"z.png": made("red", "1", "s/z"), "c.png": made("red", "3", "")}
    found = compare(Side("one", old), Side("two", new), lambda keys: {})
    assert [(it.kind, it.name, it.reason) for it in found.differences] == [
        ("added", "c.png", "added"),
        ("added", "s/z", "the image of a.png"),
        ("dropped", "s/a", "dropped"),
        ("dropped", "b.png", "dropped"),
    ]
    assert found.counts == {"added": 2, "changed": 0, "repinned": 0, "dropped": 2}


def test_a_name_that_only_one_side_knows() -> None:
    """It names both."""
    known, unknown = made("red", "1", "s/a"), made("red", "2", "")
    assert [Difference("repinned", "a.png", *sides, "").name for sides in ((known, unknown), (unknown, known))] == [
        "s/a", "s/a"
    ]  # fmt: skip
    assert Comparison(Side("", {}), Side("", {}), []).counts == {"added": 0, "changed": 0, "repinned": 0, "dropped": 0}
