"""Broken projects, states, stores and disks: a clear error, nothing lost, and the next build continues."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from qwenbuild.storage.state_schema import WITH_PARAMETERS
from tests.e2e.harness import COMMAND, Ran, Sandbox
from tests.support.trouble import put_socket


def blobs(sandbox: Sandbox) -> list[Path]:
    """Return the store's images."""
    return sorted(path for path in (sandbox.store / "cas").rglob("*/*") if path.read_bytes()[:4] == b"\x89PNG")


def summary(ran: Ran) -> dict[str, int]:
    """Return what a build with `--json` did, by outcome."""
    names = ("rendered", "restored", "up_to_date", "failed", "edited", "unknown", "skipped")
    return {name: ran.finished[name] for name in names if ran.finished[name]}


# --- no project, no specs ---


def test_no_project(tmp_path: Path) -> None:
    """Outside a project every command reports that there is none, and exits with 2."""
    nowhere = Sandbox(tmp_path, tmp_path / "store")
    for command in ("build", "plan", "status", "clean"):
        ran = nowhere.here(command)
        assert ran.code == 2
        assert ran.err.startswith("error: no project here: neither qwenbuild.toml nor [tool.qwenbuild]")
        assert "hint: `qwenbuild init` makes a project" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_every_problem_at_once(sandbox: Sandbox) -> None:
    """One run reports every error of a project, and renders nothing."""
    sandbox.write({
        "specs/a.toml": '[image.x]\ntemplate = "nosuch.j2"\n',
        "specs/b.toml": '[image.x]\nprompt = "p"\nmatrix = { row = { file = "nosuch.csv" } }\n',
        "specs/c.toml": "[image.x\n",
        "specs/d.toml": '[image.x]\npromt = "p"\n',
        "specs/e.toml": '[image.x]\nprompt = "{{ nosuch }}"\n',
    })  # fmt: skip
    (sandbox.root / "specs/f.toml").write_bytes(b'[image.x]\nprompt = "\xff"\n')
    (sandbox.root / "specs/g.toml").mkdir()
    ran = sandbox.here("build")
    assert ran.code == 2
    for name in "abcdefg":
        assert re.search(rf"(--> |error: )specs/{name}.toml", ran.err), name
    assert sandbox.outputs() == {}


def test_two_cells_of_one_output(sandbox: Sandbox) -> None:
    """Cells whose outputs clash are an error that names both."""
    sandbox.write({"specs/a.toml": '[image.x]\nprompt = "p"\noutput = "x.png"\nmatrix = { seed = [1, 2] }\n'})
    ran = sandbox.here("build")
    assert ran.code == 2
    assert "two cells have the same output: x.png" in ran.err
    assert "a/x[seed=1]" in ran.err
    assert "a/x[seed=2]" in ran.err


# --- out/ ---


def test_out_is_a_file(sandbox: Sandbox) -> None:
    """If out/ is a file, the images are kept in the store. Once the file is gone, they are restored."""
    sandbox.write({"out": "a file"})
    ran = sandbox.here("build", "--json")
    assert (ran.code, summary(ran)) == (1, {"failed": 8})
    assert "the image itself is safe in the store" in ran.out
    assert (sandbox.root / "out").read_text() == "a file"
    (sandbox.root / "out").unlink()
    assert sandbox.build()["restored"] == 8


def test_out_is_a_link_to_itself(sandbox: Sandbox) -> None:
    """If out/ is a link to itself, the command fails before anything is rendered."""
    (sandbox.root / "out").symlink_to("out")
    for command in ("plan", "build", "status"):
        ran = sandbox.here(command)
        assert ran.code == 1
        assert "Too many levels of symbolic links" in ran.err
    assert not (sandbox.store / "ac").exists()


def test_out_is_a_link(sandbox: Sandbox, tmp_path: Path) -> None:
    """If out/ is a link to a folder, images are written into that folder, once the user has approved it."""
    (tmp_path / "elsewhere").mkdir()
    (sandbox.root / "out").symlink_to(tmp_path / "elsewhere")
    assert sandbox.here("trust", "--yes").code == 0
    assert sandbox.build()["rendered"] == 8
    assert (tmp_path / "elsewhere/icons/sun.png").is_file()


def test_a_link_that_leaves_out(sandbox: Sandbox, tmp_path: Path) -> None:
    """A link below out/ that leads outside is not followed, neither to write nor to remove files."""
    sandbox.build()
    (tmp_path / "elsewhere").mkdir()
    (sandbox.root / "out/icons").rename(tmp_path / "elsewhere/icons")
    (sandbox.root / "out/icons").symlink_to(tmp_path / "elsewhere/icons")
    cleaned = sandbox.here("clean")
    assert cleaned.out.endswith("6 outputs removed\n")
    assert len(list((tmp_path / "elsewhere/icons").iterdir())) == 2
    for path in (tmp_path / "elsewhere/icons").iterdir():
        path.unlink()
    ran = sandbox.here("build", "--json")
    assert (ran.code, summary(ran)) == (1, {"restored": 6, "failed": 2})
    assert "leads out of" in ran.out
    assert list((tmp_path / "elsewhere/icons").iterdir()) == []


def test_a_file_instead_of_a_folder(sandbox: Sandbox) -> None:
    """If a file has the name of an output's folder, only the outputs in that folder fail. The file is kept."""
    sandbox.write({"out/icons": "a file"})
    ran = sandbox.here("build", "--json")
    assert (ran.code, summary(ran)) == (1, {"rendered": 6, "failed": 2})
    again = sandbox.here("build", "--json")
    assert (again.code, summary(again)) == (1, {"up_to_date": 6, "failed": 2})
    assert (sandbox.root / "out/icons").read_text() == "a file"


@pytest.mark.parametrize("kind", ["folder", "link", "dangling", "fifo", "socket"])
def test_something_else_than_a_file_at_an_outputs_path(sandbox: Sandbox, kind: str) -> None:
    """A folder, link or special file at an output's path counts as edited. Even `--overwrite` keeps it."""
    sandbox.build()
    path = sandbox.root / "out/icons/sun.png"
    content = path.read_bytes()
    path.rename(sandbox.root / "copy.png")
    match kind:
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(sandbox.root / "copy.png")
        case "dangling":
            path.symlink_to("nowhere")
        case "fifo":
            os.mkfifo(path)
        case _:
            put_socket(path)
    before = os.lstat(path)
    words = {"folder": "a folder", "link": "a symbolic link", "dangling": "a symbolic link"}
    reason = f"edited: {words.get(kind, 'a special file')} is in its place"
    assert sandbox.changed() == {"icons/sun": reason}
    for arguments in ([], ["--overwrite"], ["--force"]):
        ran = sandbox.here("build", "--json", *arguments, "icons/sun")
        assert (ran.code, summary(ran)) == (0, {"edited": 1})
    assert sandbox.here("clean").out.endswith("7 outputs removed\n")
    assert os.lstat(path).st_ino == before.st_ino
    assert (sandbox.root / "copy.png").read_bytes() == content


# --- the state ---


def test_a_corrupt_state(sandbox: Sandbox) -> None:
    """If the state is not a database, the error says what to do. After that, nothing is rendered again."""
    sandbox.build()
    state = sandbox.root / ".qwenbuild/state.sqlite3"
    for content in (b"not a database, but long enough to be one" * 100, sqlite_of("CREATE TABLE x(y)", 1)):
        state.write_bytes(content)
        for command in ("build", "plan", "status", "clean"):
            ran = sandbox.here(command)
            assert ran.code == 2
            assert ran.err.startswith(f"error: {state}: ")
            assert "hint: move the file away" in ran.err
    state.unlink()
    assert sandbox.build()["up_to_date"] == 8


def test_a_damaged_record(sandbox: Sandbox) -> None:
    """If a recorded request is damaged, the plan only loses the details of its reason."""
    sandbox.build()
    state = sandbox.root / ".qwenbuild/state.sqlite3"
    sandbox.edit("specs/icons.toml", "Icon of", "Icon  of")
    for statement in ("UPDATE requests SET request = '{torn'", "UPDATE requests SET request = '[1]'"):
        with sqlite3.connect(state) as database:
            database.execute(statement)
        database.close()
        ran = sandbox.here("plan", "icons")
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.count("its request changed") == 2


def test_a_newer_state(sandbox: Sandbox) -> None:
    """A state that a newer qwenbuild wrote is an error."""
    sandbox.build()
    state = sandbox.root / ".qwenbuild/state.sqlite3"
    with sqlite3.connect(state) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    ran = sandbox.here("build")
    assert ran.code == 2
    assert (
        f"state.sqlite3 was written by a newer qwenbuild\n  = its format is 99, this one knows {WITH_PARAMETERS}\n"
        in ran.err
    )


@pytest.mark.parametrize("where", [".qwenbuild/state.sqlite3", ".qwenbuild/lock"])
def test_a_folder_instead_of_the_state(sandbox: Sandbox, where: str) -> None:
    """If a folder has the name of the state or of its lock, the error names the place."""
    (sandbox.root / where).mkdir(parents=True)
    ran = sandbox.here("build")
    assert ran.code == 2
    assert str(sandbox.root / ".qwenbuild") in ran.err


def test_a_file_instead_of_the_state_folder(sandbox: Sandbox) -> None:
    """If .qwenbuild is a file, a build fails with a clear error. `plan` works without the folder."""
    sandbox.write({".qwenbuild": "a file"})
    assert sandbox.here("plan").code == 0
    ran = sandbox.here("build")
    assert ran.code == 2
    assert ran.err.startswith(f"error: {sandbox.root / '.qwenbuild'} can't be written: ")


def sqlite_of(statement: str, version: int) -> bytes:
    """Return the bytes of a database on which `statement` was executed."""
    database = sqlite3.connect(":memory:")
    database.execute(statement)
    database.execute(f"PRAGMA user_version = {version}")
    content = database.serialize()
    database.close()
    return content


# --- the store ---


def test_a_store_that_is_a_file(sandbox: Sandbox) -> None:
    """If the store is a file, the build ends at once and names the store's path."""
    sandbox.store.write_text("a file")
    ran = sandbox.here("build")
    assert ran.code in (1, 2)
    assert f"store: {sandbox.store}" in ran.err
    assert "Traceback" not in ran.err
    sandbox.store.unlink()
    assert sandbox.build()["rendered"] == 8


@pytest.mark.parametrize("damage", ["flipped", "cut", "folder", "gone"])
def test_a_damaged_blob(sandbox: Sandbox, damage: str) -> None:
    """A damaged image of the store is never used. It is rendered again, once for equal requests."""
    sandbox.write({"specs/twins.toml": '[image.a]\nprompt = "t"\nseed = 1\n[image.b]\nprompt = "t"\nseed = 1\n'})
    sandbox.build()
    before = sandbox.outputs()
    for path in blobs(sandbox):
        path.chmod(0o644)
        content = path.read_bytes()
        match damage:
            case "flipped":
                path.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
            case "cut":
                path.write_bytes(content[:-5])
            case _:
                path.unlink()
                if damage == "folder":
                    path.mkdir()
    sandbox.build_nothing()
    shutil.rmtree(sandbox.root / "out")
    ran = sandbox.here("build", "--json")
    if damage == "folder":
        assert ran.code == 1
        return
    assert (ran.code, summary(ran)) == (0, {"rendered": 9, "restored": 1})
    assert sandbox.outputs() == before
    sandbox.build_nothing()


def test_a_damaged_result(sandbox: Sandbox) -> None:
    """A damaged action result is a miss."""
    sandbox.build()
    results = sorted((sandbox.store / "ac").rglob("*/*"))
    for number, path in enumerate(results):
        path.chmod(0o644)
        path.write_bytes((b"", b"{", b"[]", b"\xff" * 99, json.dumps({"outputFiles": [{}]}).encode())[number % 5])
    sandbox.build_nothing()
    shutil.rmtree(sandbox.root / "out")
    assert sandbox.build()["rendered"] == 8


# --- full and read-only disks ---


def limited(sandbox: Sandbox, most_bytes: int) -> Ran:
    """Build with a limit on the size of each file. A larger file can't be written."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    process = sandbox.popen("build", "--json", preexec_fn=limit)
    out, err = process.communicate(timeout=60)
    return Ran(process.returncode, out, err)


def test_a_limit_on_the_size_of_files(sandbox: Sandbox) -> None:
    """If images can't be written, the build stops with an error. The next build continues."""
    for most_bytes in (0, 300, 5_000):
        ran = limited(sandbox, most_bytes)
        assert ran.code in (1, 2), most_bytes
        assert "Traceback" not in ran.err
        assert sandbox.outputs() == {}
    sandbox.build()
    assert len(sandbox.outputs()) == 8


def can_mount() -> bool:
    """Return whether this user may mount file systems in a new namespace."""
    return (
        shutil.which("unshare") is not None
        and not subprocess.run(
            ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True, check=False
        ).returncode
    )


MOUNTS = ["a small disk"] if can_mount() else []


def mounted(sandbox: Sandbox, script: str, *arguments: str) -> list[Ran]:
    """Run a bash script that may mount file systems. Return the result of each command after `try`."""
    begin = f"""
    set -e
    try() {{
        code=0
        "$@" > "$LOG/out" 2> "$LOG/err" || code=$?
        printf '%s\\0%s\\0%s\\0' "$code" "$(cat "$LOG/out")" "$(cat "$LOG/err")"
    }}
    export LOG={sandbox.root.parent} PATH="{Path(COMMAND).parent}:$PATH"
    """
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", begin + script, "bash", *arguments],
        cwd=sandbox.root, env=sandbox.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    parts = done.stdout.split("\0")[:-1]
    return [Ran(int(code), out, err) for code, out, err in zip(*[iter(parts)] * 3, strict=True)]


@pytest.mark.parametrize("ballast_kb", [248, 216, 180, 140])
@pytest.mark.parametrize("disk", MOUNTS)
def test_a_full_disk(sandbox: Sandbox, disk: str, ballast_kb: int) -> None:
    """A full disk stops the build. Once there is space, finished images are not rendered again."""
    (sandbox.root.parent / "disk").mkdir()
    script = """
    mount -t tmpfs -o size=320k none "$LOG/disk"
    cp -r . "$LOG/disk/project"
    cd "$LOG/disk/project"
    export QWENBUILD_CACHE_DIR="$LOG/disk/store"
    head -c "$1"k /dev/zero > ../ballast || true
    try qwenbuild build --json
    rm ../ballast
    try qwenbuild build --json
    """
    first, second = mounted(sandbox, script, str(ballast_kb))
    assert "Traceback" not in first.err
    assert first.code in (1, 2)
    if first.code == 2:
        assert "error: " in first.err
        rendered = 0
    else:
        rendered = first.finished["rendered"]
        assert first.finished["failed"] > 0
        assert any("full" in text for text in first.finished["problems"])
    assert (second.code, second.finished["failed"]) == (0, 0), second.out + second.err
    assert second.finished["rendered"] <= 8 - rendered


@pytest.mark.parametrize("disk", MOUNTS)
def test_a_read_only_disk(sandbox: Sandbox, disk: str) -> None:
    """If out/, the store or the project is read-only, a build reports it. Commands that write nothing work."""
    sandbox.build("garden")
    before = sandbox.outputs()
    script = """
    seal() { mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"; }
    seal out; try qwenbuild build --json; umount out
    seal "$QWENBUILD_CACHE_DIR"; sed -i 's/Icon of/Icon  of/' specs/icons.toml
    try qwenbuild build --json; try qwenbuild build --json garden; umount "$QWENBUILD_CACHE_DIR"
    cd ..; seal project; cd project; try qwenbuild build; try qwenbuild plan; try qwenbuild status
    """
    no_out, no_store, restored, no_project, plan, status = mounted(sandbox, script)
    assert (no_out.code, summary(no_out)) == (1, {"failed": 2, "up_to_date": 6})
    assert "Read-only file system" in no_out.out
    assert (no_store.code, no_store.finished["failed"] > 0) == (1, True)
    assert "its file system is read-only" in no_store.out
    assert (restored.code, summary(restored)) == (0, {"up_to_date": 6})
    assert (no_project.code, no_project.err.splitlines()[0].endswith("Read-only file system")) == (2, True)
    assert (plan.code, plan.err) == (0, "")
    assert (status.code, status.err) == (0, "")
    assert before.items() <= sandbox.outputs().items()
    assert sandbox.build()["failed"] == 0


# --- habits from other tools ---


HABITS = {
    'vars = "vars.csv"': 'expected a table; a data file is an axis: matrix.row = { file = "…" }',
    '[image.x]\nprompt = "{{ row.t }}"\nmatrix.row = "d.csv"': "a data file is named in a table: row = { file = ",
    '[image.x]\nprompt = "{{ env.CITY }}"': "templates can't read the environment: --var CITY=",
    '[vars]\nt = "x"\n[image.x]\nprompt = "{{ vars.t }}"': "variables and axes stand alone: {{ t }}",
    '[image.x]\nprompt = "A"\nwidth = 512': 'size has both: size = "16:9", or size = "1328x1328"',
    '[image.x]\nprompt = "A"\ncfg_scale = 7': "the service has no such setting: leave it out",
    '[image.x]\nprompt = "A"\nbatch_size = 4': "for several images of one prompt: seed = { count = 4 } in the matrix",
    '[image.x]\nprompt = "A"\nmatrix.seed = "1-10"': "several are [1, 2] or { start = 1, count = 10 }",
    '[image.x]\nprompt = "A"\nsize = [1024, 1024]': 'expected a text such as "16:9" or "1328x1328"',
    '[image.x]\nprompt = ["A", "B"]': "expected a text in quotes; several texts are an axis of the matrix",
    '[image.x]\ntemplate = "templates/poster.j2"': 'did you mean "poster.j2"?',
    '[[image]]\nname = "x"\nprompt = "A"': "expected a table for each image: [image.NAME]",
    '[poster]\nprompt = "A"': "an image is declared as [image.poster]",
    "image:\n  x:\n    prompt: A": "this is TOML: a value is written as key = value, a table as [image.NAME]",
    "[image.x]\nprompt = \u201cA cat\u201d": 'texts stand in straight quotation marks: "…"',
    '[image.x]\nprompt = "A"\noutput = "C:\\Users\\x.png"': "a backslash begins an escape: write / in paths",
}
"""Mistakes that people report at the trackers of other tools, and the hint for each."""


@pytest.mark.parametrize("spec", HABITS)
def test_habits_from_other_tools(sandbox: Sandbox, spec: str) -> None:
    """What is written as another tool has it is answered with what to write here."""
    ran = sandbox.write({"specs/x.toml": spec}).here("plan")
    assert ran.code == 2
    assert HABITS[spec] in ran.err


def test_prompts_as_other_tools_write_them(sandbox: Sandbox) -> None:
    """They are valid, so the plan warns: the images would cost money, and nobody wants them."""
    sandbox.write({
        "specs/x.toml": '[image.a]\nprompt = "A ${animal}"\nmatrix.animal = ["cat", "dog"]\n'
                        '[image.b]\nprompt = "file://prompts/b.txt"\n',
    })  # fmt: skip
    ran = sandbox.here("plan", "x")
    assert ran.code == 0
    assert ran.err == (
        "warning: axis `animal` changes no request: 1 of 2 cells are duplicates\n"
        " --> specs/x.toml:3:8\n"
        "  = hint: a template reads it as {{ animal }}, and not as ${animal}\n"
        "warning: the prompt of x/b is the path of a file\n"
        " --> specs/x.toml:5:10\n"
        '  = hint: template = "NAME" takes the text of a file in templates/\n'
    )


def test_overrides_as_other_tools_write_them(sandbox: Sandbox) -> None:
    """`seed=1` names no cell, but an option selects by it."""
    ran = sandbox.here("plan", "seed=1,2")
    assert ran.code == 2
    assert "  = hint: -w seed=1,2 selects by the values of an axis\n" in ran.err


def test_a_key_in_a_config_is_not_shown(sandbox: Sandbox) -> None:
    """The message says where a key belongs, and does not repeat it."""
    ran = sandbox.write({"qwenbuild.toml": 'api_key = "sk-0123456789abcdef"\n'}).here("plan")
    assert ran.code == 2
    assert "hint: a key never stands in a file: set DASHSCOPE_API_KEY" in ran.err
    assert "sk-0123" not in ran.err


def test_a_column_that_a_whole_file_lacks_is_told_once(sandbox: Sandbox) -> None:
    """The first row is shown; the others are counted."""
    sandbox.edit("specs/garden.toml", "flower.name", "flower.nam")
    ran = sandbox.here("plan")
    assert ran.code == 2
    assert ran.err.count("error:") == 1
    assert "   = 1 more row has the same problem\n   = specs/data/flowers.csv: line 3\n" in ran.err
