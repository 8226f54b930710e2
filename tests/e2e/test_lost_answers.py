"""Lost answers of the async interface: a match is certain, or it is no match."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.emulator.server import Running
from qwenbuild.events import Outcome
from qwenbuild.files.provenance import read_provenance_file
from qwenbuild.specs import user_config

from .studio import KEY, Studio, be_sole_user

pytest_plugins = ("tests.support.emulated",)

CELL = "dice/die[seed=1,size=1328x1328]"


def dice(*seeds: int, prompt: str = "a die", model: str = "qwen-image-plus") -> dict[str, str]:
    """Return a spec with one cell for each seed."""
    matrix = f'{{ size = ["1:1"], seed = {list(seeds)} }}'
    return {"dice": f'model = "{model}"\n[image.die]\nprompt = "{prompt}"\nmatrix = {matrix}\n'}


def studio_of(folder: Path, emulator: Running, *seeds: int, store: Path | None = None, **more: Any) -> Studio:
    """Return a project with one die for each seed. Projects with one store are on one machine."""
    made = Studio.make(folder, emulator, dice(*seeds, **more), interface='"async"')
    made.store = store or made.store
    return made


def losing(studio: Studio, fault: str, emulator: Running) -> None:
    """Build, and lose the answers that the fault hits; the service works again afterwards."""
    emulator.inject(fault)
    studio.build_inside()
    emulator.inject()


def age(studio: Studio, seconds: float) -> None:
    """Make the records of submissions older."""
    for path in (studio.store / "ledger" / "ledger.sqlite3", studio.root / ".qwenbuild" / "state.sqlite3"):
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE submissions SET intended_at_s = intended_at_s - ?", (seconds,))


def candidates(studio: Studio, *command: str) -> dict[str, list[tuple[str, str, int]]]:
    """Return (status, likeness, rivals) of each candidate that `plan` or `tasks` shows, by cell."""
    ran = studio.here(*(command or ("plan",)), "--json")
    assert ran.code == 0, ran.err
    return {
        event.get("name") or event["cell"]: [(it["status"], it["likeness"], it["rivals"]) for it in event["candidates"]]
        for event in ran.events
        if "candidates" in event
    }


def task_ids(studio: Studio) -> list[str]:
    """Return the ids of the account's tasks, the newest first."""
    return [event["id"] for event in studio.here("tasks", "--json").events if event["event"] == "task"]


@pytest.mark.parametrize("attempt", range(3))
def test_a_task_of_another_machine_is_never_adopted(emulator: Running, tmp_path: Path, attempt: int) -> None:
    """Project A's create is lost before the service accepts it; B has a task with the same prompt and another seed.

    The task is a candidate that the user can look at.
    """
    one = studio_of(tmp_path / "a", emulator, 1)
    other = studio_of(tmp_path / "b", emulator, 2)
    losing(one, "drop-before:create", emulator)
    assert other.build_inside().finished.rendered == 1
    built = one.build_inside()
    assert built.outcomes == {CELL: Outcome.UNKNOWN}
    assert one.outputs() == {}
    assert candidates(one) == {CELL: [("SUCCEEDED", "same", 0)]}
    other.audit()


def test_a_task_of_another_project_on_this_machine_is_no_candidate(emulator: Running, tmp_path: Path) -> None:
    """The ledger knows whose task it is, also after it was collected."""
    one = studio_of(tmp_path / "a", emulator, 1)
    other = studio_of(tmp_path / "b", emulator, 2, store=one.store)
    losing(one, "drop-before:create", emulator)
    assert other.build_inside().finished.rendered == 1
    assert one.build_inside().finished.unknown == 1
    assert candidates(one) == {CELL: []}
    (task,) = task_ids(one)
    ran = one.here("tasks", "adopt", task, CELL)
    assert ran.code == 2
    assert f"error: task {task} belongs to another cell" in ran.err
    assert "dice/die[seed=2,size=1328x1328]" in ran.err
    assert str(other.root) in ran.err


def test_adopting(emulator: Running, tmp_path: Path) -> None:
    """The user adopts a candidate; the next build collects and verifies it, and nothing is billed twice."""
    studio = studio_of(tmp_path, emulator, 1)
    losing(studio, "drop-after:create", emulator)
    assert candidates(studio) == {}
    shown = studio.here("tasks")
    (task,) = task_ids(studio)
    assert f"candidate {task}  SUCCEEDED  created " in shown.out
    assert "the same prompt" in shown.out
    assert f"candidate {task}" in studio.here("plan").out
    assert f"candidate {task}" in studio.here("explain", CELL).out
    ran = studio.here("tasks", "adopt", task, CELL)
    assert (ran.code, ran.out) == (0, f"   adopted  {CELL}  the next build collects the image\n")
    assert studio.changed() == {CELL: "reattach: submitted by an earlier build"}
    again = studio.here("tasks", "adopt", task, CELL)
    assert (again.code, f"{CELL} is not unknown: it has its task already" in again.err) == (2, True)
    assert studio.build_inside().finished.reattached == 1
    studio.audit()
    (image,) = (studio.root / "out").rglob("*.png")
    provenance = read_provenance_file(image)
    assert provenance and provenance["adopted"] is True
    late = studio.here("tasks", "adopt", task, CELL)
    assert (late.code, f"{CELL} has no lost answer: a build would find it up to date" in late.err) == (2, True)


def test_a_cell_can_be_named_as_on_the_command_line(emulator: Running, tmp_path: Path) -> None:
    """By its image if there is one cell, or by its output."""
    studio = studio_of(tmp_path, emulator, 1)
    losing(studio, "drop-after:create", emulator)
    (task,) = task_ids(studio)
    assert studio.here("tasks", "adopt", task, "dice/die").code == 0
    assert studio.build_inside().finished.reattached == 1


def test_what_can_not_be_adopted(emulator: Running, tmp_path: Path) -> None:
    """Each refusal says why, and what to do."""
    studio = studio_of(tmp_path, emulator, 1, 2)
    stranger = studio_of(tmp_path / "stranger", emulator, 9, prompt="another picture")
    models = studio_of(tmp_path / "models", emulator, 3, model="qwen-image")
    losing(studio, "drop-after:create:1", emulator)
    assert studio.here("tasks").code == 0
    (lost,) = [it for it in studio.engine().in_flight() if not it.handle]
    assert lost.search
    (own,) = [it.id for it in lost.search.candidates]
    for place in (stranger, models):
        assert place.build_inside().finished.rendered == 1
    other_model, other_prompt, *_ = task_ids(studio)
    cell = lost.cell
    (fine,) = [action.name for action in studio.actions if action.name != cell]

    def refusal(task: str, name: str) -> str:
        ran = studio.here("tasks", "adopt", task, name)
        assert (ran.code, ran.out) == (2, ""), ran.out
        return ran.err

    assert f"the account has no task {own[:-1]}x" in refusal(f"{own[:-1]}x", cell)
    assert f'did you mean "{own}"?' in refusal(f"{own[:-1]}x", cell)
    text = refusal(other_model, cell)
    assert f"task {other_model} can't belong to {cell}" in text
    assert "model qwen-image, created " in text
    text = refusal(other_prompt, cell)
    assert f"task {other_prompt} has another prompt than {cell}" in text
    assert "the task: another picture" in text
    assert "the cell: a die" in text
    assert "has no lost answer: a build would find it up to date" in refusal(own, fine)
    assert f"unknown: {cell}" in refusal(own, fine)
    assert "names 2 cells with different requests" in refusal(own, "dice")
    assert 'did you mean "dice/die"?' in refusal(own, "dice/dei")
    assert studio.engine().in_flight()[0].handle == ""


def test_another_account_says_nothing(emulator: Running, tmp_path: Path) -> None:
    """With another key neither a candidate is shown nor anything settled, and the message names the account."""
    studio = studio_of(tmp_path, emulator, 1)
    losing(studio, "drop-after:create", emulator)
    (task,) = task_ids(studio)
    studio.extra["DASHSCOPE_API_KEY"] = f"{KEY}-another"
    age(studio, 1000)
    assert studio.build_inside().finished.unknown == 1
    ran = studio.here("tasks", "adopt", task, CELL)
    assert ran.code == 2
    assert f"{CELL} was sent with another account" in ran.err
    assert "another API key" in ran.err
    assert "was sent to" in studio.here("tasks").out


@pytest.mark.parametrize("how", ["build", "tasks"])
def test_a_list_that_is_read_late_enough_settles_what_was_never_accepted(
    emulator: Running, tmp_path: Path, how: str
) -> None:
    """Nine minutes after the loss nothing is certain. After eleven, the cell is rendered, and billed once."""
    studio = studio_of(tmp_path, emulator, 1)
    losing(studio, "drop-before:create", emulator)
    age(studio, 9 * 60)
    assert studio.build_inside().finished.unknown == 1
    assert "no candidate; a list after " in studio.here("tasks").out
    age(studio, 2 * 60)
    if how == "tasks":
        shown = studio.here("tasks").out
        assert shown == f"not billed  {CELL}  the service has no task for it: the next build renders it\n"
        assert studio.changed() == {CELL: "render: never rendered"}
    ran = studio.here("build", "--json")
    assert ran.finished["rendered"] == 1
    reasons = [event["reason"] for event in ran.events if event["event"] == "image_started"]
    assert reasons == ["the service has no task for it: not billed" if how == "build" else "never rendered"]
    studio.audit()
    assert studio.here("tasks", "--json").events[0]["event"] == "task"


def test_tasks_that_are_certainly_others_do_not_count(emulator: Running, tmp_path: Path) -> None:
    """Those that failed, have another prompt, or were created much later."""
    studio = studio_of(tmp_path / "a", emulator, 1)
    stranger = studio_of(tmp_path / "b", emulator, 2, prompt="another picture")
    losing(studio, "drop-before:create", emulator)
    losing(stranger, "task-failed:create", emulator)
    assert stranger.build_inside().finished.rendered == 1
    emulator.advance(660)
    age(studio, 660)
    later = studio_of(tmp_path / "c", emulator, 3)
    assert later.build_inside().finished.rendered == 1
    assert studio.build_inside().finished.rendered == 1


def test_an_unexplained_task_keeps_a_cell_unknown(emulator: Running, tmp_path: Path) -> None:
    """A task of the model and the time may be the cell's own, however late the list is read."""
    studio = studio_of(tmp_path / "a", emulator, 1)
    losing(studio, "drop-before:create", emulator)
    assert studio_of(tmp_path / "b", emulator, 2).build_inside().finished.rendered == 1
    emulator.advance(3600)
    age(studio, 3600)
    assert studio.build_inside().finished.unknown == 1
    assert candidates(studio) == {CELL: [("SUCCEEDED", "same", 0)]}


def test_a_cell_that_the_lock_pins_is_not_rendered_anew(emulator: Running, tmp_path: Path) -> None:
    """It was not billed, but other bytes than the pinned ones need `--relock`."""
    studio = studio_of(tmp_path, emulator, 1)
    assert studio.build_inside().finished.rendered == 1
    lock = (studio.root / "qwenbuild.lock").read_bytes()
    for path in [*studio.store.glob("[ac]*/*/*"), *(studio.root / "out").rglob("*")]:  # of `ac` and `cas`
        if path.is_file():
            path.unlink()
    emulator.inject("drop-before:create")
    assert studio.build_inside(relock=True).finished.unknown == 1
    emulator.inject()
    age(studio, 660)
    (studio.root / "qwenbuild.lock").write_bytes(lock)
    assert studio.build_inside().finished.missing == 1
    assert emulator.bill()["count"] == 1


def test_a_sole_user_needs_no_order(emulator: Running, tmp_path: Path) -> None:
    """The same build finds the tasks whose answers were lost, and collects them."""
    be_sole_user()
    studio = studio_of(tmp_path, emulator, 1)
    emulator.inject("drop-after:create")
    built = studio.build_inside()
    assert built.outcomes == {CELL: Outcome.REATTACHED}
    emulator.inject()
    studio.audit()


def test_a_sole_user_after_a_kill(emulator: Running, tmp_path: Path) -> None:
    """The next build finds the task, also if the service's clock is 40 seconds ahead."""
    emulator.advance(40)
    studio = studio_of(tmp_path, emulator, 1)
    emulator.inject("hang-after:create")
    studio.kill_when(lambda: emulator.fired().get("hang-after:create"))
    emulator.inject()
    be_sole_user()
    assert studio.build_inside().finished.reattached == 1
    studio.audit()


def test_a_rival_in_the_ledger_stops_a_sole_user(emulator: Running, tmp_path: Path) -> None:
    """Two cells with one prompt lost their answers, and there is one task: nobody knows whose it is."""
    one = studio_of(tmp_path / "a", emulator, 1)
    other = studio_of(tmp_path / "b", emulator, 2, store=one.store)
    losing(one, "drop-after:create", emulator)
    losing(other, "drop-before:create", emulator)
    be_sole_user()
    for studio in (one, other):
        assert studio.build_inside().finished.unknown == 1
    assert candidates(one) == {CELL: [("SUCCEEDED", "same", 1)]}
    (task,) = task_ids(one)
    assert one.here("tasks", "adopt", task, CELL).code == 0
    assert one.build_inside().finished.reattached == 1
    one.audit()
    ran = other.here("tasks", "adopt", task, "dice/die")
    assert (ran.code, f"task {task} belongs to another cell" in ran.err) == (2, True)


def test_a_sync_call_is_in_no_list(emulator: Running, tmp_path: Path) -> None:
    """Its answer stays lost: no list of tasks proves anything about it."""
    studio = Studio.make(tmp_path, emulator, dice(1))
    losing(studio, "drop-before:sync", emulator)
    age(studio, 3600)
    assert studio.build_inside().finished.unknown == 1
    ran = studio.here("tasks", "adopt", "x", CELL)
    assert (ran.code, "requests of the sync interface make no tasks" in ran.err) == (2, True)
    assert studio.changed()[CELL].startswith("unknown: ")


def test_the_users_config_is_read_only_if_an_answer_was_lost(emulator: Running, tmp_path: Path) -> None:
    """A mistake in it stops only builds that need to know. They render nothing and say what is wrong."""
    path = user_config.path()
    assert path
    path.parent.mkdir(parents=True)
    path.write_text("[providers.dashscope]\nsole_users = true\n")
    studio = studio_of(tmp_path, emulator, 1)
    studio.build()
    studio.write({"specs/dice.toml": dice(1, 2)["dice"]})
    emulator.inject("drop-after:create")
    built = studio.build_inside()
    emulator.inject()
    assert built.finished.unknown == 1
    assert 'unknown key "sole_users" in [providers.dashscope]' in built.text
    again = studio.build_inside()
    assert (again.finished.unknown, 'did you mean "sole_user"?' in again.text) == (1, True)


def test_plan_asks_nobody(emulator: Running, tmp_path: Path) -> None:
    """It shows what the last build or `tasks` saw, and says how old that is."""
    studio = studio_of(tmp_path, emulator, 1)
    losing(studio, "drop-after:create", emulator)
    assert "`qwenbuild tasks` asks the service" in studio.here("plan").out
    studio.here("tasks")
    before = len(emulator.requests())
    shown = json.loads(studio.here("plan", "--json").out.splitlines()[0])
    assert len(emulator.requests()) == before
    assert (shown["verdict"], shown["is_whole"], len(shown["candidates"])) == ("unknown", True, 1)
    assert shown["decides_from_s"] > shown["searched_at_s"]
