"""Tests of the read cache: the same files give the same result with and without it."""

from __future__ import annotations

from typing import Any

from qwenbuild.engine import engine as engines
from qwenbuild.engine.engine import Engine
from qwenbuild.errors import QwenbuildError
from qwenbuild.specs.read_cache import ReadCache
from tests.support.workspace import Workspace

A = """
negative_prompt = "blurry"
[image.poster]
template = "poster.j2"
matrix.seed = { start = 1, count = 300 }
matrix.copy = { file = "../data/copy.jsonl" }
[image.kite]
prompt = "a kite"
"""
FILES = {
    "qwenbuild.toml": 'provider = "null"\n',
    "specs/a.toml": A,
    "specs/b.toml": '[image.ball]\ntemplate = "ball.j2"\n',
    "templates/poster.j2": "{% include 'part.j2' %} {{ copy.title }}",
    "templates/part.j2": "one",
    "templates/ball.j2": "a ball",
    "data/copy.jsonl": '{"id": "en", "title": 1}\n{"id": "de", "title": "zwei"}\n',
}
EDITS: list[dict[str, str]] = [
    {"templates/part.j2": "two"},
    {"templates/ball.j2": "a blue ball"},
    {"data/copy.jsonl": '{"id": "en", "title": true}\n{"id": "de", "title": "zwei"}\n'},
    {"specs/a.toml": A + "\n# a note"},
    {"specs/a.toml": "\n\n" + A.replace("a kite", "two kites")},
    {"specs/a.toml": A.replace("blurry", "dark")},
    {"specs/a.toml": A.replace("count = 300", "count = 0")},
    {"templates/part.j2": "{{ nothing }}"},
    {"specs/a.toml": "\n" + A},
    {"templates/part.j2": "{% include 'more.j2' %}"},
    {"templates/more.j2": "{{ seed }}"},
    {"specs/b.toml": "[image.ball]\nprompt = 1\n"},
    {"specs/b.toml": '[image.ball]\nprompt = "b"\nmatrix.n = ["C", "C++"]\n'},
    {"specs/b.toml": '[image.ball]\nprompt = "b"\nmatrix.n = ["C", "C++"]\nonly = [{ n = "C++" }]\n'},
    {"specs/a.toml": A + "\n# a note"},
    {"specs/b.toml": '[image.ball]\nprompt = "b"\n'},
]


def result_of(engine: Engine) -> object:
    """Read the project; return its actions with the texts of their specs, or the text of the error."""
    try:
        return [(it.output, it.key, it.name, it.declaration.spec.source.text) for it in engine.actions()]
    except QwenbuildError as error:
        return str(error)


def test_a_cache_changes_nothing_but_the_time(project: Workspace) -> None:
    """After every edit, a read with the cache gives what a read without it gives."""
    project.write(FILES)
    cached = engines.load(project.root)
    cached.read_cache = ReadCache()
    for edit in [{}, *EDITS, FILES]:
        project.write(edit)
        assert result_of(cached) == result_of(engines.load(project.root)), edit


def test_what_a_layer_sets_is_compared_with_its_type(project: Workspace) -> None:
    """For Python 1 is equal to True, but templates print them as they are written."""
    spec = 'vars = { top = %s }\n[image.a]\nprompt = "{{ top }} {{ own }}"\nvars.own = %s\n'
    project.write({**FILES, "specs/a.toml": spec % (1, 1)})
    cached = engines.load(project.root)
    cached.read_cache = ReadCache()
    for top, own in ((1, 1), ("true", 1), ("true", "true"), ("1.0", "true")):
        project.write({"specs/a.toml": spec % (top, own)})
        assert result_of(cached) == result_of(engines.load(project.root)), (top, own)


CHOICES: list[dict[str, Any]] = [
    {}, {"variables": ["mood=1"]}, {"variables": ["mood=1"]}, {"variables": ["mood=true"]}, {"profile": "print"},
    {"profile": "web"}, {"profile": "print", "variables": ["mood=1"]}, {"provider": "draft"}, {},
]  # fmt: skip


def test_engines_with_other_options_share_a_cache(project: Workspace) -> None:
    """Each reads what an engine without a cache reads."""
    project.write({
        "qwenbuild.toml": '[defaults.vars]\nmood = "calm"\n[profiles.print.defaults.vars]\nmood = 1\n'
                          '[profiles.web.defaults.vars]\nmood = true\n',
        "specs/a.toml": '[image.a]\nprompt = "{{ mood }}"\n',
    })  # fmt: skip
    cached = engines.load(project.root)
    cached.read_cache = ReadCache()
    for choices in CHOICES:
        assert result_of(cached.with_options(**choices)) == result_of(engines.load(project.root, **choices)), choices


def test_an_unchanged_image_is_not_expanded_again(project: Workspace) -> None:
    """An edit of one template leaves the actions of the other images the very same objects."""
    project.write(FILES)
    engine = engines.load(project.root)
    engine.read_cache = ReadCache()
    first = {action.name: action for action in engine.actions()}
    project.write({"templates/ball.j2": "a blue ball"})
    second = {action.name: action for action in engine.actions()}
    changed = {name for name, action in second.items() if action is not first[name]}
    assert changed == {"b/ball"}
