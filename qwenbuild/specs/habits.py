"""Habits: names that people write as other tools have them, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

_PIXELS = 'size has both: size = "16:9", or size = "1328x1328"'
_SAMPLER = "the service has no such setting: leave it out"
_COUNT = "for several images of one prompt: seed = { count = 4 } in the matrix"

SECRET = ("api_key", "key", "token")
"""Keys whose values no message shows."""

KEYS: Mapping[str, str] = {
    **dict.fromkeys(("width", "height", "resolution", "aspect_ratio"), _PIXELS),
    **dict.fromkeys(("steps", "num_inference_steps", "cfg", "cfg_scale", "guidance_scale", "sampler"), _SAMPLER),
    **dict.fromkeys(("batch_size", "batch_count", "num_images", "count"), _COUNT),
    **dict.fromkeys(SECRET, "a key never stands in a file: set DASHSCOPE_API_KEY"),
    "prompts": 'each image has one prompt; a matrix has an axis of texts: prompt = "{{ text }}", matrix.text = […]',
}
"""Hints for unknown keys, by key."""

VALUES: Mapping[tuple[str, type], str] = {
    ("size", list): 'a text such as "16:9" or "1328x1328"',
    ("size", int): 'a text such as "16:9" or "1328x1328"',
    ("prompt", list): "a text in quotes; several texts are an axis of the matrix",
    ("image", list): "a table for each image: [image.NAME]",
    ("vars", str): 'a table; a data file is an axis: matrix.row = { file = "…" }',
}
"""What is expected of a key, by the key and the type of the wrong value."""

_PLACES = ("vars", "var", "params", "wildcards", "matrix", "item", "inputs")
_DATA = (".csv", ".tsv", ".jsonl", ".ndjson", ".toml")
_TEXT_FILES = (".txt", ".md", ".j2", ".jinja", ".jinja2")


def of_variable(name: str, before: str, defined: Sequence[str]) -> str | None:
    """Return the hint for an undefined variable; `before` is the text of its line."""
    within = re.search(rf"\b{re.escape(name)}\.(\w+)", before)
    if name == "env":
        given = within[1] if within else "NAME"
        return f'templates can\'t read the environment: --var {given}="${given}" gives one variable of it'
    if name in _PLACES and within and within[1] in defined:
        return f"variables and axes stand alone: {{{{ {within[1]} }}}}"
    return None


def of_text(axis: str, value: object) -> str | None:
    """Return the hint for a text of an axis whose columns are read."""
    if isinstance(value, str) and value.endswith(_DATA):
        return f'a data file is named in a table: {axis} = {{ file = "{value}" }}'
    return None


def is_image(value: object) -> bool:
    """Return whether the value of a key at the top of a spec is what an image declares."""
    return isinstance(value, Mapping) and not {"prompt", "template"}.isdisjoint(value)


def unlike_template(name: str, text: str) -> str:
    """Return how a text writes the variable `name` as shells or Python do, such as `${name}`; empty if it does not."""
    own = re.escape(name)
    found = re.search(rf"\$\{{\s*{own}\s*\}}|\${own}\b|(?<!\{{)\{{{own}\}}(?!\}})", text)
    return found[0] if found else ""


def without_unlike(text: str) -> str:
    """Return a text without variables as shells or Python write them."""
    return re.sub(r"\$\{\s*\w+\s*\}|\$\w+|(?<!\{)\{\w+\}(?!\})", " ", text)


def is_path(prompt: str) -> bool:
    """Return whether a prompt is only the path of a text file."""
    return " " not in prompt and (prompt.startswith("file://") or PurePosixPath(prompt).suffix in _TEXT_FILES)
