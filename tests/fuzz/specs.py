"""Specs, data files and configs: valid projects, mutated, then planned."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st

from qwenbuild.engine.engine import load
from qwenbuild.errors import QwenbuildError
from qwenbuild.specs import outline

from .mutation import mutated
from .target import Check, Target

SPECS = [
    """\
model = "qwen-image-plus"
negative_prompt = "blurry, {{ mood }}"
[vars]
brand = "Come Play Ball!"
deep = { list = [1, "two", { three = 3 }], day = 2026-02-10 }
[image.poster]
prompt = "A {{ mood }} house for {{ brand }}, {{ size }} {{ seed }} {{ n }}"
output = "{{ spec }}/{{ image }}-{{ mood | slug }}-{{ seed }}-{{ n }}-{{ size }}.png"
[image.poster.matrix]
mood = ["calm", "wild, or not"]
size = ["1:1", "1664*928"]
seed = { start = 1, count = 3 }
n = [1, 2.5, true]
[[image.poster.exclude]]
mood = "calm"
n = 1
[[image.poster.include]]
mood = "new"
size = "16:9"
seed = 9
n = 3
[[image.poster.only]]
mood = "new"
[[image.poster.only]]
size = "1:1"
seed = 2
[image.listed]
prompt = "A {{ mood }} house"
include = [{ mood = "calm", seed = 1 }, { mood = "wild", seed = 2 }]
only = [{ seed = 2 }]
""",
    """\
[image.rows]
prompt = '''
{% for one in row.tags %}{{ one }}{% endfor %}
{{ row.title }} {{ row.id }}'''
watermark = false
parameters = { style = { names = ["ink", 1.5] }, "we.ird" = true }
[image.rows.matrix]
row = { file = "data.jsonl" }
[image.csv]
template = "part.j2"
matrix = { copy = { file = "data.csv", id = "code" }, prompt_extend = [true, false] }
[image."a.b"]
prompt = "{{ t.title }}"
matrix.t = { file = "../specs/data.tsv" }
[image.toml]
prompt = "{{ t.title }}"
matrix.t = { file = "rows.toml" }
[image.listed]
prompt = "{{ r.x }}"
matrix.r = [{ id = "a", x = 1 }, { id = "b", x = [1] }]
matrix.model = ["qwen-image", "qwen-image-plus"]
""",
]
DATA = {
    "specs/data.jsonl": '{"id": "en", "title": "Come", "tags": ["a", "b"]}\n{"id": "zh", "title": "一"}\n',
    "specs/data.csv": 'code,title\nen,"Come, ""play"""\nzh,"一\n起"\n',
    "specs/data.tsv": "id\ttitle\nen\tCome\nzh\t一起\n",
    "specs/rows.toml": '[[row]]\nid = "en"\ntitle = "Come"\n[[row]]\nid = "zh"\ntitle = """\n一起"""\n',
    "templates/part.j2": "{{ copy.title }} {% include 'more.j2' %}",
    "templates/more.j2": "more {{ image }}",
}
CONFIG = """\
provider = "null"
specs = "specs/**/*.toml"
templates = "templates"
out = "out"
max_renders = 100
resubmit = "never"
[budget]
max_cost = 10.5
[remote]
url = "https://cache.example/x"
read_only = true
token_env = "QWENBUILD_REMOTE_TOKEN"
header = { x = "y" }
[providers.dashscope]
base_url = "https://dashscope.aliyuncs.com/api/v1"
interface = "async"
timeout_s = 30
[models.my-model]
interfaces = ["sync"]
sizes = ["1328x1328"]
price_cny = { beijing = "0.20" }
"""


def _write(root: Path, files: Mapping[str, str]) -> None:
    shutil.rmtree(root, ignore_errors=True)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))


@contextmanager
def _opened(folder: Path) -> Iterator[Check]:
    root = folder / "project"

    def check(files: Mapping[str, str]) -> None:
        """A plan and what lint finds, or an error whose text is not endless. Completion finds or leaves out images."""
        _write(root, files)
        try:
            plan = load(root).plan()
            assert len(plan.steps) <= 10_100
            assert all(str(remark.problem) for remark in load(root).lint())
        except QwenbuildError as error:
            assert 0 < len(str(error)) < 1_000_000
        try:
            for image in outline.images(root):
                for axis in list(image.matrix)[:3]:
                    try:
                        assert all(isinstance(label, str) for label in image.labels(axis))
                    except (QwenbuildError, KeyError, TypeError, AttributeError, ValueError):
                        continue  # "a mistake in the spec raises an error", which completion hides
        except QwenbuildError as error:
            assert str(error)

    yield check


_project = {"qwenbuild.toml": 'provider = "null"\nmax_renders = 100\n', "specs/a.toml": SPECS[0], **DATA}


@st.composite
def _mutated_projects(draw: st.DrawFn) -> dict[str, str]:
    """Draw a project of which one or two files are mutated."""
    files = {**_project, "specs/a.toml": draw(st.sampled_from(SPECS))}
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(["specs/a.toml", "specs/a.toml", *DATA]))
        files[name] = draw(mutated([files[name]]))
    return files


_configs = mutated([CONFIG]).map(lambda text: {**_project, "qwenbuild.toml": text})
_shared = mutated(["[project]\nname = 'x'\n[tool.qwenbuild]\nprovider = 'null'\n[tool.other]\nx = 1\n"]).map(
    lambda text: {"pyproject.toml": text, "specs/a.toml": SPECS[0]}
)

SPEC_TARGET = Target("specs", "specs, templates' files and data files of a project", _mutated_projects(), _opened, 90)
CONFIG_TARGET = Target("config", "qwenbuild.toml and pyproject.toml", _configs | _shared, _opened, 100)
