"""The list of submissions in flight and of the account's tasks."""

from __future__ import annotations

import json

import pytest

from qwenbuild.provider import ServiceTask
from qwenbuild.request import Request, Size, Submission
from qwenbuild.terminal import tasks_view

REQUEST = Request("f", "m", "a \x1b ball", "", Size(8, 8), 1, False, False)
OWN = [Submission(number, "k", REQUEST, "p", handle, {}, 0.0, False) for number, handle in enumerate(["task:t1", ""])]
TASKS = [ServiceTask("t1", "RUNNING", "m", 0.0, "task:t1"), ServiceTask("t2", "PENDING", "m")]


def test_submissions_come_before_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    """The project's own tasks are marked; a submission without a handle is unknown."""
    tasks_view.show(OWN, TASKS, list_in_flight=True, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["to", "unknown", "RUNNING", "PENDING"]
    assert lines[0].endswith("8x8 seed 1  a \\x1b ball")
    assert lines[2].endswith("  t1  m  this project's")
    assert lines[3].endswith("  t2  m")
    tasks_view.show(OWN, TASKS[:1], list_in_flight=False, as_json=False)
    assert capsys.readouterr().out.splitlines() == lines[2:3]


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
    own = {"event": "in_flight", "key": "k", "handle": "task", "intended_at_s": 0.0, "prompt": "a \x1b ball"}
    assert events == [
        own,
        {**own, "handle": ""},
        {"event": "task", "id": "t1", "status": "RUNNING", "model": "m", "created_at_s": 0.0, "ours": True},
        {"event": "task", "id": "t2", "status": "PENDING", "model": "m", "created_at_s": None, "ours": False},
    ]
