"""The summary of a build: counts, time, cost, where the files are, and what to do next."""

from __future__ import annotations

import pytest

from qwenbuild.events import Finished
from qwenbuild.terminal.build_summary import lines


@pytest.mark.parametrize(
    ("finished", "text"),
    [
        (Finished(0, 0, 12_345, 0, 0, 0, 0.018), "nothing to do: 12,345 up to date in 0.02 s\n"),
        (
            Finished(2, 1, 3, 0, 0, 0, 65.2, reattached=4, submitted=5, cost={"CNY": "0.44"}),
            "2 rendered, 4 reattached, 1 restored, 5 submitted, 3 up to date in 1 min 5 s, 0.44 CNY\n",
        ),
        (
            Finished(0, 0, 0, 1, 2, 3, 5, skipped=4, orphans=6, interrupted=True),
            "1 failed, 3 unknown, 2 edited, 4 skipped in 5 s\n"
            "interrupted: all finished images are kept; build again to continue\n"
            "unknown images may have been billed; --resubmit sends them again\n"
            "edited files were kept; --overwrite replaces them\n"
            "6 outputs are no longer declared; `qwenbuild clean --orphans` removes them\n",
        ),
        (
            Finished(0, 0, 3, 0, 0, 0, 0.5, orphans=1),
            "nothing to do: 3 up to date in 0.50 s\n"
            "1 output is no longer declared; `qwenbuild clean --orphans` removes it\n",
        ),
    ],
)
def test_the_summary(finished: Finished, text: str) -> None:
    """The summary has counts, time and cost, then what to do about images that are left."""
    assert "".join(f"{line}\n" for line in lines(finished)) == text


@pytest.mark.parametrize(
    ("finished", "is_refused", "following"),
    [
        (Finished(2, 1, 3, 0, 0, 0, 1), False, "`qwenbuild report --open` shows the images on a page"),
        (Finished(2, 0, 0, 1, 0, 0, 1), False, "`qwenbuild build` tries again what failed, and only that"),
        (Finished(2, 0, 0, 1, 0, 0, 1), True, "`qwenbuild build --retry-failed` sends what was refused again"),
        (Finished(2, 0, 0, 1, 0, 1, 1), True, "`qwenbuild tasks` asks the service about the unknown images"),
        (Finished(2, 0, 0, 0, 0, 0, 1, submitted=1), False,
         "`qwenbuild tasks` shows how far the images are; `qwenbuild build` collects them"),
        (Finished(2, 0, 0, 0, 0, 0, 1, missing=1), False, "`qwenbuild plan` names the ways to get what is missing"),
    ],
)  # fmt: skip
def test_on_a_terminal_it_says_where_files_are_and_what_helps_now(
    finished: Finished, is_refused: bool, following: str
) -> None:
    """One command, the one that matters most."""
    told = list(lines(finished, "../out\x1b/", is_refused=is_refused))
    assert told[-2:] == ["     files  ../out\\x1b/", f"      next  {following}"]


def test_nothing_follows_where_nothing_was_done() -> None:
    """Or where the summary has said what to do."""
    assert len(list(lines(Finished(0, 0, 3, 0, 0, 0, 1), "out/"))) == 1
    assert list(lines(Finished(0, 0, 0, 0, 1, 0, 1), "out/"))[1:] == [
        "edited files were kept; --overwrite replaces them"
    ]
    stopped = list(lines(Finished(1, 0, 0, 0, 0, 0, 1, skipped=2, interrupted=True), "out/"))
    assert stopped[1:] == [
        "interrupted: all finished images are kept; build again to continue",
        "     files  out/",
    ]
