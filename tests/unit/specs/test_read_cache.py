"""What a reading remembers of earlier ones: the same files give the same, remembered or not."""

from __future__ import annotations

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
    {"specs/b.toml": '[image.ball]\nprompt = "b"\n'},
]


def come_to(engine: Engine) -> object:
    """What a reading comes to: actions with the places of their declarations, or the text of what is wrong."""
    try:
        return [(it.output, it.key, it.name, it.declaration.spec.source.text) for it in engine.actions()]
    except QwenbuildError as error:
        return str(error)


def test_a_memory_changes_nothing_but_the_time(project: Workspace) -> None:
    """After every edit the reading that remembers comes to what one that reads all anew does."""
    project.write(FILES)
    remembering = engines.load(project.root)
    remembering.read_cache = ReadCache()
    for edit in [{}, *EDITS, FILES]:
        project.write(edit)
        assert come_to(remembering) == come_to(engines.load(project.root)), edit


def test_what_no_edit_touched_is_not_expanded_again(project: Workspace) -> None:
    """An edit to one template leaves the requests of other images the very same objects."""
    project.write(FILES)
    engine = engines.load(project.root)
    engine.read_cache = ReadCache()
    first = {action.name: action for action in engine.actions()}
    project.write({"templates/ball.j2": "a blue ball"})
    second = {action.name: action for action in engine.actions()}
    changed = {name for name, action in second.items() if action is not first[name]}
    assert changed == {"b/ball"}
