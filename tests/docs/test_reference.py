"""The reference says what the code says: its generated parts, and the names in its tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qwenbuild.plan.plan import Verdict
from qwenbuild.request import Request
from qwenbuild.specs.lint_rules import RULES

from . import generate
from .pages import REPOSITORY


@pytest.mark.parametrize("page", generate.pages(), ids=lambda page: page.name)
def test_generated_parts_are_up_to_date(page: Path) -> None:
    """Each generated part is what the code gives; `python -m tests.docs.generate` writes it."""
    text = page.read_text("utf-8")
    assert text == generate.generated(text)


def test_each_part_is_used_once() -> None:
    """No part is forgotten, and none stands twice."""
    used = [part for page in generate.pages() for part in generate.parts(page.read_text("utf-8"))]
    assert sorted(used) == sorted(generate.PARTS)


def test_each_verdict_and_each_rule_is_explained() -> None:
    """The tables of verdicts and of lint's rules have a row for each of them, and no other."""
    for page, names in {"verdicts": [it.value for it in Verdict], "lint": [*RULES]}.items():
        text = (REPOSITORY / f"docs/reference/{page}.md").read_text("utf-8")
        assert {*re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)} == {*names}


def test_each_field_of_a_request_is_explained() -> None:
    """The page about the key names each field that a key covers."""
    text = (REPOSITORY / "docs/explanation/key.md").read_text("utf-8")
    assert [field for field in Request._fields if f"`{field}`" not in text] == []


def test_each_variable_of_the_environment_is_explained() -> None:
    """The page of the config names every environment variable that the code reads, and no other of ours."""
    text = (REPOSITORY / "docs/reference/environment.md").read_text("utf-8")
    named = {*re.findall(r"`((?:QWENBUILD|DASHSCOPE)_[A-Z_]+)`", text)}
    sources = [path.read_text("utf-8") for path in (REPOSITORY / "qwenbuild").rglob("*.py")]
    read = {name for text in sources for name in re.findall(r'"((?:QWENBUILD|DASHSCOPE)_[A-Z_]+[A-Z])"', text)}
    assert named - {"QWENBUILD_REMOTE_TOKEN", "QWENBUILD_REMOTE_SECRET"} == read
