"""Globs: the files that a pattern such as `specs/**/*.toml` matches, found with bounded work.

The patterns are those of `pathlib`. Unlike there, `**/**` costs no more than `**`, and folders whose links lead back to
themselves end with an error instead of hanging.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from qwenbuild.errors import ProjectError
from qwenbuild.problems import Problem

MOST_ENTRIES, MOST_BEHIND_LINKS = 1_000_000, 20_000
"""The most files and folders that one pattern may look at, and the most behind links. They take a few seconds."""


def matches(root: Path, glob: str) -> list[Path]:
    """Return the files and folders below `root` that the glob matches, in no order; raises ProjectError.

    `**` follows no links to folders.
    """
    parts = PurePosixPath(glob).parts
    waiting, met = [(str(root), 0, False)], set[tuple[str, int]]()  # folder, number of the part, is behind a link
    entries, behind = 0, 0
    found: dict[str, None] = {}
    while waiting:
        folder, at, is_behind = waiting.pop()
        if (folder, at) in met:
            continue
        met.add((folder, at))
        part, is_last = parts[at], at == len(parts) - 1
        if part != "**" and not set("*?[") & set(part):
            path = os.path.join(folder, part)
            if is_last and os.path.exists(path):
                found[path] = None
            elif not is_last and os.path.isdir(path):
                waiting.append((path, at + 1, is_behind))
            continue
        if part == "**":
            waiting.append((folder, at + 1, is_behind))
        fits = re.compile(fnmatch.translate(part), re.IGNORECASE if os.name == "nt" else 0).match
        for entry in _entries(folder):
            entries, behind = entries + 1, behind + is_behind
            if part == "**":
                if _is_folder(entry, follow=False):
                    waiting.append((entry.path, at, is_behind))
            elif fits(entry.name):
                if is_last:
                    found[entry.path] = None
                elif _is_folder(entry, follow=True):
                    waiting.append((entry.path, at + 1, is_behind or entry.is_symlink()))
        if entries > MOST_ENTRIES or behind > MOST_BEHIND_LINKS:
            over = f"{MOST_ENTRIES:,} files" if entries > MOST_ENTRIES else f"{MOST_BEHIND_LINKS:,} files behind links"
            hint = "a narrower pattern looks at fewer; links may lead back to a folder above"
            raise ProjectError([Problem(f"specs: {glob} looks at more than {over}", hint=hint, name="too-many-values")])
    return [Path(path) for path in found]


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:  # it is gone, or nobody may list it
        return


def _is_folder(entry: os.DirEntry[str], *, follow: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:  # its links form a circle
        return False
