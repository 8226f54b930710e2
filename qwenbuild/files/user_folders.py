"""The user's own folders for qwenbuild: data, cache and config, where the platform has them.

They follow from the environment of this process. A relative XDG variable is ignored, as the XDG specification demands.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def data_folder() -> Path | None:
    """Return the folder of data, such as `~/.local/share/qwenbuild`; None if the user has no home folder."""
    from platformdirs import user_data_path

    return _folder(user_data_path)


def cache_folder() -> Path | None:
    """Return the folder of caches, such as `~/.cache/qwenbuild`; None if the user has no home folder."""
    from platformdirs import user_cache_path

    return _folder(user_cache_path)


def config_folder() -> Path | None:
    """Return the folder of settings, such as `~/.config/qwenbuild`; None if the user has no home folder."""
    from platformdirs import user_config_path

    return _folder(user_config_path)


def _folder(find: Callable[..., Path]) -> Path | None:
    try:
        return find("qwenbuild", appauthor=False)
    except RuntimeError:
        return None
