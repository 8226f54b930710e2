"""Who may act through a page: keys, challenges and proofs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qwenbuild.files.user_folders import cache_folder
from qwenbuild.pages.access import Access, user_secret


def kept() -> Path:
    folder = cache_folder()
    assert folder is not None
    return folder / "preview.secret"


def test_a_proof_is_for_one_act_and_one_body(tmp_path: Path) -> None:
    """A proof allows the act with the body that it was made for, and nothing else."""
    access = Access(tmp_path, 17000)
    proof = access.proof("/render", b"{}")
    assert access.allows(proof, "/render", b"{}")
    assert not access.allows(proof, "/keep", b"{}")
    assert not access.allows(proof, "/render", b"{ }")
    assert not any(access.allows(other, "/render", b"{}") for other in ("", "é", proof.upper(), access.key))


def test_a_page_can_act_after_a_restart(tmp_path: Path) -> None:
    """The next server of the project on this port has the same key; an old proof is worth nothing."""
    first, second = Access(tmp_path, 17000), Access(tmp_path, 17000)
    assert (first.key, first.identity) == (second.key, second.identity)
    assert first.challenge != second.challenge
    assert not second.allows(first.proof("/render", b"{}"), "/render", b"{}")


def test_another_project_another_port_and_another_user_have_other_keys(tmp_path: Path) -> None:
    """A key is good for one project on one port; a page notices that another project is served."""
    one = Access(tmp_path, 17000)
    keys = {one.key, Access(tmp_path, 17001).key, Access(tmp_path / "b", 17000).key, Access(tmp_path, 17000, b"x").key}
    assert len(keys) == 4
    assert Access(tmp_path, 17001).identity == one.identity != Access(tmp_path / "b", 17001).identity


def test_the_challenge_of_a_false_server_gives_nothing(tmp_path: Path) -> None:
    """A server that took the port chooses a challenge; the proof that it gets is refused by the true server."""
    false, true = Access(tmp_path, 17000), Access(tmp_path, 17000)
    false.challenge = "chosen"
    assert not true.allows(false.proof("/render", b"{}"), "/render", b"{}")


def test_the_secret_is_the_users_alone() -> None:
    """The file is readable by its owner only, and is used again."""
    secret = user_secret()
    assert user_secret() == secret == kept().read_bytes()
    assert kept().stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has these modes")
def test_a_secret_that_others_could_read_is_replaced() -> None:
    """A secret with other rights, of another length, or behind a link is made anew."""
    first = user_secret()
    kept().chmod(0o640)
    second = user_secret()
    kept().write_bytes(b"short")
    third = user_secret()
    kept().rename(kept().with_name("elsewhere"))
    kept().symlink_to("elsewhere")
    assert len({first, second, third, user_secret()}) == 4
    assert not kept().is_symlink()


def test_a_secret_that_cannot_be_kept_lasts_for_one_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If the cache folder can't be written, each server has a secret of its own."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(user_secret()) == 32
    assert user_secret() != user_secret()
