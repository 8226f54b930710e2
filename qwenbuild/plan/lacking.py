"""Lacking images: what to do if nobody here has the bytes that the lock pins.

`build`, `plan`, `status`, `explain`, `verify` and `doctor` all take their advice from here.
"""

from __future__ import annotations

from typing import Final

from qwenbuild.problems import Problem

PULL: Final = "`git lfs install` (once), then `git lfs pull`"
_ELSEWHERE: Final = (
    "a remote cache may have them: [remote] in the config or --remote URL names it, and `qwenbuild trust` approves it"
)
HINT: Final = (
    "ask whoever has them for `qwenbuild cache push` or a commit, "
    "or render new ones, at their price: `qwenbuild build --relock`"
)


def problem(missing: int, pointers: int, *, has_remote: bool) -> Problem | None:
    """Return the problem that images are not here, with the ways to get them; None if there are none.

    `missing`: outputs whose pinned bytes nobody here has. `pointers`: outputs with a Git LFS pointer in their place.
    `has_remote`: a remote cache was asked.
    """
    if missing:
        claim = f"the lock pins {_images(missing)} that nobody here has"
    elif pointers:
        only = "is not here, but only a Git LFS pointer" if pointers == 1 else "are not here, but only Git LFS pointers"
        claim = f"{_images(pointers)} {only}"
    else:
        return None
    asked = "the remote cache does not have them either" if missing and has_remote else ""
    facts = (_of_pointers(pointers), asked or ("" if has_remote else _ELSEWHERE))
    return Problem(claim, facts=tuple(filter(None, facts)), hint=HINT if missing else None, name="image-not-here")


def after_verify(pointers: int) -> Problem:
    """Return the advice about outputs that are not what the lock pins, if a build does not bring them back."""
    facts = (_of_pointers(pointers), _ELSEWHERE)
    return Problem(
        "a build brings back only what store or remote has",
        facts=tuple(filter(None, facts)),
        hint=HINT,
        name="image-not-here",
    )


def _of_pointers(count: int) -> str:
    return f"{PULL}, fetches {_images(count)} from Git LFS" if count else ""


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"
