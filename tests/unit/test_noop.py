from __future__ import annotations

import io
import os
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwenbuild import load, noop, noop_snapshot
from qwenbuild.cli.main import run
from qwenbuild.errors import ProjectError, QwenbuildError
from qwenbuild.noop_answers import shown
from tests.support.edits import EDITS, STARS, Place, made

COMMANDS: list[tuple[list[str], dict[str, Any]]] = [
    ([], {}),
    (["build", "-w", "seed=1"], {"where": ["seed=1"]}),
    (["build", "--overwrite", "b"], {"select": ["b"], "overwrite": True}),
    (["build", "--locked"], {"locked": True}),
    (["build", "--picked"], {"picked": True}),
]


pytest_plugins = ("tests.support.edits",)


@pytest.mark.slow
@pytest.mark.usefixtures("back_again")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    command=st.sampled_from(COMMANDS),
    below=st.booleans(),
    steps=st.lists(st.tuples(st.sampled_from([*EDITS, "build"]), st.integers(0, 10_000)), min_size=1, max_size=6),
)
def test_the_fast_path_agrees_with_the_slow_path(
    tmp_path_factory: pytest.TempPathFactory,
    command: tuple[list[str], dict[str, Any]],
    below: bool,
    steps: list[tuple[str, int]],
) -> None:
    """After any edits, the fast path returns None or the same count as the slow path."""
    place = made(tmp_path_factory.mktemp("place"), command[0], **command[1])
    if below:
        os.chdir(place.root / "specs")
        place.build()
    assert place.fast() == place.slow()
    for name, number in steps:
        if name != "build":
            EDITS[name](place, number)
        else:
            try:
                place.build()
            except QwenbuildError:
                continue
        count = place.fast()
        if count is not None:
            assert count == place.slow(), name


def fast_text(*arguments: str) -> str | None:
    """Return what the fast path prints, None if it does not answer."""
    found = noop.find(arguments)
    return shown(*found, in_colour=False) if found else None


def slow_text(*arguments: str) -> str:
    """Return what the slow path prints."""
    with redirect_stdout(io.StringIO()) as said, redirect_stderr(io.StringIO()):
        run(list(arguments))
    return said.getvalue()


@pytest.mark.usefixtures("back_again")
@pytest.mark.parametrize("name", EDITS)
def test_each_edit(tmp_path: Path, name: str) -> None:
    """For the first variants of each edit, the fast path answers nothing, or what the slow path answers."""
    place = made(tmp_path)
    for number in range(3):
        EDITS[name](place, number)
        count = place.fast()
        assert count is None or count == place.slow()
        for command in (["plan"], ["status"], ["status", "--json"], ["lock", "--check"]):
            text = fast_text(*command)
            assert text is None or text == slow_text(*command)
        try:
            place.build()
        except QwenbuildError:
            continue


@pytest.mark.usefixtures("back_again")
def test_inputs_of_the_future(tmp_path: Path) -> None:
    """If the clock was set back, inputs have times in the future, and no snapshot is written."""
    place = made(tmp_path)
    path = place.root / noop_snapshot.NAME
    assert path.exists()
    path.unlink()
    later = time.time() + 3600
    os.utime(place.root / "qwenbuild.toml", (later, later))
    place.build()
    assert not path.exists()
    os.utime(place.root / "qwenbuild.toml")
    place.build()
    assert path.exists()


@pytest.mark.usefixtures("back_again")
@pytest.mark.parametrize("kind", ["pipe", "device", "hole"])
def test_a_snapshot_that_is_no_snapshot(tmp_path: Path, kind: str) -> None:
    """A pipe would be waited for, a device has no end, and a hole of a terabyte takes all memory: none is read."""
    place = made(tmp_path)
    path = place.root / noop_snapshot.NAME
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(1 << 40)
    assert place.fast() is None
    if kind in ("pipe", "device"):
        with pytest.raises(ProjectError, match="neither a file nor a folder"):
            place.build()
        path.unlink()
    place.build()
    assert place.fast() == place.slow()
    assert path.is_file()


@pytest.mark.usefixtures("back_again")
def test_special_files_that_a_snapshot_leads_to(tmp_path: Path) -> None:
    """Pipes in the places of the lock and of a folder of outputs are not waited for."""
    place = made(tmp_path)
    lock = place.root / ".qwenbuild/lock"
    content = (place.root / noop_snapshot.NAME).read_bytes()
    os.mkfifo(place.root / "pipe")
    snapshot = noop_snapshot.read(str(place.root))
    texts = snapshot.answers, snapshot.json, snapshot.status, snapshot.inputs
    parts = snapshot.numbers, [bytes(snapshot.digests)], texts
    folders = [(b"pipe" if folder == b"out/b" else folder, names) for folder, names in snapshot.folders]
    noop_snapshot.save(str(place.root), noop_snapshot.pack(*parts, folders, snapshot.cells))
    assert place.fast() is None
    (place.root / noop_snapshot.NAME).write_bytes(content)
    assert place.fast() == place.slow()
    lock.unlink()
    lock.symlink_to("../pipe")
    assert place.fast() is None


@pytest.mark.usefixtures("back_again")
def test_a_snapshot_is_written_into_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's link in the place of the temporary file is replaced, whatever the user has approved."""
    monkeypatch.setenv("QWENBUILD_TRUST_PROJECT", "1")
    place = made(tmp_path)
    victim = tmp_path / "precious"
    victim.write_bytes(b"mine")
    (place.root / f"{noop_snapshot.NAME}.tmp").symlink_to(victim)
    (place.root / noop_snapshot.NAME).unlink()
    place.build()
    assert place.fast() == place.slow()
    assert victim.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("arguments", "build", "start", "as_json", "junit"),
    [
        ([], [], "", False, ""),
        (["build"], [], "", False, ""),
        (["-C", "specs", "--json"], [], "specs", True, ""),
        (["-Cspecs", "build"], [], "specs", False, ""),
        (["--project=specs", "--locked"], [], "specs", False, ""),
        (["--project", "specs", "build", "--junit", "x.xml"], [], "specs", False, "specs/x.xml"),
        (["build", "-j", "4", "--fail-fast", "--overwrite", "--max-cost", "5"], [], "", False, ""),
        (["build", "-k", "--keep-going", "-v", "--verbose", "-q", "--quiet"], [], "", False, ""),
        (["--color", "never", "-C", "specs", "build", "--color=always", "a"], ["a"], "specs", False, ""),
        (["--color=always", "status", "--json"], [], "", True, ""),
        (["build", "--color", "blue"], ["", "build", "--color", "blue"], "", False, ""),
        (["build", "--", "--color", "never"], ["--", "--color", "never"], "", False, ""),
        (["build", "-n"], ["-n"], "", False, ""),
        (["build", "-j", "0"], ["-j", "0"], "", False, ""),
        (["build", "--locked", "puppies"], ["puppies", "--locked"], "", False, ""),
        (["--tag", "--json", "--exclude", "--locked"], ["--tag", "--json", "--exclude", "--locked"], "", False, ""),
        (["build", "--json", "-w", "--json"], ["-w", "--json"], "", True, ""),
        (["build", "--provider", "null", "--json"], ["--provider", "null"], "", True, ""),
        (["build", "--", "--json"], ["--", "--json"], "", False, ""),
        (["build", "--force"], ["--force"], "", False, ""),
        (["plan", "--json"], [""], "", True, ""),
        (["plan", "--all"], ["", "--all"], "", False, ""),
        (["-C", "specs", "plan", "a", "-w", "seed=1", "--overwrite"], ["a", "-w", "seed=1"], "specs", False, ""),
        (["--profile", "p", "--var", "a=1"], ["--profile", "p", "--var", "a=1"], "", False, ""),
        (["plan", "--var", "a=1"], ["", "--var", "a=1"], "", False, ""),
        (["status", "--profile", "p"], [""], "", False, ""),
        (["lock", "--check", "--profile", "p"], [""], "", False, ""),
        (["status", "--json"], [], "", True, ""),
        (["status", "a"], [""], "", False, ""),
        (["lock", "--check"], [], "", False, ""),
        (["lock"], [""], "", False, ""),
        (["verify"], [""], "", False, ""),
    ],
)
@pytest.mark.usefixtures("back_again")
def test_what_a_command_line_asks_for(
    tmp_path: Path, arguments: list[str], build: list[str], start: str, as_json: bool, junit: str
) -> None:
    """Options that make no difference to a build without work are left out of what it builds."""
    os.chdir(tmp_path)
    asked = noop.Asked(arguments)
    assert (asked.build, asked.as_json) == (build, as_json)
    assert asked.start == os.path.normpath(tmp_path / start)
    assert asked.junit == (str(tmp_path / junit) if junit else "")


def test_the_last_colour_counts() -> None:
    """As on the slow path."""
    for arguments, colour in (([], "auto"), (["--color", "never", "plan", "--color=always"], "always")):
        assert noop.Asked(arguments).colour == colour


@pytest.mark.usefixtures("back_again")
def test_several_command_lines_share_a_snapshot(tmp_path: Path) -> None:
    """A build of a selection keeps what is known of the whole project; a build with work forgets both."""
    place = made(tmp_path, ["build", "--provider", "null"], provider="null")
    place.arguments, place.options = [], {}
    place.build()
    assert len(noop_snapshot.read(str(place.root)).cells.split(b"\0")) == 12
    parts = Place(place.top, ["build", "a"], {"select": ["a"]})
    parts.build()
    assert (place.fast(), parts.fast()) == (6, 4)
    (place.root / "specs/b.toml").write_text('[image.y]\nprompt = "new"\n')
    assert (place.fast(), parts.fast()) == (None, None)
    parts.build()
    assert (place.fast(), parts.fast()) == (None, 4)
    place.build()
    assert (place.fast(), place.slow()) == (5, 5)


@pytest.mark.usefixtures("back_again")
def test_stars_concern_those_who_ask_for_them(tmp_path: Path) -> None:
    """An edit of `picks.toml` keeps no build from being instant, unless stars select; `plan` and `status` see it."""
    place = made(tmp_path)
    picked = Place(place.top, ["build", "--picked"], {"picked": True})
    (place.root / "picks.toml").write_text(STARS)
    assert (place.fast(), fast_text("plan"), fast_text("status")) == (6, None, None)
    place.build()
    picked.build()
    assert (place.fast(), picked.fast(), fast_text("plan"), fast_text("plan", "--picked")) == (
        6, 2, "6 up to date\n", "2 up to date\n",
    )  # fmt: skip
    (place.root / "picks.toml").write_text(STARS.replace("b/y", "b/z"))
    assert (place.fast(), picked.fast(), fast_text("plan"), fast_text("plan", "--picked")) == (6, None, None, None)


@pytest.mark.usefixtures("back_again")
def test_advice_about_stars_is_shown_each_time(tmp_path: Path) -> None:
    """A starred image that has changed keeps no build from being instant, but `plan` and `status` tell of it."""
    place = made(tmp_path)
    (place.root / "picks.toml").write_text(f'{STARS}image = "{64 * "0"}"\n')
    (place.root / "specs/b.toml").write_text('[image.y]\nprompt = "a red ball"\n')
    place.build()
    assert (place.fast(), fast_text("plan"), fast_text("status")) == (5, None, None)
    [advice] = load().plan().of_stars
    assert advice.claim == "1 starred image has changed since it was starred: a/x[row=one,seed=1]"


@pytest.mark.usefixtures("back_again")
def test_orphans_are_counted(tmp_path: Path) -> None:
    """They do not keep a build from being instant. One that goes away is noticed."""
    place = made(tmp_path)
    (place.root / "specs/b.toml").write_text('[image.y]\nprompt = "a red ball"\n')
    place.build()
    found = noop.find([])
    assert found
    assert (found[1].count, found[1].orphans) == (5, 1)
    (place.root / "out/b/z.png").unlink()
    assert place.fast() is None


@pytest.mark.usefixtures("back_again")
def test_a_project_between_is_another_project(tmp_path: Path) -> None:
    """A command that starts below a folder with a config of its own is about that project."""
    place = made(tmp_path)
    (place.root / "specs/deeper").mkdir()
    place.build()
    os.chdir(place.root / "specs/deeper")
    assert place.fast() == 6
    (place.root / "specs/pyproject.toml").write_text("")
    assert place.fast() is None
    os.chdir(place.root)
    assert noop.find(["-C", "specs/nowhere"]) is None
