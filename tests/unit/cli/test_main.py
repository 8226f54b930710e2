"""The whole command line: options, exit codes, and errors as text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qwenbuild import __version__
from qwenbuild.cli import main
from tests.support.workspace import Workspace

from .conftest import Command


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
        ("help bild", 'no command "bild"', 'did you mean "build"?'),
        ("help cache x", 'no command "cache x"', "`qwenbuild cache --help` lists what there is"),
        ("--color blue", "Invalid value for '--color': 'blue' is not one of", "`qwenbuild --help`"),
        ("build --color", "Option '--color' requires an argument", ""),
        ("show nosuch.png", "nosuch.png can't be read: No such file", ""),
        (
            "build --provider null --detach",
            '--detach leaves images with a service, and the provider "null" has none',
            "",
        ),
        (
            "plan --provider draft --interface async",
            'the provider "draft" takes no interface',
            '"dashscope" does',
        ),
        ("plan --provider null --region beijing", 'the provider "null" takes no region', '"dashscope" does'),
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


def test_help_of_a_command(command: Command) -> None:
    """`help` shows what `--help` shows, of all commands, of one, and of one below another."""
    assert command("help") == command("--help")
    assert command("help", "build") == command("build", "--help")
    assert command("help", "cache", "push") == command("cache", "push", "--help")


def test_why_is_explain(command: Command) -> None:
    """Under both names a command does the same."""
    assert command("why", "-w", "seed=1") == command("explain", "-w", "seed=1")


@pytest.mark.parametrize("line", ["--color always status", "status --color=always", "-C . --color=always status"])
def test_colours_in_a_pipe(command: Command, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--color` stands before or after the command, and decides for pipes, too."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.setenv(name, "")
    assert "\x1b[32m2 to render\x1b[0m" in command(*line.split())[1]
    assert "\x1b" not in command(*line.replace("always", "never").split())[1]


def test_colours_of_errors_in_a_pipe(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of a terminal."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.setenv(name, "")
    assert command("build", "nosuch", "--color", "always")[2].startswith("\x1b[31m\x1b[1merror:\x1b[0m ")


def test_a_quiet_build(command: Command) -> None:
    """It prints nothing if all is well, whether or not there is something to do."""
    assert command("build", "-q") == command("build", "--quiet", "-k") == (0, "", "")


def test_a_dry_run_is_a_plan(command: Command) -> None:
    """With the options of the build; nothing is built."""
    assert command("build", "-n", "-w", "seed=1") == command("plan", "-w", "seed=1")
    assert command("--dry-run", "--json")[1] == command("plan", "--json")[1]
    assert command("build", "-n", "--locked")[0] == 3
    assert command("plan")[1].splitlines()[-1] == "2 to render"


def test_the_order_of_options(command: Command) -> None:
    """`build` is the default command; its options need no command before them."""
    assert command("--json", "-w", "seed=1")[1].count("image_finished") == 1
    assert command()[0] == 0


def test_all_paths_start_in_the_folder_of_the_project_option(command: Command, project: Workspace) -> None:
    """Those of images, reports and new projects do, too; outputs are also named as messages print them."""
    project.write({"sub/x": ""})
    assert command("-C", "sub", "build", "--junit", "j.xml", "../out/s/a-1.png", "out/s/a-2.png")[0] == 0
    assert command("-C", "sub", "show", "../out/s/a-1.png")[0] == 0
    assert command("-C", "sub", "show", "out/s/a-1.png")[0] == 2
    assert command("-C", "sub", "report", "-o", "page")[0] == 0
    assert command("-C", "sub", "init", "new")[1].splitlines()[-1] == "next: cd sub/new && qwenbuild build"
    for path in ("sub/j.xml", "sub/page/index.html", "sub/new/qwenbuild.toml"):
        assert (project.root / path).exists()
