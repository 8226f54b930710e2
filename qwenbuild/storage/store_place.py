"""The place of the store: the folder that holds what was paid for.

It is, in this order:
1. the folder that `$QWENBUILD_CACHE_DIR` names, by a whole path;
2. the platform's user cache folder, if a store is there: earlier versions of qwenbuild put it there;
3. the platform's user data folder: what was paid for is data, and cleaners empty caches.

Invariant: no new store is made in the user cache folder. So builds that start at the same moment choose the same place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from qwenbuild.errors import StoreError
from qwenbuild.files.user_folders import cache_folder, data_folder

_PARTS = ("ac", "cas", "ledger")  # a folder with one of these is a store


class Origin(StrEnum):
    """Why the store is where it is."""

    ENVIRONMENT = "QWENBUILD_CACHE_DIR names it"
    CACHE = "the user cache folder, because a store was there already"
    DATA = "the user data folder"


@dataclass(frozen=True, slots=True)
class StorePlace:
    """The folder of the store, and why it was chosen.

    `data` is the user data folder; None if it is unknown, or if `$QWENBUILD_CACHE_DIR` is set.
    """

    root: Path
    origin: Origin
    data: Path | None = None

    @property
    def second(self) -> Path | None:
        """The folder of a second store, which no build reads; None if there is none."""
        return self.data if self.origin is Origin.CACHE and self.data and _has_store(self.data) else None


def find_place(environ: Mapping[str, str]) -> StorePlace:
    """Return the place of the store, which may not exist yet.

    Raises StoreError if a variable names a relative folder, or if the user has no home folder and none is named.
    """
    if chosen := named_folder(environ, "QWENBUILD_CACHE_DIR"):
        return StorePlace(chosen, Origin.ENVIRONMENT)
    cache, data = cache_folder(), data_folder()
    if cache and _has_store(cache):
        return StorePlace(cache, Origin.CACHE, data)
    if data:
        return StorePlace(data, Origin.DATA, data)
    raise StoreError(
        "there is no place for the store: this user has no home folder",
        facts=["looked at: QWENBUILD_CACHE_DIR, XDG_DATA_HOME, HOME, the list of users"],
        hint="set QWENBUILD_CACHE_DIR to a folder that is kept",
        name="no-home-folder",
    )


def named_folder(environ: Mapping[str, str], variable: str) -> Path | None:
    """Return the folder that an environment variable names; None if it names none. Raises StoreError.

    It must be absolute, or begin with `~`: a relative one would mean another folder wherever a command runs.
    """
    given = environ.get(variable)
    if not given:
        return None
    folder = os.path.expanduser(given)
    if not os.path.isabs(folder):
        raise StoreError(
            f"{variable} is a relative path: it would name another folder wherever a command runs",
            facts=[f"it is: {given}", f"here it would be: {os.path.abspath(folder)}"],
            hint=f"set {variable} to a whole path, such as the one above",
            name="relative-folder",
        )
    return Path(os.path.abspath(folder))


def default_root(environ: Mapping[str, str]) -> Path:
    """Return the store's folder; see `find_place`."""
    return find_place(environ).root


def _has_store(folder: Path) -> bool:
    """Whether a store is in `folder`, or may be: with a doubt taken for a no, its images would be paid for again."""
    for name in _PARTS:
        try:
            os.lstat(folder / name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:  # such as a folder that this user may not read
            return True
        return True
    # A link that leads nowhere: its disk may not be mounted now.
    return any(os.path.islink(path) and not os.path.exists(path) for path in (folder, *folder.parents))
