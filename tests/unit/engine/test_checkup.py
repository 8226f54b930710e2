"""The doctor's findings about files: store, folders, state, lock, schemas and git."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from qwenbuild.engine import doctor
from qwenbuild.finding import Finding, Level
from qwenbuild.request import Request, Size
from qwenbuild.storage import lock, lock_format
from qwenbuild.storage.claims import Intent
from qwenbuild.storage.ledger import Ledger
from qwenbuild.storage.store import Store
from tests.support.clinic import Clinic, wrong

pytest_plugins = ("tests.support.clinic",)


def test_the_store(clinic: Clinic) -> None:
    """The images in the store are counted. A file in place of the store is a failure with a hint."""
    folder = clinic.root.parent / "store"
    assert clinic.findings()["store"].claim == f"{folder}: not there yet; the first build creates it"
    Store(folder).put("a" * 64, b"image", b"{}")
    assert clinic.findings()["store"].claim == f"{folder}: 1 images, 0 MB"
    shutil.rmtree(folder)
    folder.write_text("in the way")
    found = clinic.findings()["store"]
    assert (found.level, found.hint) == (Level.FAIL, "move it away, or set QWENBUILD_CACHE_DIR")


def test_the_ledger(clinic: Clinic) -> None:
    """Its folder is shown, and what is in flight. A damaged ledger and a folder without locks are failures."""
    folder = clinic.root.parent / "store/ledger"
    assert clinic.findings()["ledger"].claim == f"{folder}: not there yet; the first paid request creates it"
    ledger = Ledger(folder)
    assert (clinic.findings()["ledger"].claim, clinic.findings()["ledger"].facts) == (str(folder), ())
    ledger.prepare()
    request = Request("dashscope", "qwen-image-plus", "a dog", "", Size(1328, 1328), 1, False, False)
    ledger.intend(Intent("k", request, "dashscope", "/p", "s/a"))
    assert clinic.findings()["ledger"].facts == ("requests without a result, of all projects: 1",)
    ledger.close()
    (folder / "ledger.sqlite3").write_bytes(b"damaged" * 4096)
    found = clinic.findings()["ledger"]
    assert (found.level, found.claim) == (Level.FAIL, f"{folder}/ledger.sqlite3: file is not a database")
    found = clinic.findings(QWENBUILD_LEDGER_DIR="/proc/self/nowhere")["ledger"]
    assert (found.level, found.hint) == (
        Level.FAIL, "set QWENBUILD_LEDGER_DIR to a folder on a local disk, the same for all of your projects"
    )  # fmt: skip


def test_the_place_of_the_store(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctor says where the store is and why, which store a cleaner may empty, and which one no build reads."""
    assert clinic.findings()["store"].facts == ("place: QWENBUILD_CACHE_DIR names it",)
    home = clinic.root.parent
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    old, new = home / "cache" / "qwenbuild", home / "data" / "qwenbuild"

    def found() -> list[Finding]:
        return [one for one in doctor.examine(clinic.root, {}) if one.subject == "store"]

    assert [(one.claim, one.facts) for one in found()] == [
        (f"{new}: not there yet; the first build creates it", ("place: the user data folder",))
    ]
    Store(old).put("a" * 64, b"image", b"{}")
    assert [(one.claim, one.facts) for one in found()] == [
        (
            f"{old}: 1 images, 0 MB",
            (
                "place: the user cache folder, because a store was there already",
                f"cleaners may empty it: move the store to {new} while no build runs",
            ),
        )
    ]
    Store(new).put("b" * 64, b"image", b"{}")
    _, second = found()
    assert (second.level, second.claim) == (Level.WARN, f"a second store is in {new}, and no build reads it")


def test_what_stands_in_the_way_of_a_build(clinic: Clinic) -> None:
    """A file in place of a folder, and an unreadable state, must be fixed."""
    clinic.write({".qwenbuild": "", "out2": "", "qwenbuild.toml": 'provider = "draft"\nout = "out2"\n'})
    found = clinic.findings()
    assert wrong(found)["project"] == "fail"
    (clinic.root / ".qwenbuild").unlink()
    clinic.write({".qwenbuild/state.sqlite3": "torn"})
    assert wrong(clinic.findings())["state"] == "fail"


def test_the_lock(clinic: Clinic) -> None:
    """An unreadable lock is a failure. A lock with a merge conflict is a warning."""
    pin = lock_format.Pin("poster.png", "poster", "a" * 64, "b" * 64, "qwen-image", 1)
    text = lock_format.render([pin])
    clinic.write({lock.NAME: text})
    assert clinic.findings()["lock"].claim == "1 output pinned"
    clinic.write({lock.NAME: text.replace("version = 1", "version = 99")})
    assert clinic.findings()["lock"].level is Level.FAIL
    head, record = text.split("\n\n", 1)
    clinic.write({lock.NAME: f"{head}\n\n<<<<<<< HEAD\n{record}=======\n{record}>>>>>>> other\n"})
    assert clinic.findings()["lock"].hint == "`qwenbuild lock` resolves it"


def test_schemas_of_editors(clinic: Clinic) -> None:
    """A schema that a spec names must exist and belong to this version. Its layout does not matter."""
    path = clinic.root / "specs/spec.schema.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8"))), "utf-8")
    assert clinic.findings()["schema"].claim == "current"
    path.write_text("{}")
    assert (
        clinic.findings()["schema"].claim == "specs/spec.schema.json is of another version: editors check specs wrongly"
    )
    path.unlink()
    missing = clinic.findings()["schema"]
    assert (missing.level, missing.hint) == (Level.WARN, "qwenbuild schema > specs/spec.schema.json")


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_a_repository(clinic: Clinic) -> None:
    """Git must ignore `.qwenbuild/`. Images are either ignored or committed."""

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(clinic.root), *arguments], check=True, capture_output=True)

    git("init")
    clinic.write({".gitignore": "*.lock\n.qwenbuild/\n"})
    assert clinic.findings()["lock"].claim == "git ignores qwenbuild.lock"
    clinic.write({".gitignore": ".qwenbuild/\nout/\n"})
    assert clinic.findings()["git"].claim == ".qwenbuild/ is ignored, out/ is ignored"
    clinic.write({".gitignore": "", "out/a.png": "x"})
    claims = [one.claim for one in doctor.examine(clinic.root, {"HOME": str(clinic.root)}) if one.subject == "git"]
    assert claims == [
        ".qwenbuild/ is not ignored by git, but belongs to this machine only",
        "out/ is neither ignored nor committed",
    ]
    clinic.write({".gitignore": ".qwenbuild/\n"})
    git("add", "out")
    assert clinic.findings()["git"].claim == ".qwenbuild/ is ignored, out/ is committed"
    clinic.write({".gitattributes": "out/**/*.png filter=lfs\n"})
    found = [one for one in doctor.examine(clinic.root, {"HOME": str(clinic.root)}) if one.subject == "git"]
    assert [one.claim for one in found] in (
        ["out/ belongs into Git LFS, which is not set up: git would commit whole images"],
        [".qwenbuild/ is ignored, out/ is in Git LFS"],
    )


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_git_runs_no_program_of_a_clone(clinic: Clinic) -> None:
    """Files in the project that look like a bare repository name a program for git; git itself would run it."""
    program = f"touch {clinic.root.as_posix()}/ran"
    config = f"[core]\nrepositoryformatversion = 0\nbare = false\nworktree = out\nfsmonitor = {program}\n"
    clinic.write({"HEAD": "ref: refs/heads/main\n", "config": config, "objects/x": "", "refs/x": "", "out/x": ""})
    clinic.findings()
    assert not (clinic.root / "ran").exists()
    subprocess.run(["git", "-C", str(clinic.root), "ls-files"], check=False, capture_output=True)
    assert (clinic.root / "ran").exists(), "git has not found the trap"
