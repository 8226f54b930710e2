"""A ComfyUI server without models, and a project with a workflow for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.provider import Settings
from qwenbuild.providers.comfyui.provider import ComfyUIProvider
from qwenbuild.providers.registry import create
from qwenbuild.trust import Trust
from tests.support.comfy_server import Comfy, workflow


@pytest.fixture
def comfy() -> Iterator[Comfy]:
    """A server that answers at once."""
    with Comfy().running() as server:
        yield server


def made(root: Path, nodes: Any = None, environ: dict[str, str] | None = None, **table: Any) -> ComfyUIProvider:
    """Return the provider of a project whose `workflow.json` has these nodes; None: those of `comfy_server`."""
    (root / "workflow.json").write_text(json.dumps(workflow() if nodes is None else nodes), "utf-8")
    settings = {"workflow": "workflow.json", **table}
    provider = create("comfyui", Settings(settings, builtin(), environ or {}, trust=Trust(), root=root))
    assert isinstance(provider, ComfyUIProvider)
    return provider
