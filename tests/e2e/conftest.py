"""The project of the end-to-end tests, with its own store."""

from __future__ import annotations

from pathlib import Path

import pytest

from .harness import Sandbox

FILES = {
    "qwenbuild.toml": 'provider = "null"\n',
    "specs/garden.toml": """\
negative_prompt = "blurry"

[vars]
mood = "cheerful"

[image.poster]
template = "poster.j2"

[image.poster.matrix]
size = ["16:9", "1:1"]
seed = [1, 2]

[image.flower]
prompt = "A {{ flower.name }} in a {{ mood }} garden"
size = "1:1"
matrix = { flower = { file = "data/flowers.csv" } }
""",
    "specs/data/flowers.csv": "id,name\nrose,red rose\nlily,white lily\n",
    "specs/icons.toml": """\
size = "1:1"

[image.sun]
prompt = "Icon of the sun"

[image.moon]
prompt = "Icon of the moon"
""",
    "templates/base.j2": "A {{ mood }} poster of {% block subject %}{% endblock %}",
    "templates/poster.j2": '{% extends "base.j2" %}{% block subject %}grass and sky{% endblock %}',
}
"""Eight images: four posters from a template, two flowers from a CSV file, two icons with inline prompts."""


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """A project of eight images, rendered by the free provider `null`."""
    root = tmp_path / "project"
    root.mkdir()
    return Sandbox(root, tmp_path / "store").write(FILES)
