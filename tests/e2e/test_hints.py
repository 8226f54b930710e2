"""Commands that messages name work where the message is shown.

Each message of the source that names a command is one of `SCENARIOS`, which show it and then run the command, or one
of `ELSEWHERE`. A new message belongs into one of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest

from qwenbuild.emulator.server import Running
from tests.support import hints
from tests.support.hints import Message

from .conftest import FILES
from .harness import COMMAND, Sandbox
from .studio import KEY, Studio, cards
from .test_lost_answers import CELL, losing, studio_of, task_ids

pytest_plugins = ("tests.support.emulated",)

MESSAGES = hints.messages()


@dataclass
class Stage:
    """What scenarios are played with: folders, and the service."""

    folder: Path
    emulator: Running

    def sandbox(self, files: Mapping[str, str] = FILES) -> Sandbox:
        """Return a project of these files, by default one of eight images."""
        root = self.folder / "project"
        root.mkdir()
        return Sandbox(root, self.folder / "store").write(files)

    def built(self, files: Mapping[str, str] = FILES) -> Sandbox:
        """Return a project that was built."""
        sandbox = self.sandbox(files)
        assert sandbox.here("build").code == 0
        return sandbox

    def studio(self, count: int = 2, **table: str) -> Studio:
        """Return a project with this many images that cost money."""
        return Studio.make(self.folder, self.emulator, cards(count), **table)


@dataclass
class Shown:
    """A message as it was shown, the project, and what stands for the capital words in the commands.

    `code` is the exit code that the named commands have. `unrun` are commands that are for another place.
    """

    sandbox: Sandbox
    text: str
    fill: Mapping[str, str] = field(default_factory=dict)
    code: int = 0
    unrun: tuple[str, ...] = ()
    then: Callable[[], object] = bool


def said(sandbox: Sandbox, *arguments: str) -> str:
    """Return all that a command prints."""
    ran = sandbox.here(*arguments)
    return f"{ran.out}\n{ran.err}"


def on_a_terminal(sandbox: Sandbox, *arguments: str) -> str:
    """Return all that a command prints on a terminal without moves of the cursor."""
    import pty

    primary, secondary = pty.openpty()
    environ = {**sandbox.environ, "TERM": "dumb", "COLUMNS": "200"}
    command = [COMMAND, *arguments]
    process = subprocess.Popen(
        command, cwd=sandbox.root, env=environ, stdin=secondary, stdout=secondary, stderr=secondary
    )
    os.close(secondary)
    text = b""
    try:
        while part := os.read(primary, 65536):
            text += part
    except OSError:  # the command has closed the terminal
        pass
    finally:
        os.close(primary)
    process.wait(60)
    return text.decode()


# --- projects ---


def no_project(stage: Stage) -> Shown:
    sandbox = stage.sandbox({})
    return Shown(sandbox, said(sandbox, "plan"), then=lambda: sandbox.build_here())


def no_specs(stage: Stage) -> Shown:
    sandbox = stage.sandbox({"qwenbuild.toml": 'provider = "null"\n'})
    return Shown(sandbox, said(sandbox, "plan"), then=lambda: sandbox.build_here())


def a_first_spec(stage: Stage) -> Shown:
    sandbox = stage.sandbox({"qwenbuild.toml": 'provider = "null"\n'})
    return Shown(sandbox, said(sandbox, "init"))


def a_new_project(stage: Stage) -> Shown:
    sandbox = stage.sandbox({})
    text = said(sandbox, "init")
    files = [(sandbox.root / name).read_text("utf-8") for name in ("qwenbuild.toml", "specs/poster.toml")]
    return Shown(sandbox, "\n".join([text, *files]))


def images_without_a_project(stage: Stage) -> Shown:
    sandbox = stage.sandbox({"qwenbuild.toml": 'provider = "null"\n'})
    return Shown(sandbox, said(sandbox, "init", "--images", "git"), then=lambda: sandbox.build_here())


def a_taken_folder(stage: Stage) -> Shown:
    sandbox = stage.sandbox({"specs/poster.toml": "x"})
    return Shown(sandbox, said(sandbox, "init"), {"FOLDER": "new"}, then=lambda: sandbox.here("-C", "new", "plan"))


def no_such_command(stage: Stage) -> Shown:
    sandbox = stage.sandbox()
    return Shown(sandbox, said(sandbox, "garden"), then=lambda: sandbox.build_nothing("garden"))


def more_mistakes(stage: Stage) -> Shown:
    sandbox = stage.sandbox({**FILES, "specs/x.toml": "[image.x]\n[image.y]\n"})
    return Shown(sandbox, said(sandbox, "doctor"), code=2)


def help_texts(stage: Stage) -> Shown:
    sandbox = stage.built()
    return Shown(sandbox, said(sandbox, "plan", "--help"))


# --- plans, builds, outputs ---


def remarks(stage: Stage) -> Shown:
    spec = '[vars]\na = 1\nb = 1\nc = 1\nd = 1\n[image.x]\nprompt = "x"\n'
    sandbox = stage.sandbox({"qwenbuild.toml": 'provider = "null"\n', "specs/a.toml": spec})
    return Shown(sandbox, said(sandbox, "plan"))


def many(count: int) -> dict[str, str]:
    """Return a project of this many images."""
    spec = f'[image.x]\nprompt = "x"\nsize = "1:1"\nmatrix.seed = {{ start = 1, count = {count} }}\n'
    return {"qwenbuild.toml": 'provider = "null"\n', "specs/a.toml": spec}


def many_cells(stage: Stage) -> Shown:
    sandbox = stage.sandbox(many(60))
    return Shown(sandbox, said(sandbox, "plan"))


def too_many_to_explain(stage: Stage) -> Shown:
    sandbox = stage.sandbox(many(300))
    return Shown(sandbox, said(sandbox, "explain"))


def many_changes(stage: Stage) -> Shown:
    sandbox = stage.built(many(25))
    git = ["git", "-C", str(sandbox.root), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["add", "qwenbuild.lock"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], check=True, env=sandbox.environ)
    sandbox.edit("specs/a.toml", '"x"', '"y"')
    return Shown(sandbox, said(sandbox, "plan", "--base", "HEAD"))


def orphans(stage: Stage) -> Shown:
    sandbox = stage.built({**FILES, "specs/a.toml": many(40)["specs/a.toml"]})
    (sandbox.root / "specs/a.toml").unlink()
    text = said(sandbox, "plan") + said(sandbox, "status")
    return Shown(sandbox, text, then=lambda: sandbox.build_nothing())


def damaged_output(stage: Stage) -> Shown:
    sandbox = stage.built()
    (sandbox.root / "out" / min(sandbox.outputs())).write_bytes(b"no image")
    return Shown(sandbox, said(sandbox, "report"), then=lambda: sandbox.build_nothing())


def a_finished_build(stage: Stage) -> Shown:
    sandbox = stage.sandbox()
    return Shown(sandbox, on_a_terminal(sandbox, "build"))


def show_without_an_image(stage: Stage) -> Shown:
    sandbox = stage.built({**many(1), "specs/a.toml": '[image.x]\nprompt = "x"\noutput = "x.png"\n'})
    return Shown(sandbox, said(sandbox, "show"))


# --- lock ---


def no_lock(stage: Stage) -> Shown:
    sandbox = stage.sandbox()
    return Shown(sandbox, said(sandbox, "verify"), then=lambda: sandbox.here("verify"))


def missing_outputs(stage: Stage) -> Shown:
    sandbox = stage.built()
    shutil.rmtree(sandbox.root / "out")
    unrun = ("qwenbuild cache push",)  # for whoever has the images
    return Shown(sandbox, said(sandbox, "verify"), unrun=unrun, then=lambda: sandbox.here("verify"))


def an_old_lock(stage: Stage) -> Shown:
    sandbox = stage.built()
    sandbox.edit("specs/icons.toml", "sun", "star")
    return Shown(sandbox, said(sandbox, "build", "--locked"), then=lambda: sandbox.here("build", "--locked"))


def a_conflict(stage: Stage) -> Shown:
    sandbox = stage.built()
    path = sandbox.root / "qwenbuild.lock"
    text = path.read_text("utf-8")
    path.write_text(f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n", "utf-8")
    text = said(sandbox, "verify") + said(sandbox, "build", "--locked") + said(sandbox, "doctor")
    return Shown(sandbox, text, then=lambda: sandbox.here("verify"))


def a_lock_of_another_form(stage: Stage) -> Shown:
    sandbox = stage.built()
    path = sandbox.root / "qwenbuild.lock"
    path.write_text("# mine\n" + path.read_text("utf-8"), "utf-8")
    return Shown(sandbox, said(sandbox, "build", "--locked"), then=lambda: sandbox.here("build", "--locked"))


def a_damaged_lock(stage: Stage) -> Shown:
    sandbox = stage.built()
    path = sandbox.root / "qwenbuild.lock"
    path.write_text("version = ", "utf-8")
    text = said(sandbox, "plan")
    path.unlink()
    return Shown(sandbox, text, then=lambda: sandbox.here("verify"))


# --- choosing ---


def no_stars(stage: Stage) -> Shown:
    sandbox = stage.built()
    text = said(sandbox, "pick") + said(sandbox, "plan", "--picked")
    return Shown(sandbox, text, {"CELL": "icons/sun"}, then=lambda: sandbox.here("plan", "--picked"))


def not_starred(stage: Stage) -> Shown:
    sandbox = stage.built()
    sandbox.here("pick", "icons/sun")
    text = said(sandbox, "pick", "--drop", "icons/moon")
    return Shown(sandbox, text + (sandbox.root / "picks.toml").read_text("utf-8"))


def a_changed_star(stage: Stage) -> Shown:
    sandbox = stage.built()
    sandbox.here("pick", "icons/sun")
    sandbox.edit("specs/icons.toml", "the sun", "a star")
    sandbox.here("build")
    text = said(sandbox, "plan")
    sandbox.here("plan")
    return Shown(sandbox, text, {"CELL": "icons/sun"}, then=lambda: sandbox.here("plan", "--picked"))


def an_unknown_star(stage: Stage) -> Shown:
    sandbox = stage.built()
    sandbox.here("pick", "icons/sun", "icons/moon")
    sandbox.edit("specs/icons.toml", "[image.moon]", "[image.star]")
    return Shown(sandbox, said(sandbox, "plan", "--picked"), {"CELL": "icons/moon"})


def nothing_to_keep(stage: Stage) -> Shown:
    sandbox = stage.built()
    sandbox.here("pick", "garden/poster[seed=1,size=1664x928]")
    fill = {"CELL": "garden/poster --yes", "--picked": "--picked --yes"}  # nobody can be asked here
    return Shown(sandbox, said(sandbox, "keep"), fill, then=lambda: sandbox.build_nothing())


def kept_cells(stage: Stage) -> Shown:
    sandbox = stage.built()
    text = said(sandbox, "keep", "garden/poster", "-w", "seed=1", "--yes")
    return Shown(sandbox, text, then=lambda: sandbox.build_nothing())


def no_difference(stage: Stage) -> Shown:
    sandbox = stage.built()
    text = said(sandbox, "report", "--diff", "99") + said(sandbox, "report", "--diff", "1")
    return Shown(sandbox, text)


# --- doctor ---


def no_schema(stage: Stage) -> Shown:
    sandbox = stage.sandbox()
    return Shown(sandbox, said(sandbox, "doctor"))


def an_old_schema(stage: Stage) -> Shown:
    sandbox = stage.sandbox({**FILES, "specs/x.toml": '#:schema ./x.json\n[image.x]\nprompt = "x"\n'})
    return Shown(sandbox, said(sandbox, "doctor"))


# --- the service ---


def no_key(stage: Stage) -> Shown:
    studio = stage.studio()
    del studio.extra["DASHSCOPE_API_KEY"]
    return Shown(studio, said(studio, "plan"), code=1)


def a_lost_answer(stage: Stage) -> Shown:
    studio = stage.studio(1)
    stage.emulator.inject("drop-after:sync:1")
    text = on_a_terminal(studio, "build")
    stage.emulator.inject()
    text += said(studio, "plan") + said(studio, "cost")
    return Shown(studio, text, then=lambda: studio.build_nothing())


def a_lost_answer_of_sync(stage: Stage) -> Shown:
    studio = stage.studio(1)
    stage.emulator.inject("drop-after:sync:1")
    studio.here("build")
    stage.emulator.inject()
    (cell,) = [event["name"] for event in studio.here("plan", "--json").events if event["event"] == "step"]
    return Shown(studio, said(studio, "tasks", "adopt", "x", cell), then=lambda: studio.build_nothing())


def a_refused_prompt(stage: Stage) -> Shown:
    studio = stage.studio(1)
    stage.emulator.inject("moderation:sync:1")
    text = on_a_terminal(studio, "build")
    stage.emulator.inject()
    return Shown(studio, text, then=lambda: studio.build_nothing())


def a_failed_image(stage: Stage) -> Shown:
    studio = stage.studio(1)
    stage.emulator.inject("500:sync")
    text = on_a_terminal(studio, "build")
    stage.emulator.inject()
    return Shown(studio, text, then=lambda: studio.build_nothing())


def submitted_images(stage: Stage) -> Shown:
    studio = stage.studio(1, interface='"async"')
    text = on_a_terminal(studio, "build", "--detach") + said(studio, "plan") + said(studio, "cost")
    return Shown(studio, text, then=lambda: studio.build_nothing())


def submitted_with_another_provider(stage: Stage) -> Shown:
    studio = stage.studio(1, interface='"async"')
    studio.here("build", "--detach")
    (studio.root / "specs/cards.toml").write_text('[image.x]\nprompt = "x"\n', "utf-8")
    studio.edit("qwenbuild.toml", "[providers.dashscope]", 'provider = "null"\n[providers.dashscope]')
    return Shown(studio, said(studio, "plan"))


def missing_images(stage: Stage) -> Shown:
    studio = stage.studio(1)
    studio.here("build")
    shutil.rmtree(studio.root / "out")
    shutil.rmtree(studio.store)
    shutil.rmtree(studio.root / ".qwenbuild")
    text = on_a_terminal(studio, "build")
    return Shown(studio, text)


def candidates(stage: Stage) -> Shown:
    studio = studio_of(stage.folder, stage.emulator, 1)
    losing(studio, "drop-after:create", stage.emulator)
    text = said(studio, "tasks", "adopt", "nosuch", CELL) + said(studio, "tasks")
    (task,) = task_ids(studio)
    return Shown(studio, text, {"TASK": task, "CELL": CELL}, then=lambda: studio.here("build"))


def lost_answers_with_candidates(stage: Stage) -> Shown:
    studio = studio_of(stage.folder, stage.emulator, 1)
    stage.emulator.inject("drop-after:create")
    text = said(studio, "build")
    stage.emulator.inject()
    return Shown(studio, text + said(studio, "build"))


def a_task_of_another_cell(stage: Stage) -> Shown:
    one = studio_of(stage.folder / "a", stage.emulator, 1)
    other = studio_of(stage.folder / "b", stage.emulator, 2, store=one.store)
    losing(one, "drop-before:create", stage.emulator)
    assert other.here("build").code == 0
    (task,) = task_ids(one)
    return Shown(one, said(one, "tasks", "adopt", task, CELL))


def several_cells_to_adopt(stage: Stage) -> Shown:
    studio = studio_of(stage.folder, stage.emulator, 1, 2)
    losing(studio, "drop-after:create", stage.emulator)
    return Shown(studio, said(studio, "tasks", "adopt", "x", "dice/die"))


def a_finished_task(stage: Stage) -> Shown:
    studio = studio_of(stage.folder, stage.emulator, 1)
    studio.here("build")
    (task,) = task_ids(studio)
    return Shown(studio, said(studio, "tasks", "cancel", task))


def an_unknown_host(stage: Stage) -> Shown:
    studio = stage.studio(1, base_url=f'"{stage.emulator.base_url}"')
    studio.extra = {"DASHSCOPE_API_KEY": KEY}
    text = said(studio, "plan") + said(studio, "trust")
    assert studio.here("trust", "--yes").code == 0
    return Shown(studio, text + said(studio, "trust"))


SCENARIOS: Mapping[Callable[[Stage], Shown], tuple[str, ...]] = {
    no_project: ("`qwenbuild init` makes a project here", "` says more about it"),
    no_specs: ("`qwenbuild init` writes a first spec",),
    a_first_spec: ("next: qwenbuild plan",),
    a_new_project: ("\0qwenbuild build", "# A qwenbuild project.", "# The images of this project."),
    images_without_a_project: ("qwenbuild init",),
    a_taken_folder: ("name a new folder: qwenbuild init FOLDER",),
    no_such_command: ("to build an image: qwenbuild build",),
    more_mistakes: ("more mistakes; `qwenbuild plan` shows them all",),
    help_texts: ("Only starred cells; see `qwenbuild pick`", "Allow all that this project asks for"),
    remarks: ("more: `qwenbuild lint`",),
    many_cells: ("`qwenbuild plan --all` lists each cell",),
    too_many_to_explain: ("`qwenbuild plan` lists all",),
    many_changes: ("more; `qwenbuild plan --base",),
    orphans: ("no longer declared; `qwenbuild clean --orphans`", "undeclared output"),
    damaged_output: ("`qwenbuild build --overwrite` replaces files",),
    a_finished_build: ("`qwenbuild report --open` shows the images",),
    show_without_an_image: ("qwenbuild show out/x.png",),
    no_lock: ("`qwenbuild build` writes it",),
    missing_outputs: ("`qwenbuild build` brings back what is missing", "a remote cache may have them", "ask whoever"),
    an_old_lock: ("`qwenbuild build` renders and locks what is new",),
    a_conflict: ("`qwenbuild lock` resolves them", "`qwenbuild lock` resolves it"),
    a_lock_of_another_form: ("`qwenbuild lock` writes it anew",),
    a_damaged_lock: ("restore it from your repository",),
    no_stars: ("no cell is starred; `qwenbuild pick CELL`", "`qwenbuild pick CELL` stars one"),
    not_starred: ("`qwenbuild pick` lists the stars", "# The starred cells."),
    a_changed_star: ("`qwenbuild pick CELL` stars the new image",),
    an_unknown_star: ("`qwenbuild pick --drop CELL` removes a star",),
    nothing_to_keep: ("`qwenbuild keep CELL",),
    kept_cells: ("`qwenbuild gc` keeps them for 90 days", "`qwenbuild clean --orphans` removes the other files"),
    no_difference: ("`qwenbuild log` lists the builds", "`qwenbuild diff"),
    no_schema: ("`qwenbuild schema` writes it",),
    an_old_schema: ("qwenbuild schema >",),
    no_key: ("`qwenbuild doctor` says where it looks",),
    a_lost_answer: (
        "`qwenbuild tasks` asks the service about the unknown images",
        "`qwenbuild tasks` asks the service; `qwenbuild build --resubmit`",
        "without an answer; see `qwenbuild tasks`",
    ),
    a_lost_answer_of_sync: ("requests of the sync interface make no tasks",),
    a_refused_prompt: ("`qwenbuild build --retry-failed` sends",),
    a_failed_image: ("`qwenbuild build` tries again what failed",),
    submitted_images: (
        "`qwenbuild tasks` shows how far",
        "`qwenbuild build` collects what is there",
    ),
    submitted_with_another_provider: ("collects what that account made",),
    missing_images: ("`qwenbuild plan` names the ways",),
    candidates: ("`qwenbuild tasks adopt TASK CELL`", "`qwenbuild tasks` lists the account's tasks"),
    lost_answers_with_candidates: ("`qwenbuild tasks` shows the tasks that may", "`qwenbuild tasks` shows more"),
    a_task_of_another_cell: ("`qwenbuild tasks` lists the candidates of each cell",),
    several_cells_to_adopt: ("name one cell, as `qwenbuild plan`",),
    a_finished_task: ("only PENDING tasks can be cancelled",),
    an_unknown_host: ("`qwenbuild trust` shows what", "`qwenbuild trust --yes` approves", "`qwenbuild trust --revoke`"),
}
"""The scenarios, and parts of the messages that each one shows."""

ELSEWHERE: Mapping[str, str] = {
    "`qwenbuild explain-error NAME` says more": "tests/unit/terminal/test_style.py",
    "`qwenbuild explain-error NAME` says why": "tests/unit/terminal/test_error_view.py",
    "` lists one group": "tests/unit/terminal/test_error_view.py",
    "`qwenbuild explain-error` lists all names": "tests/unit/cli/commands/test_setup.py",
    "= more: qwenbuild explain-error": "tests/unit/pages/test_gallery.py",
    "`qwenbuild tasks` lists the other candidates": "tests/unit/providers/dashscope/test_rendering.py",
    "`qwenbuild tasks --json` lists all": "tests/unit/terminal/test_submission_view.py",
    "`qwenbuild plan` shows what a build would do": "two processes adopt at the same time",
    "nothing was changed; run `qwenbuild keep` again": "a spec is saved while `keep` asks",
    "`qwenbuild gc --unreferenced`": "the disk is nearly full",
    "make room there, or run `qwenbuild gc`": "the disk is full: tests/unit/storage/test_store_faults.py",
    "useless files; `qwenbuild gc` removes them": "the store has leftovers of a killed build",
    "run `qwenbuild cache push`, or let git have the images": "the user names a remote cache first",
    "`qwenbuild cache push` stores them there": "the remote cache is too slow for a build",
    "`qwenbuild cache push` shares them": "tests/unit/cli/commands/test_choose.py",
    "`qwenbuild plan --all` lists the cells": "tests/unit/pages/test_sheet_grid.py",
    "\0; `qwenbuild plan --all`": "a narrow terminal: tests/unit/terminal/test_plan_overview.py",
    "`qwenbuild build` collects the images": "only the real service bills: tests/unit/terminal/test_cost_view.py",
    "`qwenbuild status` lists them": "tests/unit/terminal/test_live_view.py",
    "requests without a result: \0; `qwenbuild tasks` lists them": "tests/unit/engine/test_checkup.py",
    "`qwenbuild doctor` compares the workflow": "tests/unit/providers/comfyui/test_answers.py",
    "`qwenbuild doctor` shows which models it serves": "tests/unit/providers/images/test_answers.py",
}
"""Parts of messages that no scenario shows, and where they are shown or what makes them hard to show."""


def of(part: str) -> list[Message]:
    """Return the messages that hold a text."""
    return (
        [it for it in MESSAGES if part in it.text]
        if part != "qwenbuild init"
        else [it for it in MESSAGES if it.text == part]
    )


@pytest.mark.parametrize("message", MESSAGES, ids=str)
def test_each_command_that_a_message_names_exists(message: Message) -> None:
    """The command line knows the command, its options, and how many arguments it takes."""
    assert message.commands
    for command in message.commands:
        hints.check_parses(command)


def test_a_command_that_does_not_exist_is_found() -> None:
    """So is an option, and an argument that lacks or is one too many."""
    for command in ("qwenbuild hlep", "qwenbuild plan --strct", "qwenbuild diff", "qwenbuild status --json x --y"):
        with pytest.raises(click.UsageError):
            hints.check_parses(command)


def test_each_message_has_a_scenario() -> None:
    """A message that names a command is shown by a scenario, or the reason is stated why not."""
    parts = [*(part for parts in SCENARIOS.values() for part in parts), *ELSEWHERE]
    known = {message for part in parts for message in of(part)}
    assert [str(message) for message in MESSAGES if message not in known] == []
    assert [part for part in parts if not of(part)] == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda it: it.__name__)
def test_commands_work_where_they_are_named(
    scenario: Callable[[Stage], Shown], emulator: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is shown, each command that it names is carried out there, and has the promised effect."""
    monkeypatch.setattr(click, "launch", lambda url: 0)  # opens no browser
    shown = scenario(Stage(tmp_path, emulator))
    text = hints.one_line(shown.text)
    for part in SCENARIOS[scenario]:
        found = [match[0] for message in of(part) if (match := message.pattern.search(text))]
        assert found, f"{part} is not in:\n{shown.text}"
        for command in hints.commands_in(found[0]):
            if command in shown.unrun:
                continue
            ran = shown.sandbox.here(*hints.arguments(command, shown.fill))
            assert ran.code == shown.code, f"{command}\n{ran.out}{ran.err}"
    after = shown.then()
    assert getattr(after, "code", 0) == 0, after
