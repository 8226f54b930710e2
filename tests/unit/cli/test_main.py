"""The whole command line: options, exit codes, and errors as text."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qwenbuild import __version__
from qwenbuild.cli import main
from tests.support.workspace import Workspace

Command = Callable[..., tuple[int, str, str]]

SPEC = '[image.a]\nprompt = "a"\nmatrix = { seed = [1, 2] }\n'


@pytest.fixture
def command(project: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command line in a project of two images; returns the exit code, standard output and standard error."""
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": SPEC})
    monkeypatch.chdir(project.root)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main.run(list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_version(command: Command) -> None:
    """`--version` prints the version, also without the quick path of `__main__`."""
    assert command("--version") == (0, f"qwenbuild {__version__}\n", "")


def test_the_help_that_is_kept(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file help.txt holds exactly what `--help` prints."""
    monkeypatch.setenv("COLUMNS", "80")
    kept = Path(main.__file__).parents[1].joinpath("help.txt").read_text("utf-8")
    again = """COLUMNS=80 python -c 'from qwenbuild.cli.main import run; run(["--help"])' > qwenbuild/help.txt"""
    assert command("--help") == (0, kept, ""), f"regenerate it: {again}"


@pytest.mark.parametrize(
    ("line", "claim", "hint"),
    [
        ("bild", 'no command "bild"', 'did you mean "build"?'),
        ("garden", 'no command "garden"', "to build an image: qwenbuild build garden"),
        ("build --nosuch", "No such option", "`qwenbuild build --help` lists the options and arguments"),
        ("build -j 0", "Invalid value for '-j'", "`qwenbuild build --help` lists the options and arguments"),
        ("build --max-renders -1", "Invalid value for '--max-renders'", "`qwenbuild build --help`"),
        ("build --max-cost much", "Invalid value for '--max-cost': much is not an amount", "`qwenbuild build --help`"),
        ("build --provider nosuch", 'unknown provider "nosuch"', ""),
        ("plan --region mars --provider dashscope", "", ""),
        ("build t", 'nothing is named "t"', ""),
        ("build -w seed", 'not a condition: "seed"', "write -w AXIS=VALUE"),
        ("build -w seed=9", "no cell matches seed=9", ""),
        ("show", "Missing argument 'IMAGE'", "`qwenbuild show --help`"),
        ("show nosuch.png", "nosuch.png can't be read: No such file", ""),
        (
            "build --provider null --detach",
            '--detach leaves images with a service, and the provider "null" has none',
            "",
        ),
        (
            "plan --provider draft --interface async",
            'the provider "draft" takes no --interface',
            "--provider dashscope",
        ),
        ("plan --provider null --region beijing", 'the provider "null" takes no --region', "--provider dashscope does"),
        ("tasks --status pendign", "Invalid value for '--status': 'pendign' is not one of", "`qwenbuild tasks --help`"),
        ("completion", "Missing argument '{bash|zsh|fish}'. Choose from: bash", "`qwenbuild completion --help`"),
        ("watch --no-preview --open", "--no-preview serves no page, but --open needs one", ""),
        ("schema nosuch", "Invalid value for '[spec|config]'", ""),
        ("gc --older-than soon", "Invalid value for '--older-than': soon is not an age", "`qwenbuild gc --help`"),
        ("-C nosuch plan", "no such folder: nosuch", ""),
    ],
)
def test_mistakes(command: Command, line: str, claim: str, hint: str) -> None:
    """A mistake in the command line is an error with a hint and exit code 2; standard output stays empty."""
    code, out, err = command(*line.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {claim}")
    assert hint in err


def test_exit_codes(command: Command, project: Workspace) -> None:
    """The exit code is 0 if all images are there, 1 if one failed, 2 if the project is wrong."""
    assert command("build")[0] == 0
    assert command("plan")[0] == 0
    os.rename("out/s", "out/t")
    project.write({"out/s": "a file"})
    assert command("build")[0] == 1
    project.write({"specs/s.toml": "[image"})
    assert command("build")[0] == command("plan")[0] == command("status")[0] == command("clean", "s")[0] == 2


def test_a_group_by_itself(command: Command) -> None:
    """A group without a command prints its help and exits with 2."""
    code, out, err = command("cache")
    assert (code, out) == (2, "")
    assert err == command("cache", "--help")[1]


def test_options_reach_the_engine(command: Command) -> None:
    """Options of the command line have the effect of the API's options."""
    code, out, _ = command("build", "--json", "s/a", "-w", "seed=2", "-j", "1", "--fail-fast", "--max-cost", "0")
    assert (code, json.loads(out.splitlines()[-1])["rendered"]) == (0, 1)
    code, out, _ = command("plan", "--json", "--force", "-w", "seed=2")
    assert [json.loads(line).get("reason") for line in out.splitlines()] == ["forced", None]
    code, _, err = command("plan", "--provider", "draft", "--max-renders", "0")
    assert (code, err.startswith("error: 2 new renders; at most 0 are allowed")) == (2, True)


def test_the_order_of_options(command: Command) -> None:
    """`build` is the default command; its options need no command before them."""
    assert command("--json", "-w", "seed=1")[1].count("image_finished") == 1
    assert command()[0] == 0


def test_gc(command: Command) -> None:
    """`gc` keeps images that projects use, unless `--used` is given."""
    command("build")
    code, out, _ = command("gc", "--max-size", "0B")
    assert (code, out.splitlines()[0]) == (0, "removed 0 images, 0 B")
    code, out, _ = command("gc", "--max-size", "0B", "--used", "--dry-run")
    assert (code, out.splitlines()[-1].startswith("would remove 2 images, ")) == (0, True)
    code, out, _ = command("gc", "--max-size", "0B", "--used")
    assert out.startswith("removed 2 images, ")
    assert command("plan", "--json")[1].count('"up_to_date"') >= 2


def test_tasks_need_a_service(command: Command, project: Workspace) -> None:
    """`tasks` asks the service; without a key it is an error that says so."""
    code, _, err = command("tasks")
    assert code in (1, 2)
    assert "key" in err


def test_clean(command: Command) -> None:
    """`clean` counts what it removes; `-n` lists it and removes nothing."""
    command("build")
    assert command("clean", "-n")[1] == "would remove  s/a-1.png\nwould remove  s/a-2.png\n"
    assert command("clean", "-w", "seed=1")[1] == "1 output removed\n"
    assert command("clean")[1] == "1 output removed\n"
    assert command("clean")[1] == "nothing to remove\n"


def test_the_emulator_explains_its_faults(command: Command) -> None:
    """`emulator --faults` explains how faults are written, and starts no server."""
    code, out, _ = command("emulator", "--faults")
    assert (code, "throttle" in out) == (0, True)
