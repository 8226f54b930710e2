"""Ports: the port of a project's page, which follows from the project's path."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Final

FIRST: Final = 17_000
"""The first port of a project. Programs may take it without rights, and no system gives it to outgoing connections:
those get ports from 32,768 (Linux) or from 49,152 (macOS, Windows)."""

COUNT: Final = 10_000
"""How many ports there are for projects."""


def port_of(root: str | os.PathLike[str]) -> int:
    """Return the port of the project in the folder `root`: always the same one. Two projects may share a number."""
    path = os.fsencode(os.path.realpath(root))
    return FIRST + int.from_bytes(sha256(path).digest()[:8]) % COUNT
