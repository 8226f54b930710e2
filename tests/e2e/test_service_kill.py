"""`kill -9` of a build in each phase of a render, and the builds after it."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwenbuild.emulator.server import Running
from qwenbuild.plan.plan import Verdict

from .studio import Studio, be_sole_user, cards, hold, stored_images, unresolved

pytest_plugins = ("tests.support.emulated",)

# Two requests; one of them has two output paths.
SPECS = {
    "fair": '[image.poster]\nprompt = "a fair, {{ hour }}"\nmatrix = { hour = ["noon", "night"], seed = 7 }\n'
    '[image.cover]\nprompt = "a fair, noon"\nseed = 7\n'
}
REQUESTS, OUTPUTS = 2, 3


@pytest.mark.parametrize(
    ("interface", "moment", "then"),
    [
        ("sync", "hang-before:sync", Verdict.UNKNOWN),
        ("sync", "hang-after:sync", Verdict.UNKNOWN),
        ("sync", "hang-before:download", Verdict.REATTACH),
        ("async", "hang-before:create", Verdict.UNKNOWN),
        ("async", "hang-after:create", Verdict.UNKNOWN),
        ("async", "hang-before:poll", Verdict.REATTACH),
        ("async", "hang-after:poll", Verdict.REATTACH),
        ("async", "hang-before:download", Verdict.REATTACH),
    ],
)
def test_killed_during_a_call(emulator: Running, tmp_path: Path, interface: str, moment: str, then: Verdict) -> None:
    """A request with a handle is collected. One without is found among a sole user's tasks, else it is UNKNOWN."""
    be_sole_user()
    studio = Studio.make(tmp_path, emulator, SPECS, interface=f'"{interface}"')
    emulator.inject(moment)
    studio.kill_when(lambda: studio.calls(moment.rpartition(":")[2]) == REQUESTS)
    emulator.inject()
    accepted = emulator.bill()["count"]

    verdicts = {action.name: step.verdict for step in studio.engine().plan().steps for action in [step.action]}
    twin = Verdict.UNKNOWN if then is Verdict.UNKNOWN else Verdict.RESTORE
    assert verdicts == {
        "fair/poster[hour=noon,seed=7]": then,
        "fair/poster[hour=night,seed=7]": then,
        "fair/cover": twin,
    }
    last = studio.build_inside()
    if then is Verdict.REATTACH or moment == "hang-after:create":
        assert last.finished.complete
        studio.audit(billed_unknown=0)
    else:
        assert len(unresolved(last)) == OUTPUTS
        studio.audit(unresolved(last), billed_unknown=accepted)
        assert studio.build_inside(resubmit=True).finished.complete
        assert emulator.bill()["count"] == accepted + REQUESTS
        studio.check_outputs()
        assert studio.submissions == []
    assert studio.build_inside().finished.up_to_date == OUTPUTS


@pytest.mark.parametrize(("lost", "found"), [(1, 1), (2, 0)])
def test_killed_with_seeds_of_one_prompt_unanswered(emulator: Running, tmp_path: Path, lost: int, found: int) -> None:
    """A sole user's lost task with a unique prompt is found. Two with one prompt can't be distinguished."""
    be_sole_user()
    spec = '[image.dice]\nprompt = "a throw of dice"\nmatrix.seed = { start = 1, count = 5 }\n'
    config = "[models.qwen-image-plus]\nconcurrent = 3\n"
    studio = Studio.make(tmp_path, emulator, {"dice": spec}, config=config, interface='"async"')
    emulator.inject(f"hang-after:create:{lost}")
    studio.kill_when(lambda: len(studio.outputs()) == 5 - lost)
    emulator.inject()
    last = studio.build_inside()
    assert (last.finished.reattached, last.finished.unknown) == (found, lost - found)
    studio.audit(unresolved(last), billed_unknown=lost - found)


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_killed_while_images_are_being_stored(emulator: Running, tmp_path: Path, interface: str) -> None:
    """An image that was downloaded but not stored is downloaded again."""
    studio = Studio.make(tmp_path, emulator, SPECS, interface=f'"{interface}"')
    with hold(studio.store / "lock"):
        studio.kill_when(lambda: len(list((studio.store / "tmp").glob("*"))) >= 3 * REQUESTS)
    assert stored_images(studio.store) == 0
    last = studio.build_inside()
    assert (last.finished.reattached, last.finished.restored) == (REQUESTS, 1)
    studio.audit()


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_killed_between_the_store_and_the_state(emulator: Running, tmp_path: Path, interface: str) -> None:
    """An image in the store is restored, although the state still has its submission; nothing stays in flight."""
    studio = Studio.make(tmp_path, emulator, SPECS, interface=f'"{interface}"')
    emulator.inject("slow=0.7:download")
    with studio.started("build") as process:
        studio.wait(lambda: studio.calls("download") == REQUESTS, process)
        with locked(studio):
            studio.wait(lambda: stored_images(studio.store) == REQUESTS, process)
            process.kill()
            process.wait()
    assert len(studio.submissions) == REQUESTS
    emulator.inject()
    last = studio.build_inside()
    assert last.finished.restored == OUTPUTS
    studio.audit()


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_killed_before_the_state_holds_the_handle(emulator: Running, tmp_path: Path, interface: str) -> None:
    """An accepted task is found among a sole user's tasks. A sync answer that was not recorded is UNKNOWN."""
    be_sole_user()
    studio = Studio.make(tmp_path, emulator, SPECS, interface=f'"{interface}"')
    operation = "sync" if interface == "sync" else "create"
    emulator.inject(f"slow=0.7:{operation}")
    with studio.started("build") as process:
        studio.wait(lambda: studio.calls(operation) == REQUESTS, process)
        with locked(studio):
            studio.wait(lambda: sum(call["answered"] for call in emulator.requests()) == REQUESTS, process)
            process.kill()
            process.wait()
    emulator.inject()
    last = studio.build_inside()
    assert last.finished.unknown == (OUTPUTS if interface == "sync" else 0)
    studio.audit(unresolved(last), billed_unknown=REQUESTS if interface == "sync" else 0)


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_killed_while_a_forced_image_is_in_flight(emulator: Running, tmp_path: Path, interface: str) -> None:
    """The next build collects a paid replacement, although the old image is up to date."""
    studio = Studio.make(tmp_path, emulator, SPECS, interface=f'"{interface}"')
    before = studio.run("build", "--interface", interface)
    assert before.code == 0, before
    emulator.inject("hang-before:download")
    studio.kill_when(lambda: studio.calls("download") == 2 * REQUESTS, "--force", "--interface", interface)
    emulator.inject()
    assert studio.run("build", "--interface", interface).code == 0
    assert emulator.bill()["count"] == 2 * REQUESTS
    assert all(record["delivered"] for record in emulator.bill()["records"])
    assert studio.submissions == []
    studio.check_outputs()
    assert studio.build_inside().finished.up_to_date == OUTPUTS


def test_killed_between_the_ledger_and_the_state_after_a_forced_render(emulator: Running, tmp_path: Path) -> None:
    """The ledger says that the forced image is stored. The state's older copy of the row causes no render."""
    studio = Studio.make(tmp_path, emulator, SPECS)
    assert studio.build_inside().finished.complete
    assert studio.build_inside(force=True).finished.complete
    with contextlib.closing(sqlite3.connect(studio.root / ".qwenbuild" / "state.sqlite3", isolation_level=None)) as db:
        db.execute("UPDATE submissions SET outcome = NULL WHERE forced")
    assert studio.build_inside().finished.up_to_date == OUTPUTS
    assert emulator.bill()["count"] == 2 * REQUESTS


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_killed_several_times(emulator: Running, tmp_path: Path, interface: str) -> None:
    """After several killed builds of a sole user, each image is there and billed once, or it is UNKNOWN."""
    be_sole_user()
    dice = random.Random(interface)
    studio = Studio.make(tmp_path, emulator, cards(24), interface=f'"{interface}"', max_concurrency="4")
    emulator.inject("slow=0.05:20%", "slow=0.02")
    killed = 0
    for _ in range(4):
        seen = len(emulator.requests())
        with studio.started("build") as process:
            # A plan changes nothing and takes most of the time, so no build is killed before its first request.
            while len(emulator.requests()) == seen and process.poll() is None:
                time.sleep(0.005)
            time.sleep(dice.uniform(0, 0.25))
            killed += process.poll() is None
            process.kill()
    assert killed > 0
    emulator.inject()
    last = studio.build_inside()
    studio.audit(unresolved(last), billed_unknown=None if interface == "sync" else 0)
    if unresolved(last):
        assert studio.build_inside(resubmit=True).finished.complete
    studio.check_outputs()
    assert studio.submissions == []


@contextlib.contextmanager
def locked(studio: Studio) -> Iterator[None]:
    """Lock the ledger's file, so that builds wait before they write to it."""
    with contextlib.closing(sqlite3.connect(studio.store / "ledger" / "ledger.sqlite3", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")
