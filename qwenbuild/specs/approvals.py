"""Approvals: writes into the user's own config what the user has approved for a project.

Comments and order of the file stay as they are. `user_config` reads the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from qwenbuild.errors import UsageError
from qwenbuild.files import atomic
from qwenbuild.trust import Item

from . import user_config

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

_TABLE = "trust"


def record(root: Path, items: Iterable[Item]) -> Path:
    """Add the items to `[trust."root"]`, and return the path of the file. Raises ProjectError, UsageError."""

    def add(file: TOMLDocument) -> None:
        import tomlkit

        tables = file.setdefault(_TABLE, tomlkit.table(is_super_table=True))
        table = tables.setdefault(str(root), tomlkit.table())
        for item in items:
            values = table.setdefault(item.kind.value, tomlkit.array().multiline(multiline=True))
            if item.value not in values:
                values.append(item.value)

    return _edit(add)


def revoke(root: Path) -> Path:
    """Remove `[trust."root"]`, and return the path of the file. Raises ProjectError, UsageError."""

    def remove(file: TOMLDocument) -> None:
        if str(root) in file.get(_TABLE, {}):
            del file[_TABLE][str(root)]

    return _edit(remove)


def _edit(change: Callable[[TOMLDocument], None]) -> Path:
    import tomlkit

    user_config.read()  # a file with a mistake is not edited
    found = user_config.path()
    if found is None:
        raise UsageError(
            "there is no folder for your own config: the environment names no home folder", name="no-home-folder"
        )
    path = Path(os.path.realpath(found))  # people keep their configs elsewhere, and link to them
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            file = tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
            change(file)
            atomic.write(path, tomlkit.dumps(file).encode(), path.parent)
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror or error}", name="file-unwritable") from None
    return path
