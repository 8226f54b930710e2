"""What is shown about a lost answer."""

from __future__ import annotations

import time
from dataclasses import replace

from qwenbuild.candidates import Candidate, Likeness, Search
from qwenbuild.request import Request, Size, Submission
from qwenbuild.terminal.style import local_time
from qwenbuild.terminal.submission_view import submission_dict, submission_lines

REQUEST = Request("f", "m", "a ball", "", Size(8, 8), 1, False, False)
LOST = Submission(1, "k", REQUEST, "p", "", {}, 100.0, cell="s/a")


def candidate(name: str, kind: Likeness, at_s: float | None = 103.0, prompt: str = "", rivals: int = 0) -> Candidate:
    return Candidate(f"task:{name}", name, "SUCCEEDED", at_s, prompt, kind, rivals)


def lines(*candidates: Candidate, is_whole: bool = True, read_at_s: float = 700.0) -> list[str]:
    return submission_lines(replace(LOST, search=Search(read_at_s, 760.0, is_whole, candidates)))


def test_candidates_have_their_age_and_what_their_prompt_says() -> None:
    """A person decides by these; other lost answers that may be meant are counted."""
    shown = lines(
        candidate("t1", Likeness.SAME, 103.0, "a ball"),
        candidate("t2", Likeness.DIFFERENT, 98.0, "a dog " + "x" * 60),
        candidate("t3", Likeness.UNCLEAR, None, "A ball"),
        candidate("t4", Likeness.HIDDEN, rivals=2),
    )
    assert shown == [
        "candidate t1  SUCCEEDED  created 3 s after the request  the same prompt",
        f"candidate t2  SUCCEEDED  created 2 s before the request  another prompt: a dog {'x' * 44}…",
        "candidate t3  SUCCEEDED  created at an unknown time  a similar prompt: A ball",
        "candidate t4  SUCCEEDED  created 3 s after the request  no prompt to compare"
        "; it may also be the task of 2 other lost answers",
        f"by the list of {local_time(700.0)}: `qwenbuild tasks adopt TASK CELL` adopts a candidate",
    ]


def test_what_a_list_without_candidates_says() -> None:
    """It proves something only later, and only if it is complete."""
    assert lines()[-1].endswith(f"no candidate; a list after {local_time(760.0)} proves that nothing was billed")
    assert lines(is_whole=False)[-1].endswith("no candidate, but the list was not complete")
    assert lines(candidate("t", Likeness.DIFFERENT))[-1].endswith(" proves that nothing was billed")


def test_many_candidates_are_counted() -> None:
    """A busy account has thousands."""
    shown = lines(*(candidate(f"t{number}", Likeness.HIDDEN) for number in range(2005)))
    assert len(shown) == 7
    assert shown[5] == "2,000 more candidates; `qwenbuild tasks --json` lists all"


def test_without_a_search_nothing_is_shown() -> None:
    """The list was not read yet."""
    assert (submission_lines(LOST), submission_dict(LOST)) == ([], {})


def test_an_accepted_request_has_an_age_and_an_end() -> None:
    """The candidates of its time before are not shown any more."""
    now_s = time.time()
    found = replace(LOST, handle="task:t", search=Search(700.0, 760.0, True), intended_at_s=now_s - 60.1)
    assert submission_lines(found) == ["task t: sent 1 min 0 s ago"]
    found = replace(found, expires_at_s=now_s + 86_370.0)
    assert submission_lines(found) == ["task t: sent 1 min 0 s ago, expires in 23 h 59 min"]
    assert submission_dict(found) == {
        "task": "t", "intended_at_s": found.intended_at_s, "expires_at_s": found.expires_at_s
    }  # fmt: skip


def test_json_has_every_candidate() -> None:
    """With times in seconds, and the likeness as a word."""
    table = submission_dict(replace(LOST, search=Search(700.0, 760.0, True, (candidate("t", Likeness.SAME),))))
    assert table == {
        "candidates": [
            {
                "handle": "task:t", "id": "t", "status": "SUCCEEDED", "created_at_s": 103.0, "prompt": "",
                "likeness": "same", "rivals": 0,
            }
        ],
        "searched_at_s": 700.0, "is_whole": True, "decides_from_s": 760.0,
    }  # fmt: skip
