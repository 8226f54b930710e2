"""Tests of completion: the items for a line, and the quoting for bash."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import click
import pytest
from click.shell_completion import CompletionItem
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.cli import completion
from tests.support.workspace import Workspace

SPEC = """\
[image.banner]
prompt = "{{ palette }}"
tags = ["web", "hero"]
matrix.palette = ["sunset oranges", "mint", "\\u001b[31m"]
matrix.seed = { start = 7, count = 2 }
[image.card]
prompt = "x"
tags = ["web"]
size = "1:1"
matrix.flower = { file = "flowers.csv" }
"""


@click.group()
@click.option("-C", "--project")
def main(project: str) -> None:
    """The root command, with the option that the completions read."""


@main.command()
@click.argument("select", nargs=-1, shell_complete=completion.select)
@click.option("-w", "--where", shell_complete=completion.where)
@click.option("--profile", shell_complete=completion.profiles)
@click.option("--var", shell_complete=completion.variables)
@click.option("--interface", shell_complete=completion.one_of("sync", "async"))
@click.option("--folder", shell_complete=completion.folders)
def plan(select: tuple[str, ...], where: str, profile: str, var: str, interface: str, folder: str) -> None:
    """A command with each kind of completion."""


@pytest.fixture
def posters(project: Workspace) -> Workspace:
    """A project with one spec and a data file."""
    return project.write({"specs/posters.toml": SPEC, "specs/flowers.csv": "id\nrose\nlily\n"})


Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem[Any]]]


def items(project: Workspace, complete: Complete, incomplete: str, *selected: str) -> list[tuple[str, str]]:
    """Return (type, value) of each completion of `incomplete` after the names `selected`."""
    with main.make_context("qwenbuild", ["-C", str(project.root), "plan"]) as root:
        context = click.Context(plan, parent=root)
        context.params["select"] = selected
        return [(item.type, item.value) for item in complete(context, plan.params[0], incomplete)]


@pytest.mark.parametrize(
    ("incomplete", "expected"),
    [
        ("", [("plain", "posters"), ("plain", "posters/banner"), ("plain", "posters/card")]),
        ("posters/c", [("plain", "posters/card")]),
        ("nosuch", [("file", "nosuch")]),
        ("posters/banner[", [("open", "posters/banner[palette="), ("open", "posters/banner[seed=")]),
        ("posters/banner[palette=m", [("open", "posters/banner[palette=mint,")]),
        ("posters/banner[palette=mint,", [("open", "posters/banner[palette=mint,seed=")]),
        ("posters/banner[palette=mint,seed=8", [("plain", "posters/banner[palette=mint,seed=8]")]),
        ("posters/nosuch[", []),
    ],
)
def test_names_and_cells_of_the_project(posters: Workspace, incomplete: str, expected: list[tuple[str, str]]) -> None:
    """A cell is closed by a bracket once it names every axis."""
    assert items(posters, completion.select, incomplete) == expected


@pytest.mark.parametrize(
    ("incomplete", "selected", "expected"),
    [
        ("f", (), [("open", "flower=")]),
        ("s", ("posters/card",), [("open", "size="), ("open", "seed=")]),
        ("seed=", (), [("plain", "seed=7"), ("plain", "seed=8")]),
        ("size=", (), [("plain", "size=1:1")]),
        ("flower=l", ("posters",), [("plain", "flower=lily")]),
        ("flower=", ("posters/banner[seed=7]",), []),
        ("palette=", (), [("plain", "palette=sunset oranges"), ("plain", "palette=mint")]),
        ("nosuch=", (), []),
        ("seed!=", (), [("plain", "seed!=7"), ("plain", "seed!=8")]),
        ("seed=8,", (), [("plain", "seed=8,7")]),
        ("palette!=mint,sun", (), [("plain", "palette!=mint,sunset oranges")]),
        ("palette=nosuch,m", (), [("plain", "palette=nosuch,mint")]),
        ("seed=7,8,", (), []),
    ],
)
def test_conditions_of_the_selected_images(
    posters: Workspace, incomplete: str, selected: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    """Axes come before fields; a value that a terminal can't show is left out."""
    assert items(posters, completion.where, incomplete, *selected) == expected


def test_axes_of_a_sheet(posters: Workspace) -> None:
    """Axes of the images come before what every cell has."""
    assert items(posters, completion.axes, "s") == [("plain", "seed"), ("plain", "spec"), ("plain", "size")]


def test_values_of_cells_are_written_as_names_write_them(posters: Workspace) -> None:
    """A value with a comma is in quotes, and the axes after it are completed."""
    posters.write({"specs/signs.toml": '[image.i]\nprompt = "x"\nmatrix = { w = ["a, b"], v = ["*", "]"] }\n'})
    assert items(posters, completion.select, "signs/i[w=") == [("open", 'signs/i[w="a, b",')]
    assert items(posters, completion.select, 'signs/i[w="a, b",v=') == [
        ("plain", 'signs/i[w="a, b",v=*]'),
        ("plain", 'signs/i[w="a, b",v="]"]'),
    ]
    assert items(posters, completion.where, "w=") == [("plain", "w=a, b")]
    assert items(posters, completion.where, "w=x,") == [("plain", 'w=x,"a, b"')]


@pytest.mark.parametrize(("incomplete", "expected"), [("", ["web", "hero"]), ("h", ["hero"]), ("x", [])])
def test_tags_of_all_images(posters: Workspace, incomplete: str, expected: list[str]) -> None:
    """Each tag comes once, in the order of the specs."""
    assert items(posters, completion.tags, incomplete) == [("plain", tag) for tag in expected]


def test_starred_cells_whose_stars_are_dropped(posters: Workspace) -> None:
    """After `--drop`, the starred cells are completed, also those that no spec declares."""
    posters.write({"picks.toml": 'version = 1\n[[pick]]\ncell = "old/cell"\n[[pick]]\ncell = "posters/card"\n'})
    with main.make_context("qwenbuild", ["-C", str(posters.root), "plan"]) as root:
        context = click.Context(plan, parent=root)
        context.params["drop"] = True
        found = completion.select(context, plan.params[0], "o")
    assert [item.value for item in found] == ["old/cell"]


def test_a_data_file_with_mistakes_has_no_values(posters: Workspace) -> None:
    """Completion never fails."""
    posters.write({"specs/flowers.csv": '"'})
    assert items(posters, completion.where, "flower=") == []


def test_fixed_values_and_folders(posters: Workspace) -> None:
    """Values are filtered here, folders by the shell."""
    assert items(posters, completion.one_of("sync", "async"), "a") == [("plain", "async")]
    assert items(posters, completion.folders, "ou") == [("dir", "ou")]


def test_installed_providers_are_completed(posters: Workspace) -> None:
    """Plugins are found like the built-in providers."""
    assert items(posters, completion.providers, "d") == [("plain", "dashscope"), ("plain", "draft")]


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_each_shell_has_a_script(shell: str) -> None:
    """The script asks `qwenbuild` through the environment variable."""
    script = completion.script(shell)
    assert f"{completion.VARIABLE}={shell}_complete" in script
    assert "%(" not in script


def answer(asked: str, capsysbinary: pytest.CaptureFixture[bytes]) -> bytes:
    completion.answer(main, asked)
    return capsysbinary.readouterr().out


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("qwenbuild pl", b"plain,plan\n"),
        ("qwenbuild plan --inter", b"plain,--interface\n"),
        ("qwenbuild plan --interface=s", b"plain,sync\n"),
        ("qwenbuild plan --folder x", b"dir,x\n"),
        ("qwenbuild plan 'po", b"plain,posters\nplain,posters/banner\nplain,posters/card\n"),
        ("qwenbuild plan -w palette=sun", b"plain,sunset\\ oranges\n"),
        ("qwenbuild plan -w palette!=mint,", b"plain,mint,sunset\\ oranges\n"),
        ("qwenbuild plan -w 'palette=sun", b"plain,palette=sunset oranges\n"),
        ("qwenbuild plan -w nosuch=", b""),
    ],
)
def test_bash_gets_the_rest_of_the_word(
    posters: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
    line: str,
    expected: bytes,
) -> None:
    """Bash keeps the part before `=`, unless a quote is open."""
    monkeypatch.chdir(posters.root)
    monkeypatch.setenv("COMP_LINE", line)
    assert answer("bash_complete", capsysbinary) == expected


@pytest.mark.parametrize("asked", ["bash_source", "tcsh_complete", "zsh_complete", "x", ""])
def test_an_unknown_request_gets_no_answer(asked: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Nor does a request without the variables that its shell sets."""
    assert answer(asked, capsysbinary) == b""


_WORDS = st.text(st.sampled_from("ab $`\"'\\!;&|<>()[]{}*?#~=:,"), min_size=1, max_size=8)


@given(_WORDS)
def test_a_quoted_value_is_one_word_of_the_shell(value: str) -> None:
    """Outside of quotes and in single quotes, the shell reads back exactly the value."""
    assert shlex.split(completion._escaped(value, "")) == [value]
    assert shlex.split("'" + completion._escaped(value, "'") + "'") == [value]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a b", (["a", "b"], "", 0)),
        ("a ", (["a", ""], "", 0)),
        ("a x=1", (["a", "x=1"], "", 2)),
        ("a 'x=1", (["a", "x=1"], "'", 0)),
        ('a x="1 2', (["a", "x=1 2"], '"', 2)),
        ("a 'b'c", (["a", "bc"], "", 1)),
        ("a b\\ c", (["a", "b c"], "", 0)),
        ('a "b\\"c', (["a", 'b"c'], '"', 0)),
        ("a 'b\\", (["a", "b\\"], "'", 0)),
    ],
)
def test_a_line_is_parsed_like_bash_does(line: str, expected: tuple[list[str], str, int]) -> None:
    """Words without quotes, the open quote, and the characters of the last word that bash keeps."""
    assert completion._parse_line(line) == expected


def test_names_of_errors(posters: Workspace) -> None:
    """They are those that `explain-error` knows."""
    assert items(posters, completion.error_names, "data-") == [("plain", "data-header"), ("plain", "data-row-length")]


def test_profiles_and_variables(posters: Workspace) -> None:
    """After `name=` the value is the user's to type, so no space follows."""
    config = (
        "[profiles.print]\n[profiles.web]\n[profiles.web.defaults.vars]\nheadline = 'x'\n[defaults.vars]\nhue = 1\n"
    )
    posters.write({"qwenbuild.toml": config})
    assert items(posters, completion.profiles, "p") == [("plain", "print")]
    assert items(posters, completion.variables, "h") == [("open", "hue="), ("open", "headline=")]
