"""The place of the store: the environment's folder, an older store in the cache folder, else the data folder."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from qwenbuild.errors import StoreError
from qwenbuild.storage.store import Store
from qwenbuild.storage.store_place import Origin, default_root, find_place


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, with no variable that names another folder."""
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "QWENBUILD_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def cache(home: Path) -> Path:
    return home / ".cache" / "qwenbuild"


def data(home: Path) -> Path:
    return home / ".local" / "share" / "qwenbuild"


def test_the_environment_chooses_the_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`QWENBUILD_CACHE_DIR` may start with `~`; an empty value counts as unset."""
    monkeypatch.setenv("HOME", str(home / "home"))
    Store(cache(home)).put("a" * 64, b"image", b"{}")
    assert default_root({"QWENBUILD_CACHE_DIR": str(home / "x")}) == home / "x"
    assert default_root({"QWENBUILD_CACHE_DIR": "~/x"}) == home / "home" / "x"
    assert default_root({"QWENBUILD_CACHE_DIR": ""}) == data(home / "home")
    assert find_place({"QWENBUILD_CACHE_DIR": "/x"}).origin is Origin.ENVIRONMENT


@pytest.mark.parametrize("given", ["relative", "./x", "../x", "~nobody-here/x"])
def test_a_relative_folder_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """It would be another store in each folder; the message has the folder that is meant here."""
    monkeypatch.chdir(home)
    with pytest.raises(StoreError) as caught:
        find_place({"QWENBUILD_CACHE_DIR": given})
    assert caught.value.claim.startswith("QWENBUILD_CACHE_DIR is a relative path")
    assert caught.value.facts == (f"it is: {given}", f"here it would be: {os.path.abspath(home / given)}")


def test_a_new_store_is_made_in_the_data_folder(home: Path) -> None:
    """What was paid for is data. An empty cache folder, or one with other files, is no store."""
    for below in ("tmp", "projects"):
        assert (find_place({}).root, find_place({}).origin) == (data(home), Origin.DATA)
        (cache(home) / below).mkdir(parents=True)
    assert find_place({}).root == data(home)


@pytest.mark.parametrize("part", ["ac", "cas", "ledger"])
def test_a_store_in_the_cache_folder_stays_in_use(home: Path, part: str) -> None:
    """An earlier version made it there. A part of a store counts. It also comes before a store in the data folder."""
    (cache(home) / part).mkdir(parents=True)
    assert (find_place({}).root, find_place({}).origin, find_place({}).second) == (cache(home), Origin.CACHE, None)
    Store(data(home)).put("a" * 64, b"image", b"{}")
    assert (find_place({}).root, find_place({}).second) == (cache(home), data(home))


def test_a_cache_folder_that_may_hold_a_store_stays_in_use(home: Path) -> None:
    """A link to a disk that is not mounted, and a folder that can't be read, may hold images that were paid for."""
    cache(home).parent.mkdir()
    cache(home).symlink_to(home / "not mounted")
    assert find_place({}).root == cache(home)
    cache(home).unlink()
    cache(home).symlink_to(cache(home))  # a circle can't be read
    assert find_place({}).root == cache(home)
    cache(home).unlink()
    cache(home).parent.rmdir()
    cache(home).parent.symlink_to(home / "not mounted")
    assert find_place({}).root == cache(home)


def test_a_file_in_place_of_the_cache_folder_is_no_store(home: Path) -> None:
    """The data folder is used then."""
    cache(home).parent.mkdir()
    cache(home).write_text("in the way")
    assert find_place({}).root == data(home)


def test_a_relative_xdg_folder_is_ignored(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The XDG specification demands this. An absolute one is used."""
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, "relative")
    assert default_root({}) == data(home)
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    assert default_root({}) == home / "data" / "qwenbuild"
    assert find_place({}).data == home / "data" / "qwenbuild"


def test_a_user_without_a_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made in the working folder: an error says which variable to set. Such a variable is enough."""

    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(StoreError) as caught:
        default_root(os.environ)
    assert caught.value.claim == "there is no place for the store: this user has no home folder"
    assert caught.value.facts == ("looked at: QWENBUILD_CACHE_DIR, XDG_DATA_HOME, HOME, the list of users",)
    assert caught.value.hint == "set QWENBUILD_CACHE_DIR to a folder that is kept"
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    assert default_root({}) == home / "data" / "qwenbuild"
