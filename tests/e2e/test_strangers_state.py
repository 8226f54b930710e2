"""A state that came with a clone takes no money, and brings no image of a stranger into the user's store."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from qwenbuild.emulator.server import Running
from qwenbuild.plan.plan import Verdict
from qwenbuild.storage.ledger import Ledger

from .studio import Studio, cards, stored_images

pytest_plugins = ("tests.support.emulated",)

BOTH = pytest.mark.parametrize("interface", ["sync", "async"])
FORGED = {
    "as it was": "",
    "no account": """UPDATE submissions SET context = json_remove(context, '$.account')""",
    "empty account": """UPDATE submissions SET context = json_set(context, '$.account', '')""",
    "no uid": "UPDATE submissions SET uid = ''",
    "another provider": "UPDATE submissions SET provider = 'null'",
    "forced": "UPDATE submissions SET forced = 1",
}


def strangers_project(folder: Path, service: Running, interface: str, forged: str) -> Studio:
    """Return the user's clone of a project whose state a stranger left in flight and changed."""
    theirs = Studio.make(folder / "theirs", service, cards(2), interface=f'"{interface}"')
    theirs.extra["DASHSCOPE_API_KEY"] = "sk-of-a-stranger"
    theirs.build_inside(detach=True)
    with contextlib.closing(sqlite3.connect(theirs.root / ".qwenbuild/state.sqlite3", isolation_level=None)) as db:
        db.executescript(forged)
    mine = Studio.make(folder / "mine", service, cards(2), interface=f'"{interface}"')
    shutil.copytree(theirs.root / ".qwenbuild", mine.root / ".qwenbuild")
    return mine


@BOTH
@pytest.mark.parametrize("forged", FORGED)
def test_a_strangers_submission_is_left_alone(emulator: Running, tmp_path: Path, interface: str, forged: str) -> None:
    """Nothing is polled, nothing is downloaded, and neither ledger nor store gets anything. The plan names it."""
    studio = strangers_project(tmp_path, emulator, interface, FORGED[forged])
    plan = studio.engine().plan()
    assert {step.verdict for step in plan.steps} == {Verdict.UNKNOWN}
    assert plan.strays == []
    if forged != "another provider":
        (warning,) = plan.warnings
        assert warning.claim == (
            "the project's state has 2 submissions that were not made with your API key: left alone"
        )
        assert [fact.partition(": ")[2] for fact in warning.facts] == ["card 000", "card 001"]
    built = studio.build_inside()
    assert built.finished.unknown == 2
    assert (studio.calls("poll"), studio.calls("download"), stored_images(studio.store)) == (0, 0, 0)
    with contextlib.closing(Ledger(studio.store / "ledger")) as ledger:
        assert ledger.open_rows() == []
    again = studio.build_inside(resubmit=True).finished
    assert (again.rendered, again.failed) == (2, 0)
    assert studio.engine().plan().warnings == ()


@BOTH
def test_what_the_user_left_in_flight_is_collected_without_the_ledger(
    emulator: Running, tmp_path: Path, interface: str
) -> None:
    """The present key shows that the state is the user's own: nothing is billed again without the ledger."""
    studio = Studio.make(tmp_path, emulator, cards(2), interface=f'"{interface}"')
    studio.build_inside(detach=True)
    shutil.rmtree(studio.store / "ledger")
    plan = studio.engine().plan()
    assert ({step.verdict for step in plan.steps}, plan.warnings) == ({Verdict.REATTACH}, ())
    assert studio.build_inside().finished.reattached == 2
    studio.audit()
