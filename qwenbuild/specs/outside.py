"""Outside: what of a project lies outside of it, which are links that lead out and folders of other users.

A stranger's project could read the user's files through such a link, and show or send them. A config in a parent folder
that belongs to somebody else could do the same (git calls this "dubious ownership"). Both need the user's approval.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from qwenbuild.files.paths import is_gits
from qwenbuild.problems import Problem
from qwenbuild.trust import Item, Kind


def owners(start: Path, config: Path, environ: Mapping[str, str]) -> Iterator[Item]:
    """Yield an item if the project was found in a folder above `start`, and belongs to another user.

    `config` is the project's config file. See `is_another` for who counts as another user.
    """
    if config.parent == Path(os.path.abspath(start)) or not hasattr(os, "getuid"):
        return
    for path in (config.parent, config):
        if is_another(uid := os.stat(path).st_uid, os.getuid(), environ):
            claim = f"{path}, in a folder above this one, belongs to {_user(uid)}"
            yield Item(Kind.OWNERS, f"{_user(uid)} owns {config.parent}", claim, str(path))
            return


def is_another(owner: int, own: int, environ: Mapping[str, str]) -> bool:
    """Return whether a file of the user `owner` is a stranger's to the user `own`.

    Root may do everything anyway, so root is no stranger. Neither is the user who called `sudo`.
    """
    return owner not in (0, own) and not (own == 0 and environ.get("SUDO_UID") == str(owner))


def _user(uid: int) -> str:
    import pwd  # here, because Windows has no such module

    try:
        return f"user {uid} ({pwd.getpwuid(uid).pw_name})"
    except KeyError:
        return f"user {uid}"


def links(root: Path, paths: Iterable[Path]) -> Iterator[Item]:
    """Yield an item for each path below `root` that is, or lies behind, a link out of `root`."""
    real_root = os.path.realpath(root)
    folders: dict[Path, str] = {}  # where each parent folder really is
    for path in paths:
        if path.parent not in folders:
            folders[path.parent] = os.path.realpath(path.parent)
        real = os.path.realpath(path) if path.is_symlink() else os.path.join(folders[path.parent], path.name)
        if real != real_root and not real.startswith(os.path.join(real_root, "")):
            name = path.relative_to(root).as_posix()
            yield Item(Kind.LINKS, f"{name} -> {real}", f"{name} leads out of the project, to {real}", name)


def is_inside(root: Path, path: Path) -> bool:
    """Return whether a path lies in the folder `root`, after all links were followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def contents(folder: Path, levels: int) -> list[Path]:
    """Return the paths of what lies in `folder`, and down to `levels` levels of its folders.

    Links are not followed, and a folder that can't be read counts as empty.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []
    paths = [Path(entry.path) for entry in found]
    if levels > 1:
        paths += [path for entry in found if entry.is_dir(follow_symlinks=False)
                  for path in contents(Path(entry.path), levels - 1)]  # fmt: skip
    return paths


def special(root: Path, paths: Iterable[Path]) -> Iterator[Problem]:
    """Yield a problem for each path that is a device, a FIFO or a socket, also behind a link."""
    for path in paths:
        try:
            mode = os.stat(path).st_mode
        except OSError:  # it is missing, or its reader reports the error
            continue
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            name = path.relative_to(root).as_posix()
            claim = f"{name} is neither a file nor a folder, but a device, a FIFO or a socket"
            yield Problem(claim, hint=f"remove it: rm {name}", name="special-file")


def is_in_git(root: Path, folder: str) -> bool:
    """Return whether a folder lies inside `.git`: git runs what a build writes there, and keeps passwords there."""
    real = os.path.relpath(os.path.realpath(root / folder), os.path.realpath(root))
    return any(is_gits(part) for path in (folder, real) for part in path.replace("\\", "/").split("/"))
