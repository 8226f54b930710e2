"""The provenance of an image as text."""

from __future__ import annotations

from typing import Any

import pytest

from qwenbuild.terminal import provenance_view


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        (
            {"generator": "qwenbuild", "action_key": "k", "request": {"model": "m", "seed": 7, "negative_prompt": "",
             "prompt": "two\nlines"}, "provider": "null"},
            "          model  m\n           seed  7\n     action key  k\n       provider  null\n\ntwo\nlines\n",
        ),
        ({"request": "torn", "x": {"y": ["\x1b"]}}, "x  {\"y\": [\"\\u001b\"]}\n\n\n"),
        ({}, "\n\n"),
    ],
)  # fmt: skip
def test_provenance(provenance: dict[str, Any], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Provenance is shown as aligned fields and the prompt, whatever a file holds."""
    provenance_view.show(provenance)
    assert capsys.readouterr().out == expected
