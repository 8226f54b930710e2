"""Tests of shared texts: how often a template renders, and that sharing changes no text."""

from __future__ import annotations

from qwenbuild.specs.field_values import FieldValues
from qwenbuild.specs.shared_texts import SharedText
from qwenbuild.specs.template import Templates
from tests.support.workspace import Workspace

SPEC = """\
[image.a]
prompt = "{{ hue }} {{ seed }}"
seed = "{{ row.n }}"
[image.a.matrix]
hue = ["red", "blue"]
other = { count = 100 }
row = [{ id = "x", n = 1 }, { id = "y", n = 2 }]
"""


def test_a_text_depends_on_the_axes_behind_the_fields_that_it_reads(project: Workspace) -> None:
    """A prompt that reads the seed reads the axis that gives the seed, and no other."""
    [declaration] = project.write({"specs/a.toml": SPEC}).declarations()
    templates = Templates(project.root, "templates")
    fields = FieldValues(declaration, templates)
    assert fields.texts["seed"].axes == [2]
    template = templates.inline("{{ hue }} {{ seed }}", lambda line, token: declaration.place())
    assert SharedText("prompt", template, declaration, fields.texts).axes == [0, 2]
    assert SharedText("prompt", template, declaration, {}).axes == [0]
    actions = project.actions()
    assert len(actions) == 400
    assert {(it.cell["hue"], it.cell["row"], it.request.prompt, it.seed) for it in actions} == {
        (hue, row, f"{hue} {n}", n) for hue in ("red", "blue") for row, n in (("x", 1), ("y", 2))
    }
