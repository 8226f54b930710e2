"""Two folders, two projects, two terminals: a key is rendered once, whoever wants it and however a build ends."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwenbuild.emulator.server import Running
from qwenbuild.plan.plan import Verdict
from qwenbuild.storage.state_schema import VERSION, WITH_PARAMETERS

from .studio import KEY, Studio, cards, hold

pytest_plugins = ("tests.support.emulated",)

CARDS = 20
BOTH = pytest.mark.parametrize("interface", ["sync", "async"])


def studios(
    folder: Path, service: Running, count: int, interface: str = "sync", cells: int = CARDS, **table: str
) -> list[Studio]:
    """Return projects with the same requests, and one store."""
    made = []
    for number in range(count):
        place = folder / f"project-{number}"
        one = Studio.make(place, service, cards(cells), config="[models.qwen-image-plus]\nconcurrent = 8\n",
                          interface=f'"{interface}"', max_concurrency="8", **table)  # fmt: skip
        one.store = folder / "store"
        made.append(one)
    return made


def billed(service: Running) -> int:
    count = service.bill()["count"]
    assert isinstance(count, int)
    return count


@contextlib.contextmanager
def builds(places: list[Studio], *arguments: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Start a build in each project; kill the ones that still run at the end."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(place.started("build", "--json", *arguments)) for place in places]


def ended(process: subprocess.Popen[str]) -> dict[str, int]:
    """Wait for a build; return its last event."""
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    last = json.loads(out.splitlines()[-1])
    assert last["event"] == "finished", err
    return dict(last)


def first_events(process: subprocess.Popen[str], count: int) -> list[dict[str, str]]:
    """Return the first events that a build prints, as soon as they are there."""
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(count)]


@BOTH
def test_five_projects_at_once(emulator: Running, tmp_path: Path, interface: str) -> None:
    """Five builds with the same 20 requests: each request is billed once, and every project has every image."""
    places = studios(tmp_path, emulator, 5, interface)
    emulator.inject("slow=0.1:poll" if interface == "async" else "slow=0.1:sync")
    with builds(places) as processes:
        finished = [ended(process) for process in processes]
    assert billed(emulator) == CARDS
    assert sum(one["rendered"] for one in finished) == CARDS
    for place, one in zip(places, finished, strict=True):
        assert one["rendered"] + one["restored"] + one["reattached"] == CARDS
        place.audit()
        assert place.build_inside().finished.up_to_date == CARDS
    assert billed(emulator) == CARDS


@BOTH
def test_a_second_build_that_starts_half_way(emulator: Running, tmp_path: Path, interface: str) -> None:
    """It renders what the first build has not sent yet, and nothing twice."""
    first, second = studios(tmp_path, emulator, 2, interface)
    emulator.inject("slow=1:download")
    with builds([first]) as (one,):
        first.wait(lambda: billed(emulator) >= CARDS // 2, one)
        with builds([second]) as (other,):
            ended(other)
        ended(one)
    assert billed(emulator) == CARDS
    for place in (first, second):
        place.audit()


@BOTH
def test_killed_while_another_one_waits(emulator: Running, tmp_path: Path, interface: str) -> None:
    """The build that waits says for whom; it collects what the killed build had in flight."""
    first, second = studios(tmp_path, emulator, 2, interface, cells=2)
    with hold(first.store / "lock"), builds([first]) as (one,):
        first.wait(lambda: len(list((first.store / "tmp").glob("*"))) >= 2, one)
        with builds([second]) as (other,):
            events = first_events(other, 3)
            assert [event["event"] for event in events] == ["started", "waiting", "waiting"]
            assert {event["project"] for event in events[1:]} == {str(first.root)}
            one.send_signal(signal.SIGKILL)
            one.wait()
            first.wait(lambda: first.calls("download") == 4, other)
            other.send_signal(signal.SIGKILL)
            other.wait()
    assert second.build_inside().finished.reattached == 2
    assert first.build_inside().finished.restored == 2
    assert billed(emulator) == 2


def test_killed_before_the_answer_while_another_one_waits(emulator: Running, tmp_path: Path) -> None:
    """What may have been billed is UNKNOWN for the build that waits, until it is told to send it again."""
    first, second = studios(tmp_path, emulator, 2, cells=2)
    emulator.inject("hang-after:sync:2")
    with builds([first]) as (one,):
        first.wait(lambda: billed(emulator) == 2, one)
        with builds([second]) as (other,):
            first_events(other, 3)
            one.send_signal(signal.SIGKILL)
            one.wait()
            assert ended(other)["unknown"] == 2
    assert [step.verdict for step in second.engine().plan().steps] == [Verdict.UNKNOWN] * 2
    assert second.build_inside(resubmit=True).finished.rendered == 2
    assert first.build_inside().finished.restored == 2
    assert billed(emulator) == 4


def test_an_order_to_send_again_holds_for_a_wait(emulator: Running, tmp_path: Path) -> None:
    """With `--resubmit`, the build that waits renders what the killed build left without an answer."""
    first, second = studios(tmp_path, emulator, 2, cells=2)
    emulator.inject("hang-after:sync:2")
    with builds([first]) as (one,):
        first.wait(lambda: billed(emulator) == 2, one)
        with builds([second], "--resubmit") as (other,):
            first_events(other, 3)
            one.send_signal(signal.SIGKILL)
            one.wait()
            assert ended(other)["rendered"] == 2
    assert billed(emulator) == 4


@BOTH
def test_a_clean_clone_after_kill_9(emulator: Running, tmp_path: Path, interface: str) -> None:
    """`git clean -xdf` takes the state; the ledger still knows what is in flight, also in another worktree."""
    first, second = studios(tmp_path, emulator, 2, interface, cells=4)
    emulator.inject("hang-before:download")
    first.kill_when(lambda: first.calls("download") == 4)
    emulator.inject()
    shutil.rmtree(first.root / ".qwenbuild")
    for place in (second, first):
        steps = place.engine().plan().steps
        assert [step.verdict for step in steps] == [Verdict.REATTACH] * 4
    assert second.build_inside().finished.reattached == 4
    assert first.build_inside().finished.restored == 4
    assert billed(emulator) == 4
    for place in (first, second):
        place.audit()


def test_any_build_collects_what_was_detached(emulator: Running, tmp_path: Path) -> None:
    """The claim stays open after `--detach`: nobody sends the request, everybody may collect the image."""
    first, second = studios(tmp_path, emulator, 2, "async", cells=4)
    assert first.run("build", "--detach").code == 0
    assert second.run("build", "--detach").code == 0
    assert billed(emulator) == 4
    assert second.build_inside().finished.reattached == 4
    assert first.build_inside().finished.restored == 4
    assert billed(emulator) == 4


def test_a_refusal_is_everybodys(emulator: Running, tmp_path: Path) -> None:
    """The build that waits gets the refusal of the build that sent the request, and sends nothing."""
    first, second = studios(tmp_path, emulator, 2, "async", cells=1)
    emulator.inject("task-failed=DataInspectionFailed:create", "503:poll")
    with builds([first]) as (one,):
        first.wait(lambda: first.calls("poll") > 0, one)
        with builds([second]) as (other,):
            assert [event["event"] for event in first_events(other, 2)] == ["started", "waiting"]
            emulator.inject()
            assert [ended(process)["failed"] for process in (one, other)] == [1, 1]
    assert emulator.bill()["count"] == 0
    assert first.calls("create") == 1


@BOTH
def test_a_forced_build_waits_and_renders_its_own(emulator: Running, tmp_path: Path, interface: str) -> None:
    """`--force` asks for another image: two are billed, one after the other; the plan said so."""
    first, second = studios(tmp_path, emulator, 2, interface, cells=2)
    emulator.inject("slow=1:download")
    with builds([first]) as (one,):
        first.wait(lambda: first.calls("download") == 2, one)
        plan = second.engine(force=True).plan()
        assert [step.verdict for step in plan.steps] == [Verdict.RENDER] * 2
        assert [step.price == second.engine().provider.price("qwen-image-plus") for step in plan.steps] == [True] * 2
        with builds([second], "--force") as (other,):
            assert ended(other)["rendered"] == 2
        ended(one)
    assert billed(emulator) == 4


def test_waiting_spends_no_budget(emulator: Running, tmp_path: Path) -> None:
    """A budget of one image is enough for a build that renders one and waits for the others."""
    first, second = studios(tmp_path, emulator, 2, cells=4)
    second.write({"specs/own.toml": '[image.own]\nprompt = "mine alone"\n'})
    emulator.inject("slow=1:download")
    with builds([first]) as (one,):
        first.wait(lambda: first.calls("download") == 4, one)
        with builds([second], "--max-cost", "0.23") as (other,):
            last = ended(other)
        ended(one)
    assert (last["rendered"], last["restored"]) == (1, 4)
    assert billed(emulator) == 5


def test_ctrl_c_ends_a_wait_at_once(emulator: Running, tmp_path: Path) -> None:
    """A build that only waits has nothing in flight, so it leaves the other build alone and ends."""
    first, second = studios(tmp_path, emulator, 2, cells=2)
    emulator.inject("hang-before:download")
    with builds([first]) as (one,):
        first.wait(lambda: first.calls("download") == 2, one)
        with second.started("build") as other:
            second.wait(lambda: ledger(second, "SELECT count(*) FROM submissions") == [(2,)], other)
            assert other.stderr is not None
            line = other.stderr.readline()
            assert "waiting" in line
            assert f"being rendered by {first.root} since" in line
            other.send_signal(signal.SIGINT)
            other.communicate(timeout=20)
            assert other.returncode == 130
        assert one.poll() is None
        assert len(first.submissions) == 2


def ledger(place: Studio, query: str) -> list[tuple[object, ...]]:
    """Return what the ledger answers."""
    path = place.store / "ledger/ledger.sqlite3"
    if not path.exists():
        return []
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


@pytest.mark.parametrize(
    "fault", [pytest.param("locked", marks=pytest.mark.slow), "corrupt", "newer", "read-only", "network"]
)
def test_without_a_ledger_nothing_is_sent(emulator: Running, tmp_path: Path, fault: str) -> None:
    """Free work goes on: restores are made, drafts are drawn. The message says what to do."""
    (place,) = studios(tmp_path, emulator, 1, cells=3)
    assert place.build_inside(where=["no=000"]).finished.complete
    for path in (place.root / "out").rglob("*.png"):
        path.unlink()
    folder = place.store / "ledger"
    path = folder / "ledger.sqlite3"
    held: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    match fault:
        case "locked":
            held = contextlib.closing(sqlite3.connect(path, isolation_level=None))
            said = "another program has locked the ledger"
        case "corrupt":
            for beside in folder.glob("ledger.sqlite3-*"):
                beside.unlink()
            path.write_bytes(b"damaged" * 4096)
            said = "move ledger.sqlite3 away and build again"
        case "newer":
            with contextlib.closing(sqlite3.connect(path)) as db:
                db.execute("PRAGMA user_version = 99")
            said = "was written by a newer qwenbuild"
        case "read-only":
            place.extra["QWENBUILD_LEDGER_DIR"] = "/proc/self"
            said = "QWENBUILD_LEDGER_DIR"
        case "network":
            shutil.rmtree(folder)
            folder.write_text("a file is in its place")
            said = "QWENBUILD_LEDGER_DIR"
    with held as db:
        if isinstance(db, sqlite3.Connection):
            db.execute("BEGIN EXCLUSIVE")
        ran = place.run("build")
    assert ran.code == 1
    assert said in ran.err
    assert billed(emulator) == 1
    assert len(place.outputs()) == 1
    assert place.run("build", "--provider", "draft").code == 0


def test_free_providers_and_the_no_op_never_open_the_ledger(emulator: Running, tmp_path: Path) -> None:
    """A draft makes no ledger, and a build with nothing to do does not look at a damaged one."""
    (place,) = studios(tmp_path, emulator, 1, cells=2)
    assert place.run("build", "--provider", "draft").code == 0
    assert not (place.store / "ledger").exists()
    assert place.run("build").code == 0
    for path in (place.store / "ledger").glob("ledger.sqlite3*"):
        path.write_bytes(b"damaged" * 4096)
    for spec in (place.root / "specs").glob("*.toml"):
        os.utime(spec)  # the fast path does not answer
    ran = place.run("build")
    assert (ran.code, "ledger" in ran.err) == (0, False)


def test_the_key_is_not_in_the_ledger(emulator: Running, tmp_path: Path) -> None:
    """Neither the API key nor a part of it is on disk."""
    (place,) = studios(tmp_path, emulator, 1, cells=1)
    assert place.build_inside().finished.complete
    assert place.search(KEY[3:]) == []


def test_two_builds_wait_for_each_other(emulator: Running, tmp_path: Path) -> None:
    """Each lost an answer that the other one wants: both end, because a lost answer ends the claim."""
    first, second = studios(tmp_path, emulator, 2, cells=6)
    emulator.inject("drop-after:sync:40%")
    with builds([first, second]) as processes:
        finished = [ended(process) for process in processes]
    assert all(one["rendered"] + one["restored"] + one["unknown"] == 6 for one in finished)
    assert all(count == 1 for count in first.billed.values())


def as_before_the_ledger(place: Studio) -> None:
    """Turn state and store into those of a version without ledger."""
    with contextlib.closing(sqlite3.connect(place.root / ".qwenbuild/state.sqlite3")) as db:
        db.execute("ALTER TABLE submissions DROP COLUMN uid")
        db.execute("DROP TABLE failures")
        db.execute("PRAGMA user_version = 1")
    shutil.rmtree(place.store / "ledger")


@BOTH
def test_an_upgrade_with_images_in_flight(emulator: Running, tmp_path: Path, interface: str) -> None:
    """What an earlier version left at the service is collected, by whichever project comes first; nothing is billed."""
    first, second = studios(tmp_path, emulator, 2, interface, cells=3)
    emulator.inject("hang-before:download")
    first.kill_when(lambda: first.calls("download") == 3)
    emulator.inject()
    as_before_the_ledger(first)
    assert [step.verdict for step in first.engine().plan().steps] == [Verdict.REATTACH] * 3
    assert first.build_inside(where=["no=000"]).finished.reattached == 1
    assert second.build_inside().finished.reattached == 2
    assert first.build_inside().finished.restored == 2
    assert billed(emulator) == 3
    for place in (first, second):
        place.audit()


@BOTH
def test_an_upgrade_with_lost_answers(emulator: Running, tmp_path: Path, interface: str) -> None:
    """What an earlier version lost is UNKNOWN for every project, until an order sends it again."""
    first, second = studios(tmp_path, emulator, 2, interface, cells=2)
    emulator.inject("hang-before:sync" if interface == "sync" else "hang-before:create")
    first.kill_when(lambda: first.calls("sync") + first.calls("create") == 2)
    emulator.inject()
    as_before_the_ledger(first)
    assert first.build_inside().finished.unknown == 2
    assert second.build_inside().finished.unknown == 2
    assert billed(emulator) == 0
    assert second.build_inside(resubmit=True).finished.rendered == 2
    assert first.build_inside().finished.restored == 2
    assert billed(emulator) == 2


def test_an_earlier_version_refuses_the_new_state(emulator: Running, tmp_path: Path) -> None:
    """It compares the number of the state's format with its own, and stops."""
    (place,) = studios(tmp_path, emulator, 1, cells=1)
    assert place.build_inside().finished.complete
    with contextlib.closing(sqlite3.connect(place.root / ".qwenbuild/state.sqlite3")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
        db.execute(f"PRAGMA user_version = {WITH_PARAMETERS + 1}")
    ran = place.run("build", "--force")
    assert ran.code == 2
    assert "was written by a newer qwenbuild" in ran.err
    assert "upgrade qwenbuild" in ran.err
    assert billed(emulator) == 1
