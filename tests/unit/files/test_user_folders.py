"""The user's own folders follow from the environment."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from qwenbuild.files.user_folders import cache_folder, config_folder, data_folder

FOLDERS = (data_folder, cache_folder, config_folder)
VARIABLES = ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")


def test_they_lie_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is relative or not set names no folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("relative", ""):
        for name in VARIABLES:
            monkeypatch.setenv(name, value)
        assert [find() for find in FOLDERS] == [
            tmp_path / below / "qwenbuild" for below in (".local/share", ".cache", ".config")
        ]


def test_variables_name_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An absolute folder is used as it is."""
    for name in VARIABLES:
        monkeypatch.setenv(name, str(tmp_path / name))
    assert [find() for find in FOLDERS] == [tmp_path / name / "qwenbuild" for name in VARIABLES]


def test_a_user_without_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a user, as in a container, has none of these folders."""

    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    for name in (*VARIABLES, "HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert [find() for find in FOLDERS] == [None, None, None]
