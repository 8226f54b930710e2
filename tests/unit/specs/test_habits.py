"""Tests of habits: names as other tools have them."""

from __future__ import annotations

import pytest

from qwenbuild.specs import habits


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A ${cat}", "${cat}"),
        ("A ${ cat }", "${ cat }"),
        ("A $cat.", "$cat"),
        ("A {cat}", "{cat}"),
        ("A {{ cat }}", ""),
        ("A {{cat}}", ""),
        ("A cat for $5", ""),
        ("A cat", ""),
    ],
)
def test_variables_as_shells_and_python_write_them(text: str, found: str) -> None:
    """They are found, and no other words are taken away."""
    assert habits.unlike_template("cat", text) == found
    assert ("cat" in habits.without_unlike(text)) == (not found)


@pytest.mark.parametrize(
    ("prompt", "is_path"),
    [
        ("file://prompts/a", True),
        ("prompts/cat.txt", True),
        ("poster.j2", True),
        ("a poster in the style of poster.j2", False),
        ("A cat.", False),
        ("", False),
    ],
)
def test_prompts_that_are_paths(prompt: str, is_path: bool) -> None:
    """A prompt of one word that ends like a text file, or begins like an address of one."""
    assert habits.is_path(prompt) == is_path


def test_undefined_variables() -> None:
    """The names that other tools put before a variable have hints of their own."""
    assert habits.of_variable("vars", "{{ vars.mood }}", ["mood"]) == "variables and axes stand alone: {{ mood }}"
    assert habits.of_variable("vars", "{{ vars.mod }}", ["mood"]) is None
    assert habits.of_variable("env", "{{ env.CITY }}", []) == (
        'templates can\'t read the environment: --var CITY="$CITY" gives one variable of it'
    )
    assert habits.of_variable("mood", "{{ mood }}", []) is None


def test_texts_that_name_data_files() -> None:
    """A table names a data file; any other text is none."""
    assert habits.of_text("row", "d.csv") == 'a data file is named in a table: row = { file = "d.csv" }'
    assert (habits.of_text("row", "ink"), habits.of_text("row", 3)) == (None, None)


def test_images() -> None:
    """A table with a prompt or a template is an image."""
    assert habits.is_image({"template": "x.j2"})
    assert not habits.is_image({"mood": "calm"})
    assert not habits.is_image("prompt")
