"""The API key: where it is found, which texts are refused, and that it stays hidden."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qwenbuild.errors import AccountError
from qwenbuild.providers.dashscope.credentials import ApiKey, find_key


def test_the_key_is_searched_in_the_order_of_the_sdk(tmp_path: Path) -> None:
    """The variable wins over the file that a variable names; that file wins over the file in the home folder."""
    named, default = tmp_path / "named", tmp_path / ".dashscope" / "api_key"
    default.parent.mkdir()
    named.write_text("sk-named\n")
    default.write_text("  sk-default\n")
    environ = {
        "HOME": str(tmp_path), "DASHSCOPE_API_KEY_FILE_PATH": str(named), "DASHSCOPE_API_KEY": "sk-variable"
    }  # fmt: skip
    found = []
    for name in ("DASHSCOPE_API_KEY", "DASHSCOPE_API_KEY_FILE_PATH", "HOME"):
        key = find_key(environ)
        found.append((key.reveal(), key.origin))
        if name != "HOME":
            del environ[name]
    assert found == [
        ("sk-variable", "DASHSCOPE_API_KEY"),
        ("sk-named", str(named)),
        ("sk-default", str(default)),
    ]


@pytest.mark.parametrize("where", ["variable", "named", "default"])
def test_the_vendors_sdk_finds_the_same_key(where: str, tmp_path: Path) -> None:
    """The vendor's SDK, run in the same environment, finds the same key."""
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    (tmp_path / ".dashscope").mkdir()
    (tmp_path / ".dashscope" / "api_key").write_text("sk-default\n")
    (tmp_path / "named").write_text("sk-named\n")
    if where != "default":
        environ["DASHSCOPE_API_KEY_FILE_PATH"] = str(tmp_path / "named")
    if where == "variable":
        environ["DASHSCOPE_API_KEY"] = "sk-variable"
    script = "from dashscope.common.api_key import get_default_api_key; print(get_default_api_key())"
    sdk = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert find_key(environ).reveal() == sdk.stdout.strip() == f"sk-{where}"


def test_without_a_key_the_error_says_where_it_looked(tmp_path: Path) -> None:
    """An empty variable counts as not set; the hint names the draft provider."""
    with pytest.raises(AccountError) as caught:
        find_key({"HOME": str(tmp_path), "DASHSCOPE_API_KEY": ""})
    assert caught.value.claim == "no API key for the dashscope provider"
    assert caught.value.facts == (
        f"looked at: DASHSCOPE_API_KEY, DASHSCOPE_API_KEY_FILE_PATH, {tmp_path}/.dashscope/api_key",
    )
    assert "--provider draft" in (caught.value.hint or "")


def test_a_missing_or_unreadable_key_file_is_named(tmp_path: Path) -> None:
    """A wrong path in the variable is an error; the default file is not tried instead."""
    for path, problem in (
        (tmp_path / "none", "set by DASHSCOPE_API_KEY_FILE_PATH, does not exist"),
        (tmp_path, "can't be read"),
    ):
        with pytest.raises(AccountError) as caught:
            find_key({"HOME": str(tmp_path), "DASHSCOPE_API_KEY_FILE_PATH": str(path)})
        assert problem in caught.value.facts[0]
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(AccountError) as caught:
        find_key({"HOME": str(tmp_path), "DASHSCOPE_API_KEY_FILE_PATH": str(binary)})
    assert caught.value.facts == (f"{binary} can't be read: it is not UTF-8",)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("sk-secret\n", "has spaces or line ends around it"),
        (" sk-secret", "has spaces or line ends around it"),
        ("'sk-secret'", "is in quotes"),
        ('"sk-secret', "is in quotes"),
        ("“sk-secret”", "is in quotes"),
        ("Bearer sk-secret", 'begins with "Bearer": leave that out'),
        ("sk-sécret", "has characters that no key has (not ASCII)"),
        ("sk-sec\nret", "has spaces or control characters in it"),
        ("sk-sec ret", "has spaces or control characters in it"),
        ("sk-" + "secret" * 100, "is longer than 512 characters"),
        ("", "is empty"),
    ],
)
def test_a_malformed_key_is_explained_but_not_shown(value: str, problem: str) -> None:
    """The error says what is wrong and shows no part of the key."""
    with pytest.raises(AccountError) as caught:
        ApiKey(value, "DASHSCOPE_API_KEY")
    assert caught.value.claim == f"the API key in DASHSCOPE_API_KEY {problem}"
    assert "sk-" not in str(caught.value)


def test_a_key_stays_hidden() -> None:
    """`repr`, `str` and the fingerprint show no part of the key."""
    key = ApiKey("sk-secret", "DASHSCOPE_API_KEY")
    assert repr(key) == str(key) == "ApiKey(***, origin='DASHSCOPE_API_KEY')"
    assert not hasattr(key, "__dict__")
    assert key.fingerprint == ApiKey("sk-secret", "elsewhere").fingerprint
    assert key.fingerprint != ApiKey("sk-secret2", "elsewhere").fingerprint
    assert len(key.fingerprint) == 12
