"""Tests of absence: which entry leaves out the cells that a name would mean."""

from __future__ import annotations

import pytest

from qwenbuild.errors import UsageError
from qwenbuild.options import Options
from qwenbuild.specs.selection import select
from tests.support.workspace import Workspace

SPEC = """\
[image.poster]
prompt = "{{ 1 / (4 - seed) }} {{ mood }}"
matrix = { mood = ["calm", "loud", "so, so"], size = ["1:1", "16:9"], seed = { start = 1, count = 4 } }

[[image.poster.exclude]]
mood = "loud"
size = "16:9"

[[image.poster.exclude]]
seed = 4

[[image.poster.include]]
mood = "wild"
size = "4:3"
seed = 9

[[image.poster.only]]
mood = "calm"
seed = 2

[[image.poster.only]]
mood = "loud"
size = "1328*1328"
seed = 3

[image.own]
prompt = "x"
output = "own/{{ n }}.png"
matrix.n = [1, 2, 3]
only = [{ n = 2 }]

[image.listed]
prompt = "{{ size }}"
include = [{ mood = "calm", size = "1:1" }, { mood = "loud", size = "16:9" }]
only = [{ mood = "loud" }]
"""


def complaint(project: Workspace, name: str) -> str:
    project.write({"qwenbuild.toml": 'out = "out"\n', "specs/a.toml": SPEC})
    with pytest.raises(UsageError) as caught:
        select(project.actions(), Options(select=[name]), project.project)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected", "line"),
    [
        ("a/poster[mood=calm,seed=1,size=1328x1328]", " is left out: none of the 2 `only` entries matches it", 17),
        ("a/poster[mood=calm,seed=1,size=1:1]", " is left out: none of the 2 `only` entries matches it", 17),
        ("a/poster[mood=wild,seed=9,size=1472x1104]", " is left out: none of the 2 `only` entries matches it", 17),
        ('a/poster[mood="so, so",seed=1,size=1:1]', " is left out: none of the 2 `only` entries matches it", 17),
        ("a/poster[mood=lo*,seed=1,size=16:9]", " is left out: this `exclude` entry matches it", 5),
        ("a/poster[mood=calm,seed=4,size=1:1]", " is left out: this `exclude` entry matches it", 9),
        ("a/poster[mood=loud,seed=4,size=16:9]", " is left out: this `exclude` entry matches it", 5),
        ("a/own[n=1]", " is left out: the `only` entry does not match it", 30),
        ("a/listed[mood=calm,size=1328x1328]", " is left out: the `only` entry does not match it", 35),
        ("own/1.png", " (a/own[n=1]) is left out: the `only` entry does not match it", 30),
        ("out/own/3.png", " (a/own[n=3]) is left out: the `only` entry does not match it", 30),
    ],
)
def test_an_entry_leaves_out_a_cell(project: Workspace, name: str, expected: str, line: int) -> None:
    """A cell is found by its name, in any spelling, and by its path. The first entry that leaves it out is shown."""
    lines = complaint(project, name).splitlines()
    assert lines[0] == f"error: {name}{expected}"
    assert lines[1].lstrip().startswith(f"--> specs/a.toml:{line}:")


def test_several_cells_are_counted(project: Workspace) -> None:
    """If one entry leaves out all of them it is named, else each of the entries."""
    assert complaint(project, "a/poster[mood=loud,size=16:9]").splitlines()[0] == (
        "error: the 4 cells of a/poster[mood=loud,size=16:9] are left out: this `exclude` entry matches them"
    )
    assert (
        complaint(project, "a/*[seed=1]")
        == """\
error: the 6 cells of a/*[seed=1] are left out
  --> specs/a.toml:17:3
   |
17 | [[image.poster.only]]
   |   ^^^^^^^^^^^^^^^^^
   = specs/a.toml:17  `only` leaves out 5
   = specs/a.toml:5  `exclude` leaves out 1"""
    )


@pytest.mark.parametrize("name", ["a/own[n=7]", "a/poster[seed=7]", "a/pster[seed=1]", "own/4.png", "a/own[m=1]"])
def test_what_never_was_a_cell_has_no_such_reason(project: Workspace, name: str) -> None:
    """The message is that of any unknown name."""
    assert complaint(project, name).startswith(f'error: nothing is named "{name}"\n')


def test_a_path_with_a_digest_is_known(project: Workspace) -> None:
    """Cells with one slug have such paths."""
    image = '[image.logo]\nprompt = "logo"\nmatrix.lang = ["C", "C++"]\n'
    path = project.write({"specs/a.toml": image}).actions()[1].output
    project.write({"specs/a.toml": f'{image}only = [{{ lang = "C" }}]\n'})
    with pytest.raises(UsageError, match="the `only` entry does not match it") as caught:
        select(project.actions(), Options(select=[path]), project.project)
    assert caught.value.claim.startswith(f"{path} (a/logo[lang=C++]) is left out")


def test_a_name_in_a_vast_matrix_is_quickly_found(project: Workspace) -> None:
    """Only the cells with the named values are made, of 10**15."""
    axes = ", ".join(f"{axis} = {{ count = 1000 }}" for axis in "abcde")
    image = f'[image.x]\nprompt = "A"\nmatrix = {{ {axes} }}\nonly = [{{ a = 1, b = 1, c = 1, d = 1, e = 1 }}]\n'
    actions = project.write({"specs/a.toml": image}).actions()
    with pytest.raises(UsageError, match=r"x\[a=2,b=2,c=2,d=2,e=2\] is left out: the `only` entry"):
        select(actions, Options(select=["a/x[a=2,b=2,c=2,d=2,e=2]"]), project.project)
    with pytest.raises(UsageError, match=r"the 10,000 cells of a/x\[a=2\] are left out"):
        select(actions, Options(select=["a/x[a=2]"]), project.project)
