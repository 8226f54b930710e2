"""Error entries: for each name of an error, why it happens and what to do.

The entries stand in `error_entries.toml`, in groups. A test compares them with the names in the code.
Plugins have errors without entries: a class of `errors` gives them a name that has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

GROUPS: Mapping[str, str] = {
    "command": "The command line and the page",
    "paths": "Files, folders and programs",
    "files": "The files of the project",
    "matrix": "Axes, sizes, seeds and models",
    "data": "Data files",
    "template": "Templates and prompts",
    "lint": "Remarks of lint",
    "money": "Money and quotas",
    "provider": "Providers, keys and regions",
    "service": "What the service says",
    "comfyui": "ComfyUI and its workflows",
    "tasks": "Tasks and lost answers",
    "images": "Images",
    "machine": "Store, state and machine",
    "lock": "The lock, git and stars",
    "remote": "The remote cache",
    "executor": "Clusters",
    "emulator": "The emulator",
}
"""The groups of entries in the order in which they are shown, and their titles."""


class Entry(NamedTuple):
    """What there is to say about the errors of one name. `remedy` is one text, or the steps in their order."""

    name: str
    group: str
    title: str
    cause: str
    remedy: Sequence[str]
    example: str


@cache
def entries() -> Mapping[str, Entry]:
    """Return all entries by name, in the order of the groups."""
    import tomllib

    tables = tomllib.loads(resources.files(__package__).joinpath("error_entries.toml").read_text("utf-8"))
    return {name: _entry(name, group, table) for group in GROUPS for name, table in tables[group].items()}


def of_group(group: str) -> list[Entry]:
    """Return the entries of a group."""
    return [entry for entry in entries().values() if entry.group == group]


def _entry(name: str, group: str, table: Mapping[str, str | list[str]]) -> Entry:
    remedy = table["remedy"]
    return Entry(
        name,
        group,
        str(table["title"]),
        str(table["cause"]),
        (remedy,) if isinstance(remedy, str) else tuple(remedy),
        str(table.get("example", "")).strip("\n"),
    )
