"""The list of submissions in flight and of the account's tasks."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from qwenbuild.builder.lost_answers import Answer, Fate
from qwenbuild.candidates import Candidate, Likeness, Search
from qwenbuild.provider import ServiceTask
from qwenbuild.request import Request, Size, Submission
from qwenbuild.terminal import tasks_view

REQUEST = Request("f", "m", "a \x1b ball", "", Size(8, 8), 1, False, False)
OWN = [Submission(number, "k", REQUEST, "p", handle, {}, 0.0, False) for number, handle in enumerate(["task:t1", ""])]
TASKS = [ServiceTask("t1", "RUNNING", "m", 0.0, "task:t1"), ServiceTask("t2", "PENDING", "m")]


def test_each_task_has_a_line_with_id_cell_state_age_and_end(capsys: pytest.CaptureFixture[str]) -> None:
    """An own task has the service's state, another one its model; a submission without a handle is unknown."""
    now_s = time.time()
    mine = replace(OWN[0], cell="s/a\x1b", intended_at_s=now_s - 200.1, expires_at_s=now_s + 3600 - 99.9)
    tasks_view.show([mine, OWN[1]], TASKS, list_in_flight=True, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "   RUNNING  t1  s/a\\x1b  sent 3 min 20 s ago, expires in 58 min 20 s"
    assert lines[1].startswith("   unknown  1970") or lines[1].startswith("   unknown  1969")
    assert lines[2:] == ["   PENDING  t2  m  not sent by qwenbuild here  "]
    tasks_view.show([mine], TASKS[:1], list_in_flight=False, as_json=False)
    assert capsys.readouterr().out.splitlines() == lines[:1]
    late = replace(mine, handle="result:r:url", expires_at_s=now_s - 120.1)
    tasks_view.show([late], [], list_in_flight=True, as_json=False)
    assert capsys.readouterr().out == (
        "to collect  a result without a task  s/a\\x1b  sent 3 min 20 s ago, expired 2 min 0 s ago\n"
    )


def test_a_task_that_is_not_in_flight_any_more_has_its_cell(capsys: pytest.CaptureFixture[str]) -> None:
    """This project has collected it, or another project has sent it."""
    mine = replace(OWN[0], cell="s/a")
    for found, word, ours in ((mine, "collected", True), (replace(mine, project="/p\x1b"), "of /p\\x1b", False)):
        task, sent = replace(TASKS[0], created_at_s=None), {mine.handle: found}
        tasks_view.show([], [task], list_in_flight=True, as_json=False, sent=sent)
        assert capsys.readouterr().out == f"   RUNNING  t1  s/a  {word}  \n"
        tasks_view.show([], [task], list_in_flight=True, as_json=True, sent=sent)
        event = json.loads(capsys.readouterr().out)
        assert (event["ours"], event["cell"]) == (ours, "s/a")


def test_an_empty_list_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """A list without submissions and tasks is one line."""
    tasks_view.show([], [], list_in_flight=True, as_json=False)
    assert capsys.readouterr().out == "nothing is in flight\n"


def test_a_long_prompt_is_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    """Fifty characters of a prompt are shown."""
    long = Submission(1, "k", REQUEST._replace(prompt="x" * 60), "p", "", {}, 0.0, False)
    tasks_view.show([long], [], list_in_flight=True, as_json=False)
    assert capsys.readouterr().out.endswith(f"  {'x' * 50}…\n")


def test_json_has_a_line_for_each_submission_and_task(capsys: pytest.CaptureFixture[str]) -> None:
    """The handle is named by its kind; `ours` marks the project's tasks."""
    tasks_view.show(OWN, TASKS, list_in_flight=True, as_json=True)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    own = {"event": "in_flight", "key": "k", "cell": "", "handle": "task", "intended_at_s": 0.0,
           "prompt": "a \x1b ball"}  # fmt: skip
    assert events == [
        {**own, "task": "t1", "expires_at_s": None},
        {**own, "handle": ""},
        {
            "event": "task",
            "id": "t1",
            "status": "RUNNING",
            "model": "m",
            "created_at_s": 0.0,
            "expires_at_s": None,
            "ours": True,
            "cell": "",
        },
        {
            "event": "task",
            "id": "t2",
            "status": "PENDING",
            "model": "m",
            "created_at_s": None,
            "expires_at_s": None,
            "ours": False,
            "cell": "",
        },
    ]


def test_a_lost_answer_has_its_cell_its_account_and_its_candidates(capsys: pytest.CaptureFixture[str]) -> None:
    """All of them as escaped text."""
    candidate = Candidate("task:t", "t\x1b", "RUNNING", 3.0, "", Likeness.HIDDEN)
    search = Search(700.0, 660.0, True, (candidate,))
    lost = Submission(1, "k", REQUEST, "p", "", {}, 0.0, cell="s/a\x1b", search=search, elsewhere="h, another key")
    tasks_view.show([lost], [], list_in_flight=True, as_json=False)
    assert [line.strip() for line in capsys.readouterr().out.splitlines()][1:4] == [
        "s/a\\x1b",
        "it was sent to h, another key: only that account's list can show it",
        "candidate t\\x1b  RUNNING  created 3 s after the request  no prompt to compare",
    ]
    tasks_view.show([lost], [], list_in_flight=True, as_json=True)
    (event,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (event["cell"], [it["id"] for it in event["candidates"]]) == ("s/a\x1b", ["t\x1b"])


def test_what_was_settled_and_adopted_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that stay unknown are among the submissions."""
    lost = Submission(1, "k", REQUEST, "p", "", {}, 0.0, cell="s/a")
    answers = [Answer(lost, fate) for fate in Fate]
    tasks_view.show([], [], list_in_flight=True, as_json=False, answers=answers)
    assert [line.split("  ")[:3] for line in capsys.readouterr().out.splitlines()] == [
        ["", " adopted", "s/a"],
        ["not billed", "s/a", "the service has no task for it: the next build renders it"],
    ]
    tasks_view.show([], [], list_in_flight=True, as_json=True, answers=answers)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events == [{"event": event, "key": "k", "cell": "s/a"} for event in ("adopted", "not_billed")]
