"""A process that renders texts, one on each line of its input, with a hash seed of its own.

    python -m tests.support.rendering

Answers each line, a JSON text, with a line: the rendered text, or the message of the error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import jinja2

from qwenbuild.specs.rows import Row
from qwenbuild.specs.sandbox import Sandbox, environment

FILES = {
    "lib.j2": "{% macro m(a='x') %}<{{ a }}>{% endmacro %}{% set size = 3 %}lib",
    "base.j2": "{% block b %}base{% endblock %}",
}
VALUES: dict[str, Any] = {
    "copy": Row({"id": "r1", "title": "Come Play!", "tags": ["a", "b"]}, "r1"),
    "tags": ["b", "a"], "day": date(2026, 2, 10), "gap": None, "table": {"one": 1, "two": [2]}, "n": 3,
}  # fmt: skip


def rendered(text: str, sandbox: Sandbox | None = None) -> str:
    """Return the text, or what is wrong with it."""
    try:
        return (sandbox or environment(jinja2.DictLoader(FILES))).from_string(text).render(VALUES)
    except Exception as error:  # any is an answer
        return f"{type(error).__name__}: {error}"


class Renderer:
    """A running process."""

    def __init__(self, hash_seed: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], cwd=Path(__file__).parents[2], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        )  # fmt: skip

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()

    def send(self, sources: Sequence[str]) -> None:
        """Have the process render texts."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(sources) + "\n")
        self._process.stdin.flush()

    def receive(self) -> list[str]:
        """Return the rendered texts that were sent."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())  # type: ignore[no-any-return]


if __name__ == "__main__":
    shared = environment(jinja2.DictLoader(FILES))
    for line in sys.stdin:
        sys.stdout.write(json.dumps([rendered(source, shared) for source in json.loads(line)]) + "\n")
        sys.stdout.flush()
