"""The rules of lint: their names, what each one finds, and the remark about one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from qwenbuild.problems import Problem

TEMPLATE_SYNTAX = "template-syntax"
LONG_TEXT = "long-text"
UNUSED_VARIABLE = "unused-variable"
UNUSED_TEMPLATE = "unused-template"
UNUSED_AXIS = "unused-axis"
IDLE_AXIS = "idle-axis"
UNREAD_COLUMN = "unread-column"
PROMPT_PATH = "prompt-path"

COSTLY = (IDLE_AXIS, PROMPT_PATH)
"""The rules whose findings cost most: images that nobody wants."""

RULES: Mapping[str, str] = {
    TEMPLATE_SYNTAX: "a prompt or a parameter holds `{{`, `{%` or a lone `}}` as text",
    LONG_TEXT: "a quoted text is too long for the size of its image",
    UNUSED_VARIABLE: "no template of its images reads a variable",
    UNUSED_TEMPLATE: "nothing uses a file of the templates folder",
    UNUSED_AXIS: "no image names a shared axis",
    IDLE_AXIS: "an axis changes no request",
    UNREAD_COLUMN: "a column of data has the name of a field, but sets none",
    PROMPT_PATH: "a prompt is only the path of a text file",
}
"""The rules, and what each one finds."""


class Remark(NamedTuple):
    """What one rule found in one place."""

    rule: str
    problem: Problem
