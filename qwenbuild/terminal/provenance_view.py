"""The view of `show`: the provenance that an image carries."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from qwenbuild.problems import visible

from .style import styled


def show(provenance: Mapping[str, Any]) -> None:
    """Write the fields of a provenance as aligned lines, then the prompt.

    The provenance comes from a file that anybody may have written, so any field may have any type.
    """
    request = provenance.get("request")
    fields: dict[str, Any] = dict(request) if isinstance(request, Mapping) else {}
    prompt = fields.pop("prompt", "")
    fields |= {name: value for name, value in provenance.items() if name not in ("request", "generator")}
    width = max((len(str(name)) for name in fields), default=0)
    for name, value in fields.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if text:
            title = styled(f"{visible(str(name)).replace('_', ' '):>{width}}", sys.stdout, dim=True)
            click.echo(f"{title}  {visible(text)}")
    click.echo()
    click.echo(visible(str(prompt), keep="\n"))
