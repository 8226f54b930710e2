from __future__ import annotations

import json
from dataclasses import replace

import pytest

from qwenbuild.events import Event, Finished, ImageFinished, ImageStarted, Outcome, Started, Stopping, as_dict
from qwenbuild.problems import Place, Problem

DONE = Finished(rendered=2, restored=1, up_to_date=3, failed=0, edited=0, unknown=0, seconds=1.23456)
PROBLEM = Problem("torn", Place("a.toml", 3), facts=["x"], hint="mend it", name="bad-image")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Started("null", {"render": 1}), {"event": "started", "provider": "null", "plan": {"render": 1}}),
        (
            ImageStarted("s/a", "s/a.png", "render", "never rendered"),
            {"event": "image_started", "name": "s/a", "path": "s/a.png", "verdict": "render",
             "reason": "never rendered"},
        ),
        (
            ImageFinished("s/a", "s/a.png", Outcome.FAILED, "torn", 0.12345, [PROBLEM]),
            {"event": "image_finished", "name": "s/a", "path": "s/a.png", "outcome": "failed", "reason": "torn",
             "seconds": 0.123, "problems": ["error: torn\n --> a.toml:3:1\n  = x\n  = hint: mend it"],
             "problem_names": ["bad-image"]},
        ),
        (
            ImageFinished("s/a", "s/a.png", Outcome.RENDERED, "forced", 2),
            {"event": "image_finished", "name": "s/a", "path": "s/a.png", "outcome": "rendered", "reason": "forced",
             "seconds": 2},
        ),
        (Stopping("interrupted", 3), {"event": "stopping", "reason": "interrupted", "in_flight": 3}),
        (
            DONE,
            {"event": "finished", "rendered": 2, "restored": 1, "up_to_date": 3, "failed": 0, "edited": 0,
             "unknown": 0, "seconds": 1.235, "reattached": 0, "submitted": 0, "skipped": 0, "missing": 0, "orphans": 0,
             "strays": 0, "interrupted": False, "cost": {}},
        ),
    ],
)  # fmt: skip
def test_events_as_json(event: Event, expected: dict[str, object]) -> None:
    """Each event is a flat table that begins with its name. Problems are texts; no problems, no key."""
    table = as_dict(event)
    assert table == expected
    assert next(iter(table)) == "event"
    assert json.loads(json.dumps(table)) == expected


@pytest.mark.parametrize(
    ("change", "exit_code", "complete"),
    [
        ({}, 0, True),
        ({"edited": 1}, 0, False),
        ({"orphans": 1}, 0, True),
        ({"submitted": 1}, 0, False),
        ({"failed": 1}, 1, False),
        ({"unknown": 1}, 1, False),
        ({"skipped": 1}, 1, False),
        ({"interrupted": True}, 130, False),
        ({"interrupted": True, "failed": 1}, 130, False),
        ({"interrupted": True, "signal": 1}, 129, False),
        ({"interrupted": True, "signal": 15}, 143, False),
    ],
)
def test_the_last_event_has_the_exit_code(change: dict[str, int], exit_code: int, complete: bool) -> None:
    """Failures exit with 1, an interrupt with 128 and the signal's number, or with 130."""
    finished = replace(DONE, **change)  # type: ignore[arg-type]
    assert (finished.exit_code, finished.complete) == (exit_code, complete)


def test_every_outcome_is_counted() -> None:
    """The last event has a count for each outcome."""
    assert set(Outcome) <= set(as_dict(DONE))
