"""The advice about images that nobody here has."""

from __future__ import annotations

import pytest

from qwenbuild.plan import lacking

PULL = "`git lfs install` (once), then `git lfs pull`, fetches 2 images from Git LFS"


@pytest.mark.parametrize(
    ("missing", "pointers", "has_remote", "claim", "facts"),
    [
        (1, 0, True, "the lock pins 1 image that nobody here has", ["the remote cache does not have them either"]),
        (3, 2, False, "the lock pins 3 images that nobody here has", [PULL, "a remote cache may have them"]),
        (0, 2, True, "2 images are not here, but only Git LFS pointers", [PULL]),
    ],
)
def test_each_way_that_may_work_is_named(
    missing: int, pointers: int, has_remote: bool, claim: str, facts: list[str]
) -> None:
    """Git LFS only for its pointers; a remote cache only if it was not asked; whoever has them, and payment."""
    found = lacking.problem(missing, pointers, has_remote=has_remote)
    assert found is not None
    assert found.claim == claim
    assert [fact.partition(":")[0] for fact in found.facts] == facts
    assert found.hint == (lacking.HINT if missing else None)


def test_without_a_lack_there_is_nothing_to_say() -> None:
    """Every build calls it."""
    assert lacking.problem(0, 0, has_remote=False) is None


def test_verify_gives_the_same_advice() -> None:
    """It has asked neither the store nor a remote cache."""
    found = lacking.after_verify(2)
    assert found.facts[0] == PULL
    assert found.hint == lacking.HINT
