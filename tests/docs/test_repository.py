"""What a repository needs: GitHub's files, the Docker image, the action, the hooks for pre-commit."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from qwenbuild.engine import scaffold
from tests.support.workspace import Workspace

from .pages import REPOSITORY, block_of
from .programs import said, serving

GITHUB = REPOSITORY / ".github"
ACTION: dict[str, Any] = yaml.safe_load((GITHUB / "actions/build/action.yml").read_text("utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
WORKFLOWS = [*GITHUB.glob("workflows/*.yml")]
HEALTH = GITHUB / "docker/health.py"
SCHEMAS = {
    "github-actions": [GITHUB / "actions/build/action.yml"],
    "github-workflows": WORKFLOWS,
    "github-issue-forms": [*GITHUB.glob("ISSUE_TEMPLATE/[0-9]*.yml")],
    "github-issue-config": [GITHUB / "ISSUE_TEMPLATE/config.yml"],
    "dependabot": [GITHUB / "dependabot.yml"],
}


# --- GitHub's files ---


@pytest.mark.parametrize("schema", SCHEMAS)
def test_githubs_files_have_their_form(schema: str) -> None:
    """GitHub's own schemas accept the action, the workflow, the forms for issues, and the config of Dependabot."""
    assert SCHEMAS[schema]
    said(sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *SCHEMAS[schema])


def test_an_audit_finds_nothing() -> None:
    """zizmor finds no text in scripts, no unpinned action, no permission too many."""
    said(Path(sys.executable).parent / "zizmor", "--offline", "--quiet", "--min-severity=medium", GITHUB)


def test_only_commits_of_actions_are_used() -> None:
    """An action of somebody else is named by its commit, with its version beside it."""
    files = [GITHUB / "actions/build/action.yml", *WORKFLOWS]
    used = [found for file in files for found in re.findall(r"uses: (?!\./)(.+)", file.read_text("utf-8"))]
    assert used
    assert [it for it in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", it)] == []


# --- the action ---


class Runner:
    """A machine of GitHub: its folders and files, and a project that is checked out."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.project = folder, folder / "project"
        self.output, self.summary = folder / "output", folder / "summary"
        self.python = folder / "python"
        scaffold.write(self.project)
        Workspace(self.project).write({"qwenbuild.toml": 'provider = "null"\n'})
        (folder / "temp").mkdir()
        self.environ = {
            **os.environ, "RUNNER_TEMP": str(folder / "temp"), "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.summary), "GITHUB_ACTION_PATH": str(GITHUB / "actions/build"),
            "HOME": str(folder),
        }  # fmt: skip

    def step(self, name: str, code: int = 0, **inputs: str) -> str:
        """Run the script of a step as GitHub does, with the environment variables that its inputs become."""
        (step,) = [it for it in STEPS if name in (it.get("id"), it.get("name"))]
        values = {"inputs." + key: inputs.get(key, it["default"]) for key, it in ACTION["inputs"].items()}
        values |= {"steps.python.outputs.python-path": str(self.python), "steps.places.outputs.store": self.store}
        given = {key: values[value[4:-3]] for key, value in step.get("env", {}).items()}
        shell = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"])
        return said(*shell, code=code, cwd=self.project, env={**self.environ, **given})

    @property
    def store(self) -> str:
        """The output `store`, empty as long as no step has written it."""
        text = self.output.read_text() if self.output.exists() else ""
        return text.partition("store=")[2].partition("\n")[0]


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A machine of GitHub on which this environment is what the action has installed."""
    runner = Runner(tmp_path)
    (tmp_path / "temp/qwenbuild").symlink_to(sys.prefix)
    runner.environ.pop("QWENBUILD_CACHE_DIR")
    runner.step("places")
    return runner


def test_the_action(runner: Runner) -> None:
    """By default it refuses what is not locked; it reports to the summary, to JUnit, and by its exit code."""
    assert runner.store == f"{runner.folder}/.local/share/qwenbuild"
    runner.step("run", code=3)
    assert runner.summary.read_text().startswith("### qwenbuild, exit code 3\n\n    $ qwenbuild build --locked\n")
    assert "    error: " in runner.summary.read_text()

    printed = runner.step("run", command="build -w 'palette=fresh *'", provider="draft")
    mark = re.match(r"::stop-commands::([0-9a-f]{32})\n", printed)
    assert mark
    assert printed.endswith(f"::{mark[1]}::\n")
    assert len(list((runner.project / "out").rglob("*.png"))) == 4
    junit = runner.folder / "temp/qwenbuild.xml"
    assert f"junit={junit}\n" in runner.output.read_text()
    assert junit.read_text().count("<testcase ") == 4
    assert (Path(runner.store) / "ac").is_dir()


@pytest.mark.parametrize("command", ["plan $(touch pwned)", "plan `touch pwned`", "plan '; touch pwned; '"])
def test_no_text_becomes_a_command(runner: Runner, command: str) -> None:
    """Inputs are words, whatever they hold."""
    runner.step("run", code=2, command=command)
    assert not (runner.project / "pwned").exists()


def test_a_quote_without_its_end_builds_nothing(runner: Runner) -> None:
    """A command that can't be split into words is no command."""
    assert "No closing quotation" in runner.step("run", code=1, command="build -w 'seed=1")
    assert not list((runner.project / "out").rglob("*.png"))


def test_what_the_action_installs(runner: Runner) -> None:
    """Its own commit, or what the input says, in an environment of its own."""
    (runner.folder / "temp/qwenbuild").unlink()
    runner.python.write_text(
        '#!/bin/bash\nif [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; else echo "${!#}"; fi\n'
    )
    runner.python.chmod(0o755)
    assert Path(runner.step("Install qwenbuild").strip()).resolve() == REPOSITORY
    assert runner.step("Install qwenbuild", version="git+https://a.example/x@1; b") == "git+https://a.example/x@1; b\n"


def test_no_script_holds_an_expression() -> None:
    """Inputs reach scripts as environment variables only."""
    scripts = [step["run"] for step in STEPS if "run" in step]
    for file in WORKFLOWS:
        jobs = yaml.safe_load(file.read_text("utf-8"))["jobs"].values()
        scripts += [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert len(scripts) > 5
    assert [it for it in scripts if "${{" in it] == []


def test_the_page_of_the_action() -> None:
    """It names each input with its default, each output, and steps that exist."""
    page = (REPOSITORY / "docs/how-to/github-action.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)) == {*ACTION["inputs"], *ACTION["outputs"]}
    for name in ("images", "render"):
        block = block_of(f".github/workflows/{name}.yml", "docs/how-to/github-action.md")
        (job,) = yaml.safe_load(block.text)["jobs"].values()
        (step,) = [it for it in job["steps"] if "OWNER/qwenbuild/" in it["uses"]]
        path = step["uses"].partition("@")[0].removeprefix("OWNER/qwenbuild/")
        assert (REPOSITORY / path / "action.yml").is_file()
        assert step.get("with", {}).keys() <= ACTION["inputs"].keys()


# --- the image ---


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with their arguments on one line."""
    text = re.sub(r"^#.*\n", "", (GITHUB / "docker/Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line]


def arguments(name: str) -> list[str]:
    """Return the arguments of each instruction of a name."""
    return [it for found, it in instructions() if found == name]


def test_the_dockerfile() -> None:
    """The image runs without root, gets its signals itself, knows no secret, and keeps the store in a volume."""
    names = [name for name, _ in instructions()]
    assert names[-2:] == ["ENTRYPOINT", "CMD"]
    assert "ADD" not in names
    assert arguments("USER") == ["1000:1000"]
    assert names.index("USER") > max(at for at, name in enumerate(names) if name == "RUN")
    assert json.loads(arguments("ENTRYPOINT")[0]) == ["qwenbuild"]
    assert arguments("STOPSIGNAL") == ["SIGINT"]
    assert f"QWENBUILD_CACHE_DIR={arguments('VOLUME')[0]}" in arguments("ENV")[0]
    assert re.findall("KEY|TOKEN|SECRET", " ".join(arguments("ENV") + arguments("ARG"))) == []
    (check,) = arguments("HEALTHCHECK")
    assert json.loads(check.partition(" CMD ")[2])[0] == "python"
    assert all(re.fullmatch(r"python:3\.\d+-slim(?: AS build)?", it) for it in arguments("FROM"))


def test_only_what_is_copied_goes_to_the_builder() -> None:
    """The list of what is left out lets through exactly what the Dockerfile copies."""
    lines = (GITHUB / "docker/Dockerfile.dockerignore").read_text("utf-8").splitlines()
    through = {line[1:] for line in lines if line.startswith("!")}
    copied = {path for it in arguments("COPY") if "--from" not in it for path in it.split()[:-1]}
    assert "*" in lines
    assert through == copied
    assert all((REPOSITORY / path).exists() for path in copied)


@pytest.mark.parametrize(
    ("command", "ready"),
    [("emulator --port 0 --host 0.0.0.0", "Ctrl-C"), ("watch --port 0", "page http")],
)
def test_the_health_check(project: Workspace, command: str, ready: str) -> None:
    """A server is healthy while its page answers, and not when it hangs; a process that serves nothing is healthy."""
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/a.toml": '[image.x]\nprompt = "a"\n'})
    with serving(sys.executable, "-m", "qwenbuild", *command.split(), ready=ready, cwd=project.root) as process:
        assert said(sys.executable, HEALTH, str(process.pid)) == ""
        assert said(sys.executable, HEALTH, str(os.getpid())) == ""
        process.send_signal(signal.SIGSTOP)  # it listens, and answers nothing
        assert "serves no page at ['http://127.0.0.1:" in said(sys.executable, HEALTH, str(process.pid), code=1)


def test_the_page_of_the_image(tmp_path: Path) -> None:
    """Its services have the form of Compose; the build waits for the emulator, on the same loopback."""
    block = block_of("compose.yaml", "docs/how-to/docker.md")
    (tmp_path / "compose.yaml").write_text(block.text, "utf-8")
    said(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", tmp_path / "compose.yaml")
    images = yaml.safe_load(block.text)["services"]["images"]
    assert images["network_mode"] == "service:emulator"
    assert images["depends_on"] == {"emulator": {"condition": "service_healthy"}}
    assert images["environment"]["DASHSCOPE_HTTP_BASE_URL"].startswith("http://127.0.0.1:8766/")
    assert f"store:{arguments('VOLUME')[0]}" in images["volumes"]


# --- how to contribute ---


def test_contributing_names_what_exists() -> None:
    """Each path of the guide exists, and so does each module that it runs."""
    text = (GITHUB / "CONTRIBUTING.md").read_text("utf-8")
    paths = set(re.findall(r"[ `(]((?:\.ci|docs|qwenbuild|tests)/[\w./-]*)", text))
    modules = set(re.findall(r"python -m ((?:tests|qwenbuild)\.[\w.]*\w)", text))
    assert len(paths) > 15
    assert [it for it in paths if not (REPOSITORY / it).exists()] == []
    assert [it for it in modules if not [*REPOSITORY.glob(it.replace(".", "/") + "*")]] == []
    for name, path in (("_OWN", "qwenbuild/providers/registry.py"), ("Asking", "qwenbuild/provider.py")):
        assert f"`{name}`" in text
        assert re.search(rf"\b{name}\b", (REPOSITORY / path).read_text("utf-8"))
