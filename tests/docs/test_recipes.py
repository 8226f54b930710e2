"""The how-to guides for CI, git, Make, Vite and pre-commit run in real clones, with real programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.workspace import Workspace

from .pages import REPOSITORY, block_of

ATTRIBUTES = ("qwenbuild.lock text eol=lf linguist-generated=true\n", "out/**/*.png binary\n")
CI, OTHERS = "docs/how-to/ci.md", "docs/how-to/make-vite-pre-commit.md"
WORKFLOW: dict[str, Any] = yaml.safe_load(block_of(".github/workflows/images.yml", CI).text)
JOBS: dict[str, Any] = WORKFLOW["jobs"]


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"the distribution's {program} is not installed")


class Machine:
    """A folder with a bare repository, clones of it, and a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        gh = folder / "bin/gh"
        gh.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$RUNNER_TEMP/gh"\n')
        gh.chmod(0o755)
        self.environ = {
            **os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "HOME": str(folder),
            "QWENBUILD_CACHE_DIR": str(folder / "store"), "RUNNER_TEMP": str(folder), "GITHUB_BASE_REF": "main",
            "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "PULL_REQUEST": "7",
            "PATH": f"{folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **{f"GIT_{who}_{it}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for it in ("NAME", "EMAIL")},
        }  # fmt: skip

    def run(self, script: str, place: Path, code: int = 0) -> str:
        """Run a script as GitHub does; return its output."""
        done = subprocess.run(
            ["bash", "-e", "-c", script], cwd=place, env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def job(self, name: str, place: Path) -> None:
        """Run the steps of a job, except for the installation."""
        for step in JOBS[name]["steps"]:
            if "pip install" not in step.get("run", "pip install"):
                self.run(step["run"], place)

    def clone(self, name: str) -> Path:
        self.run(f"git clone -q hub.git {name}", self.folder)
        return self.folder / name


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A project in a bare repository, with a clone of it at `work`."""
    machine = Machine(tmp_path)
    machine.run("git init -q --bare -b main hub.git && git init -q -b main work", tmp_path)
    Workspace(tmp_path / "work").write({
        "qwenbuild.toml": 'provider = "null"\n',
        "specs/a.toml": '[image.x]\nprompt = "a cat"\n[image.y]\nprompt = "b"\n',
        ".gitignore": ".qwenbuild/\nout/\nsite/\njunit.xml\n",
    })  # fmt: skip
    push = "git add . && git commit -qm images && git remote add origin ../hub.git && git push -q -u origin main"
    machine.run(push, tmp_path / "work")
    return machine


@pytest.mark.slow
def test_the_workflow(machine: Machine) -> None:
    """Main builds and commits the lock; a pull request gets its plan; a release builds what the lock pins."""
    machine.job("build", machine.clone("main"))
    assert machine.run("git log -1 --format=%s main", machine.folder / "hub.git") == "Lock images\n"
    again = machine.clone("again")
    machine.job("build", again)
    assert machine.run("git status --porcelain && git log --oneline | wc -l", again).split() == ["2"]
    release = machine.clone("release")
    machine.job("release", release)
    assert len(list((release / "out").rglob("*.png"))) == 2

    change = machine.clone("change")
    (change / "specs/a.toml").write_text('[image.x]\nprompt = "a dog"\n[image.y]\nprompt = "b"\n')
    machine.job("plan", change)
    plan = (machine.folder / "summary.md").read_text("utf-8")
    assert plan.startswith("### qwenbuild plan\n\n**1 to render**")
    assert "  - cat\n  + dog\n" in plan
    assert (machine.folder / "gh").read_text().split()[:3] == ["pr", "comment", "7"]
    assert "out of date" in machine.run("qwenbuild build --locked", change, code=3)


def test_the_workflow_is_safe() -> None:
    """No script contains an expression, only `build` sees a secret, and each job has only the permissions it needs."""
    for name, job in JOBS.items():
        assert not any("${{" in step.get("run", "") for step in job["steps"]), name
        assert ("secrets." in json.dumps(job)) == (name == "build")
    assert "pull_request_target" not in (REPOSITORY / CI).read_text("utf-8")
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert {name: job.get("permissions", {}) for name, job in JOBS.items()} == {
        "plan": {"contents": "read", "pull-requests": "write"}, "build": {"contents": "write"}, "release": {},
    }  # fmt: skip


@pytest.mark.slow
def test_the_hook(machine: Machine) -> None:
    """The real pre-commit refuses a commit if its lock is out of date, and accepts it otherwise."""
    config, work = block_of(".pre-commit-config.yaml", OTHERS).text, machine.folder / "work"
    offered = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text("utf-8"))[0]
    (hook,) = yaml.safe_load(config)["repos"][0]["hooks"]
    assert {key: hook[key] for key in hook if key != "language"} == {
        key: offered[key] for key in hook if key != "language"
    }
    (work / ".pre-commit-config.yaml").write_text(config)
    machine.run("pre-commit install && git add .", work)
    assert "qwenbuild.lock is out of date" in machine.run("git commit -qm hook", work, code=1)
    machine.run("qwenbuild build && git add . && git commit -qm hook", work)
    assert "undefined variable" in machine.run(
        "sed -i 's/a cat/a {{ cat }}/' specs/a.toml && git commit -qam wrong", work, code=1
    )


def test_the_attributes(machine: Machine) -> None:
    """Git treats the lock as text with LF, and images as LFS files or as binary."""
    work = machine.folder / "work"
    attributes = block_of(".gitattributes", "docs/how-to/git-and-lfs.md").text
    assert attributes.startswith(ATTRIBUTES[0])
    ask = "git check-attr text eol linguist-generated filter merge -- qwenbuild.lock out/a/x.png"
    for text, filtered in ((attributes, "lfs"), ("".join(ATTRIBUTES), "unspecified")):
        (work / ".gitattributes").write_text(text)
        said = {tuple(line.split(": ")[:2]): line.split(": ")[2] for line in machine.run(ask, work).splitlines()}
        assert (said["qwenbuild.lock", "text"], said["qwenbuild.lock", "eol"]) == ("set", "lf")
        assert (said["out/a/x.png", "text"], said["out/a/x.png", "filter"]) == ("unset", filtered)
    machine.run("git config core.autocrlf true && qwenbuild build && git add . && git commit -qm lock", work)
    machine.run("rm qwenbuild.lock && git checkout -q qwenbuild.lock && qwenbuild lock --check", work)
    assert b"\r" not in (work / "qwenbuild.lock").read_bytes()


@needs("make")
def test_the_makefile(machine: Machine) -> None:
    """The real make rebuilds the site if an image changed, and only then."""
    work = machine.folder / "work"
    (work / "Makefile").write_text(block_of("Makefile", OTHERS).text)
    assert "cp -R" in machine.run("make", work)
    assert "cp -R" not in machine.run("make", work)
    before = sorted(path.read_bytes() for path in (work / "site").rglob("*.png"))
    machine.run("sed -i 's/a cat/a dog/' specs/a.toml", work)
    assert "cp -R" in machine.run("make", work)
    assert sorted(path.read_bytes() for path in (work / "site").rglob("*.png")) != before


@needs("npm")
def test_the_scripts(machine: Machine) -> None:
    """The real npm runs the scripts before `dev` and `build`, so the bundler finds the images."""
    work = machine.folder / "work"
    package = json.loads(block_of("package.json", OTHERS).text)
    assert (package["scripts"]["dev"], package["scripts"]["build"]) == ("vite", "vite build")
    vite = machine.folder / "bin/vite"
    vite.write_text("#!/bin/sh\nls out/a\n")  # in place of a bundler that resolves imports
    vite.chmod(0o755)
    (work / "package.json").write_text(json.dumps(package))
    for script in ("dev", "build"):
        assert "x.png" in machine.run(f"rm -rf out && npm run -s {script}", work)
