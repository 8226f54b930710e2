"""The prose of the documentation: spelling, short sentences, short paragraphs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .pages import REPOSITORY, pages, paragraphs, sentences, shown, words

MOST_WORDS = 35
AIM = 25
MOST_LINES = 6
MOST_CHARACTERS = 6 * 150
MEANT = ("titel",)
"""Mistakes that stand in an example because the example is about them."""


def test_spelling() -> None:
    """codespell finds no mistake in a page, nor in the help of the commands."""
    files = [*map(str, pages()), str(REPOSITORY / "qwenbuild/help.txt")]
    done = subprocess.run(
        [sys.executable, "-m", "codespell_lib", "-L", ",".join(MEANT), *files],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize("page", pages(), ids=shown)
def test_sentences_and_paragraphs_are_short(page: Path) -> None:
    """No sentence has more than 35 words, nine of ten have at most 25; no paragraph has more than six lines."""
    lengths, wrong = list[int](), list[str]()
    for line, paragraph in paragraphs(page):
        if paragraph.count("\n") >= MOST_LINES or len(paragraph) > MOST_CHARACTERS:
            wrong.append(f"{shown(page)}:{line}: a paragraph of {paragraph.count(chr(10)) + 1} lines")
        for sentence in sentences(paragraph):
            lengths.append(words(sentence))
            if lengths[-1] > MOST_WORDS:
                wrong.append(f"{shown(page)}:{line}: {lengths[-1]} words: {sentence}")
    assert wrong == []
    assert sum(length > AIM for length in lengths) <= len(lengths) / 10


def test_the_readme_is_short() -> None:
    """The README has about 150 lines."""
    assert len((REPOSITORY / "README.md").read_text("utf-8").splitlines()) <= 160
