"""Stopping a build while requests are in flight: Ctrl-C once or twice, `--detach`, and cancelled tasks."""

from __future__ import annotations

import contextlib
import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qwenbuild.emulator.server import Running, running
from qwenbuild.plan.plan import Verdict
from tests.support.emulated import QUICK

from .studio import KEY, Studio, be_sole_user, cards

pytest_plugins = ("tests.support.emulated",)

OPERATION = {"sync": "sync", "async": "create"}


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_the_first_ctrl_c_waits_for_requests_in_flight(emulator: Running, tmp_path: Path, interface: str) -> None:
    """Nothing more is submitted. Images in flight are awaited and stored; the next build renders the rest."""
    studio = Studio.make(tmp_path, emulator, cards(8), interface=f'"{interface}"', max_concurrency="2")
    operation = {"sync": "sync", "async": "poll"}[interface]
    emulator.inject(f"slow=0.6:{operation}")
    with studio.started("build") as process:
        studio.wait(lambda: studio.calls(operation) == 2, process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopping; 2 renders are in flight" in err
    assert "2 rendered, 6 skipped" in err
    assert "interrupted: all finished images are kept; build again to continue" in err
    assert emulator.bill()["count"] == 2
    assert len(studio.outputs()) == 2
    assert studio.submissions == []
    emulator.inject()
    assert studio.build_inside().finished.rendered == 6
    studio.audit()


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_the_first_ctrl_c_does_not_wait_for_turns(emulator: Running, tmp_path: Path, interface: str) -> None:
    """Requests that wait for their turn are not sent any more, and the build does not wait for them."""
    studio = Studio.make(tmp_path, emulator, cards(20), interface=f'"{interface}"', submits='"2/minute"')
    with studio.started("build", "--json") as process:
        studio.wait(lambda: studio.outputs(), process)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert time.monotonic() - begun < 10
    assert process.returncode == 130
    assert emulator.bill()["count"] == 1
    assert '"rendered": 1' in out.splitlines()[-1]
    assert '"skipped": 19' in out.splitlines()[-1]
    assert studio.submissions == []


@pytest.mark.parametrize(
    ("interface", "pinned", "count", "then"),
    [  # two requests at once; while images are downloaded, the next two requests are sent
        ("sync", "hang-before:download", 4, Verdict.REATTACH),
        ("sync", "hang-after:sync", 2, Verdict.UNKNOWN),
        ("async", "hang-before:poll", 2, Verdict.REATTACH),
        ("async", "hang-before:download", 4, Verdict.REATTACH),
    ],
)
def test_the_second_ctrl_c_leaves_at_once(
    emulator: Running, tmp_path: Path, interface: str, pinned: str, count: int, then: Verdict
) -> None:
    """The next build collects requests with a handle. A sync call without an answer is UNKNOWN."""
    studio = Studio.make(tmp_path, emulator, cards(8), interface=f'"{interface}"', max_concurrency="2")
    emulator.inject(pinned)
    with studio.started("build", "--json") as process:
        studio.wait(lambda: studio.calls(pinned.rpartition(":")[2]) == count, process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert time.monotonic() - begun < 5
    assert (process.returncode, err) == (130, "")
    left = "submitted" if then is Verdict.REATTACH else "unknown"
    assert f'"{left}": {count}' in out.splitlines()[-1]
    assert f'"skipped": {8 - count}' in out.splitlines()[-1]
    counts = studio.engine().plan().counts
    assert (counts[then], counts[Verdict.RENDER]) == (count, 8 - count)
    emulator.inject()
    last = studio.build_inside()
    if then is Verdict.REATTACH:
        assert (last.finished.reattached, last.finished.rendered) == (count, 8 - count)
        studio.audit()
    else:
        assert (last.finished.unknown, last.finished.rendered) == (count, 8 - count)
        assert emulator.bill()["count"] == 8


def test_stopping_while_lost_answers_are_reconciled(emulator: Running, tmp_path: Path) -> None:
    """One Ctrl-C ends the search among a sole user's tasks; a later build searches again."""
    be_sole_user()
    studio = Studio.make(tmp_path, emulator, cards(2), interface='"async"')
    emulator.inject("drop-after:create", "hang-before:list")
    studio.kill_when(lambda: studio.calls("list"))
    emulator.inject("hang-before:list")
    before = studio.calls("list")
    with studio.started("build", "--json") as process:
        studio.wait(lambda: studio.calls("list") > before, process)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert time.monotonic() - begun < 5
    assert process.returncode == 130
    assert '"unknown": 2' in out.splitlines()[-1]
    emulator.inject()
    assert studio.build_inside().finished.reattached == 2
    studio.audit()


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_detach(emulator: Running, tmp_path: Path, interface: str) -> None:
    """`--detach` submits and exits with 0. `plan` and `tasks` show the requests, and a later build collects them."""
    studio = Studio.make(tmp_path, emulator, cards(6), interface=f'"{interface}"')
    ran = studio.run("build", "--detach")
    assert ran.code == 0, ran.err
    assert "6 submitted" in ran.err
    assert studio.calls(OPERATION[interface]) == 6
    assert studio.calls("poll") == studio.calls("download") == 0
    assert studio.outputs() == {}

    plan = studio.here("plan")
    assert plan.out.count("reattach  cards/card[no=") == 6
    assert "6 to collect" in plan.out
    assert "cost" not in plan.out
    left = r"expires in 2[34] h \d+ min"
    for shown in (plan.out, studio.here("status").out):
        assert re.search(rf"in flight  6 results at the service; the first {left}: `qwenbuild build` collects", shown)
    tasks = studio.here("tasks").out.splitlines()
    state = "to collect" if interface == "sync" else "SUCCEEDED"
    assert [line[:10].strip() for line in tasks] == [state] * 6
    for submission, line in zip(sorted(studio.submissions, key=lambda it: it.id), tasks, strict=True):
        name = submission.task_id or "a result without a task"
        assert re.fullmatch(rf".{{10}}  {name}  cards/card\[no=\d+\]  sent [\d. s]+ ago, {left}", line)

    assert studio.here("build", "--detach").code == 0  # nothing is submitted twice
    assert studio.calls(OPERATION[interface]) == 6
    last = studio.build()
    assert last["reattached"] == 6
    assert last["cost"] == {}
    studio.audit()


def test_in_flight_on_the_other_interface(emulator: Running, tmp_path: Path) -> None:
    """An image is collected through its own interface, whichever interface the later build has."""
    studio = Studio.make(tmp_path, emulator, cards(4))
    studio.build_inside(detach=True, interface="async", where=["no=00[01]"])
    studio.build_inside(detach=True, interface="sync", where=["no=00[23]"])
    assert studio.build_inside(interface="sync", where=["no=00[01]"]).finished.reattached == 2
    assert studio.build_inside(interface="async", where=["no=00[23]"]).finished.reattached == 2
    studio.audit()


def test_a_detached_build_within_a_budget(emulator: Running, tmp_path: Path) -> None:
    """Submitted requests count against the budget of the build that submits them."""
    studio = Studio.make(tmp_path, emulator, cards(5), interface='"async"')
    ran = studio.here("build", "--detach", "--max-cost", "0.5", "--json")
    assert ran.code == 1
    assert (ran.finished["submitted"], ran.finished["skipped"]) == (2, 3)
    last = studio.build_inside()
    assert (last.finished.reattached, last.finished.rendered) == (2, 3)
    studio.audit()


@pytest.fixture
def slow_emulator() -> Iterator[Running]:
    """An emulator whose tasks wait for 30 seconds. The test moves its clock."""
    with running(replace(QUICK, queue_s=30.0)) as handle:
        yield handle


def test_tasks_and_cancelling_them(tmp_path: Path, slow_emulator: Running) -> None:
    """`tasks` lists waiting tasks. A cancelled task costs nothing, and the next build submits it again."""
    studio = Studio.make(tmp_path, slow_emulator, cards(4), interface='"async"')
    assert studio.here("tasks").out == "nothing is in flight\n"
    assert studio.here("build", "--detach").code == 0
    listed = studio.here("tasks", "--status", "PENDING", "--json")
    pending = [event for event in listed.events if event["event"] == "task"]
    assert [task["ours"] for task in pending] == [True] * 4
    doomed = [task["id"] for task in pending[:2]]
    cancelled = studio.here("tasks", "cancel", *doomed)
    assert (cancelled.code, cancelled.err) == (0, "")
    assert cancelled.out == "".join(f" cancelled  {task_id}\n" for task_id in doomed)
    slow_emulator.advance(60)

    again = studio.here("tasks", "cancel", doomed[0], "nope\x1b")
    assert (again.code, again.out) == (1, "")
    assert f"error: task {doomed[0]} can't be cancelled\n" in again.err
    assert "error: task nope\\x1b can't be cancelled\n" in again.err
    assert again.err.count("hint: only PENDING tasks can be cancelled") == 2
    in_flight = studio.here("tasks", "--json").events
    studio.extra.pop("DASHSCOPE_API_KEY")
    unasked = studio.here("tasks", "--json")
    assert unasked.code == 1
    assert unasked.events == [event for event in in_flight if event["event"] == "in_flight"]
    assert "no API key" in unasked.err
    studio.extra["DASHSCOPE_API_KEY"] = KEY
    counts = studio.engine().plan().counts
    assert (counts[Verdict.REATTACH], counts[Verdict.RENDER]) == (2, 2)
    built = studio.build_inside(detach=True)
    assert (built.finished.submitted, built.finished.cost) == (4, {"CNY": "0.440354"})
    slow_emulator.advance(60)
    assert studio.build_inside().finished.reattached == 4
    studio.audit()


def test_a_task_that_was_cancelled_elsewhere(tmp_path: Path, slow_emulator: Running) -> None:
    """The build that finds a cancelled task reports it and spends nothing; the next build submits it again."""
    studio = Studio.make(tmp_path, slow_emulator, cards(4), interface='"async"')
    other = Studio.make(tmp_path / "other", slow_emulator, cards(1))
    assert studio.build_inside(detach=True).finished.submitted == 4
    tasks = [submission.handle.removeprefix("task:") for submission in studio.submissions]
    assert other.here("tasks", "cancel", *tasks[:2]).code == 0
    slow_emulator.advance(60)
    ran = studio.here("build")
    assert ran.code == 1
    assert ran.err.count("the task was cancelled") == 1  # equal failures are told once
    assert "build again to submit it again" in ran.err
    assert "2 reattached, 2 failed" in ran.err
    assert slow_emulator.bill()["count"] == 2
    assert studio.build_inside(detach=True).finished.submitted == 2
    slow_emulator.advance(60)
    assert studio.build_inside().finished.reattached == 2
    studio.audit()


def test_a_task_of_another_day(emulator: Running, tmp_path: Path) -> None:
    """An image that was not collected for a day is gone: it is UNKNOWN, and rendered again only by `--resubmit`."""
    studio = Studio.make(tmp_path, emulator, cards(2), interface='"async"')
    studio.build_inside(detach=True)
    emulator.bill()  # the tasks end
    emulator.advance(25 * 3600)
    ran = studio.here("build")
    assert ran.code == 1
    assert "the service has forgotten a task that it accepted" in ran.err
    assert "2 unknown" in ran.err
    assert studio.here("build").code == 1
    assert studio.here("build", "--resubmit").code == 0
    assert emulator.bill()["count"] == 4
    studio.check_outputs()


def test_a_task_with_a_wrong_time_is_awaited(slow_emulator: Running, tmp_path: Path) -> None:
    """A build waits for a task that the service calls PENDING, although the task seems days old."""
    studio = Studio.make(tmp_path, slow_emulator, cards(2), interface='"async"')
    studio.build_inside(detach=True)
    with contextlib.closing(sqlite3.connect(studio.root / ".qwenbuild" / "state.sqlite3", isolation_level=None)) as db:
        db.execute("UPDATE submissions SET intended_at_s = intended_at_s - 200000")
    with studio.started("build") as process:
        studio.wait(lambda: studio.calls("poll") >= 4, process)
        slow_emulator.advance(60)
        assert process.wait(timeout=30) == 0
    studio.audit()


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_in_flight_with_another_key(emulator: Running, tmp_path: Path, interface: str) -> None:
    """A task of another account is neither given up nor bought again; the first key collects it."""
    studio = Studio.make(tmp_path, emulator, cards(2), interface=f'"{interface}"')
    studio.build_inside(detach=True)
    studio.extra["DASHSCOPE_API_KEY"] = "sk-of-another-account"
    ran = studio.here("build")
    if interface == "async":
        assert ran.code == 1
        assert "(singapore), another API key: only that account can collect it" in ran.err
        studio.extra["DASHSCOPE_API_KEY"] = KEY
        ran = studio.here("build")
    assert ran.code == 0, ran.err  # the link of a sync answer needs no key
    studio.audit()


def test_an_image_that_no_spec_declares_any_more_is_collected(emulator: Running, tmp_path: Path) -> None:
    """A paid image whose spec changed goes only into the store. If the spec wants it again, it is restored."""
    studio = Studio.make(tmp_path, emulator, cards(2), interface='"async"')
    studio.build_inside(detach=True)
    assert studio.build_inside(detach=True, select=["cards/card[no=000]"]).finished.strays == 0
    changed = {"specs/cards.toml": cards(2)["cards"].replace("card {{", "new card {{")}
    studio.write(changed)
    plan = studio.engine().plan()
    assert [stray.request.prompt for stray in plan.strays] == ["card 000", "card 001"]
    assert studio.engine(select=["cards"]).plan().strays == []
    finished = studio.build_inside().finished
    assert (finished.rendered, finished.strays) == (2, 2)
    studio.check_outputs()
    assert studio.submissions == []
    assert emulator.bill()["count"] == 4
    again = studio.build_inside().finished
    assert (again.up_to_date, again.strays) == (2, 0)
    studio.write({f"specs/{name}.toml": text for name, text in cards(2).items()})
    assert studio.build_inside().finished.restored == 2
    assert emulator.bill()["count"] == 4


def test_strays_are_reported(emulator: Running, tmp_path: Path) -> None:
    """The plan says that a build would collect the image, and the build says that it did."""
    studio = Studio.make(tmp_path, emulator, cards(2), interface='"async"')
    studio.build_inside(detach=True)
    studio.write({f"specs/{name}.toml": text for name, text in cards(1).items()})
    assert "1 in flight that no spec declares any more" in studio.run("plan").out
    ran = studio.run("build")
    assert "collected 1 image that no spec declares any more" in ran.err
    assert len(studio.outputs()) == 1
    assert studio.submissions == []


def test_a_failed_stray_is_only_a_warning(emulator: Running, tmp_path: Path) -> None:
    """The build succeeds, because every output is there."""
    studio = Studio.make(tmp_path, emulator, cards(1), interface='"async"')
    studio.build_inside(detach=True)
    studio.write({"specs/cards.toml": '[image.card]\nprompt = "another"\n'})
    studio.build_inside(select=["cards"])
    emulator.inject("corrupt:download")
    built = studio.build_inside()
    assert built.finished.exit_code == 0
    assert [type(event).__name__ for event in built.events].count("Warned") == 1
    emulator.inject()
    assert studio.build_inside().finished.strays == 1
