"""Tests of lint about axes: which ones change no request, and what to do about them."""

from __future__ import annotations

import pytest

from qwenbuild import load
from tests.support.workspace import Workspace


def found(project: Workspace, provider: str = "null") -> list[tuple[str, str | None]]:
    """Return (claim, hint) of what is found."""
    project.write({"qwenbuild.toml": f'provider = "{provider}"\n'})
    return [(remark.problem.claim, remark.problem.hint) for remark in load(project.root).lint()]


@pytest.mark.parametrize(
    ("spec", "claims"),
    [
        ('prompt = "{% if a == 9 %}x{% endif %}y"\nmatrix.a = [1, 2]', ["axis `a` changes no request: 1 of 2 "]),
        ('prompt = "x"\nmatrix.a = [1]', []),
        ('prompt = "x"\nmatrix.a = [1]\ninclude = [{ a = 2 }]', ["axis `a` changes no request: 1 of 2 "]),
        ('prompt = "x"\nmatrix = { seed = [1, 2], size = ["1:1", "16:9"] }', []),
        ('prompt = "{{ a }}"\nmatrix = { a = [1, 2], b = [1, 2] }\nexclude = [{ a = 1, b = 2 }, { a = 2, b = 1 }]', []),
        ('prompt = "{{ a // 2 }}"\nmatrix = { a = [2, 3, 4], b = [1, 2], seed = [1, 2] }\n'
         'exclude = [{ a = 4, b = 1 }, { a = 2, b = 2 }, { a = 3, b = 2 }]', []),
        ('prompt = "{{ row.t }}"\nmatrix.row = [{ id = "a", t = "x" }, { id = "b", t = "x" }]',
         ["axis `row` changes no request: 1 of 2 "]),
        ('prompt = "x"\nmatrix = { a = [1, 2], b = [1, 2, 3] }',
         ["axis `a` changes no request: 3 of 6 ", "axis `b` changes no request: 4 of 6 "]),
    ],
)  # fmt: skip
def test_axes(project: Workspace, spec: str, claims: list[str]) -> None:
    """What an axis changes is seen in the requests, not in the templates. Excluded cells prove nothing."""
    project.write({"specs/a.toml": f"[image.x]\n{spec}\n"})
    assert [claim.partition("cells")[0] for claim, _ in found(project)] == claims


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ('prompt = "x"\nmatrix.a = [1, 2]', "is `{{ a }}` missing in the template? else remove the axis"),
        ('prompt = "x"\nmatrix.a = [{ t = 1 }, { t = 2 }]',
         "is `{{ a.COLUMN }}` missing in the template? else remove the axis"),
        ('prompt = "x{% if a > 2 %}y{% endif %}"\nmatrix.a = [1, 2]',
         "a template reads it, but gives the same texts for all of its values"),
    ],
)  # fmt: skip
def test_what_to_do_about_an_axis(project: Workspace, spec: str, hint: str) -> None:
    """The hint depends on whether a template reads the axis, and on whether its values are tables."""
    project.write({"specs/a.toml": f"[image.x]\n{spec}\n"})
    assert [it for _, it in found(project)] == [hint]


@pytest.mark.parametrize(
    ("prompt", "count"),
    [("{% if a > 2 %}y{% endif %}x", 1), ("{% if a > 1 %}y{% endif %}x", 0), ("x", 1)],
)
def test_axes_of_drafts(project: Workspace, prompt: str, count: int) -> None:
    """The name of a cell, which a draft shows, makes no difference."""
    project.write({"specs/a.toml": f'[image.x]\nprompt = "{prompt}"\nmatrix.a = [1, 2]\n'})
    assert len(found(project, "draft")) == count


def test_random_seeds(project: Workspace) -> None:
    """Each cell with a random seed is to have another image, so none is a duplicate."""
    project.write({"specs/a.toml": '[image.x]\nprompt = "x"\nseed = "random"\nmatrix.a = [1, 2]\n'})
    assert found(project) == []
