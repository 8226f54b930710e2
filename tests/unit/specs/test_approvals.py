"""Approvals: written into the user's own config, and found there again."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenbuild.errors import ProjectError, UsageError
from qwenbuild.specs import approvals, user_config
from qwenbuild.trust import Item, Kind

ROOT = Path("/home/me/posters")
ITEMS = [
    Item(Kind.SECRETS, "DASHSCOPE_API_KEY to https://a.example", "", ""),
    Item(Kind.LINKS, 'templates -> /x "y" \\ 表', "", ""),
]


def config() -> Path:
    found = user_config.path()
    assert found
    return found


def test_what_is_recorded_is_approved_for_this_project_alone() -> None:
    """A second record adds to the first; nothing stands there twice."""
    assert approvals.record(ROOT, ITEMS[:1]) == config()
    approvals.record(ROOT, ITEMS)
    assert user_config.read().approved(ROOT) == frozenset(ITEMS)
    assert config().read_text("utf-8").count("https://a.example") == 1
    assert user_config.read().approved(ROOT / "other") == frozenset()
    approvals.record(ROOT / "other", ITEMS[:1])
    approvals.revoke(ROOT)
    assert user_config.read().approved(ROOT) == frozenset()
    assert user_config.read().approved(ROOT / "other") == {ITEMS[0]}
    approvals.revoke(ROOT)


def test_comments_order_and_a_linked_file_stay(tmp_path: Path) -> None:
    """People keep their configs in a repository, and link to them."""
    kept = tmp_path / "dotfiles.toml"
    kept.write_text('# mine\n[providers.dashscope]\nsole_user = true  # yes\n\n[trust."*"]\nlinks = []\n')
    config().parent.mkdir(parents=True)
    config().symlink_to(kept)
    approvals.record(ROOT, ITEMS)
    assert config().is_symlink()
    assert kept.read_text("utf-8").startswith("# mine\n[providers.dashscope]\nsole_user = true  # yes\n")
    assert user_config.read().approved(ROOT) == frozenset(ITEMS)
    assert user_config.read().of_provider("dashscope").sole_user


def test_a_table_may_be_about_several_projects() -> None:
    """`*` is about all of them, `/folder/*` about those below a folder."""
    config().parent.mkdir(parents=True)
    config().write_text('[trust."*"]\nremotes = ["s3://all"]\n[trust."/home/me/*"]\nlinks = ["a -> /b"]\n')
    everywhere, below = Item(Kind.REMOTES, "s3://all", "", ""), Item(Kind.LINKS, "a -> /b", "", "")
    assert user_config.read().approved(ROOT) == {everywhere, below}
    assert user_config.read().approved(Path("/home/me/deep/er")) == {everywhere, below}
    assert user_config.read().approved(Path("/home/me")) == {everywhere}
    assert user_config.read().approved(Path("/home/meg/x")) == {everywhere}


def test_a_config_with_a_mistake_is_not_edited() -> None:
    """Nothing of it is lost."""
    config().parent.mkdir(parents=True)
    config().write_text('[trust."/x"]\nsecret = []\n')
    with pytest.raises(ProjectError, match='unknown key "secret"') as caught:
        approvals.record(ROOT, ITEMS)
    assert 'did you mean "secrets"?' in str(caught.value)
    assert config().read_text() == '[trust."/x"]\nsecret = []\n'


def test_a_config_that_can_not_be_written() -> None:
    """A message says which file, and why."""
    config().parent.parent.mkdir(parents=True)
    config().parent.touch()
    with pytest.raises((UsageError, ProjectError), match="qwenbuild"):
        approvals.record(ROOT, ITEMS)
