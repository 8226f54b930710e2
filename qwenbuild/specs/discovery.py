"""Discovery: the config file of a project, and the specs that its glob matches.

The build and shell completion find projects and specs through this module. It validates nothing and loads neither
pydantic nor Jinja, because completion runs at every Tab.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from qwenbuild.errors import UsageError
from qwenbuild.files.toml import TomlFile
from qwenbuild.state_folder import CONFIG, SHARED_CONFIG

from . import globs

_SHARED_KEYS = ("tool", "qwenbuild")

SPECS = "specs/*.toml"
"""The glob of the specs, unless the config sets another."""


_LONGEST, _LONGEST_PART = 1000, 255  # of a path in the config; no system takes a longer name


class ConfigFile(NamedTuple):
    """The file that holds a project's config, and where in the file the config stands."""

    root: Path  # the folder of the project
    source: TomlFile
    keys: tuple[str, ...]  # the keys of the config's table; empty if the whole file is the config
    searched: tuple[Path, ...]  # every place that was looked at; the last one is the file itself

    @property
    def table(self) -> Any:
        """The config as written; usually a table."""
        table: Any = self.source.table
        for key in self.keys:
            table = table[key]
        return table


def find_config(start: Path) -> ConfigFile:
    """Return the config file of the project that the folder `start` belongs to.

    Raises UsageError if there is no such folder or no project, and ProjectError if a file can't be read or is not TOML.
    """
    folder = Path(os.path.abspath(start))
    if not folder.is_dir():
        raise UsageError(f"no such folder: {start}", name="no-such-file")
    searched: list[Path] = []
    for root in (folder, *folder.parents):
        searched.append(root / CONFIG)
        if searched[-1].is_file():
            return ConfigFile(root, TomlFile.read(searched[-1], CONFIG), (), tuple(searched))
        searched.append(root / SHARED_CONFIG)
        if searched[-1].is_file():
            source = TomlFile.read(searched[-1], SHARED_CONFIG)
            tool = source.table.get(_SHARED_KEYS[0])
            if isinstance(tool, dict) and _SHARED_KEYS[1] in tool:
                return ConfigFile(root, source, _SHARED_KEYS, tuple(searched))
    raise UsageError(
        f"no project here: neither {CONFIG} nor [tool.qwenbuild] in pyproject.toml",
        facts=[f"looked in {folder} and every folder above"],
        hint="`qwenbuild init` makes a project here; `-C DIR` names one elsewhere",
        name="no-project",
    )


def path_fault(text: str) -> str | None:
    """Return what is wrong with a path or glob of the config; None if it stays inside the project."""
    if not text or os.path.isabs(text) or ".." in text.replace("\\", "/").split("/") or "\0" in text:
        return "must be a path inside the project"
    if len(text) > _LONGEST or any(len(part.encode()) > _LONGEST_PART for part in text.split("/")):
        return f"must have at most {_LONGEST:,} characters, and {_LONGEST_PART} bytes between two slashes"
    return None


def glob_fault(text: str) -> str | None:
    """Return what is wrong with a glob of specs; None if it can match files inside the project."""
    parts = PurePosixPath(text).parts
    if not parts or text.endswith("/") or parts[-1] == "**" or any("**" in part != "**" for part in parts):
        return 'must be a glob of files, such as "specs/*.toml" or "specs/**/*.toml"'
    return path_fault(text)


def spec_paths(root: Path, glob: str) -> list[Path]:
    """Return the files that the glob matches below `root`, sorted; hidden files are left out. Raises ProjectError."""
    return sorted(path for path in globs.matches(root, glob) if path.name[:1] not in ("", "."))


def spec_folders(root: Path, glob: str) -> list[Path]:
    """Return the folders in which a new file could match the glob."""
    fixed = _fixed_folder(root, glob)
    if fixed == root.joinpath(*glob.split("/")[:-1]):
        return [fixed]
    return [Path(folder) for folder, _, _ in os.walk(fixed)]


def spec_name(root: Path, glob: str, path: Path) -> str:
    """Return a spec's name: its path without suffix, relative to the folder in which the glob's wildcards start."""
    return path.relative_to(_fixed_folder(root, glob)).with_suffix("").as_posix()


def _fixed_folder(root: Path, glob: str) -> Path:
    """Return the folder that the glob names before its first wildcard."""
    return root.joinpath(*itertools.takewhile(lambda part: not set("*?[") & set(part), glob.split("/")[:-1]))
