from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.errors import AccountError, UsageError
from qwenbuild.providers.dashscope.credentials import ApiKey, Endpoint, find_endpoint, find_key


def test_the_key_comes_from_where_the_sdk_looks_in_its_order(tmp_path: Path) -> None:
    """The variable wins over the named file, and that over the file in the home folder."""
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
    """The SDK itself, run in the same environment, agrees."""
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


def test_without_a_key_the_error_says_where_it_was_sought(tmp_path: Path) -> None:
    """An empty variable counts as none; the draft provider is offered."""
    with pytest.raises(AccountError) as caught:
        find_key({"HOME": str(tmp_path), "DASHSCOPE_API_KEY": ""})
    assert caught.value.claim == "no API key for the dashscope provider"
    assert caught.value.facts == (
        f"looked at: DASHSCOPE_API_KEY, DASHSCOPE_API_KEY_FILE_PATH, {tmp_path}/.dashscope/api_key",
    )
    assert "--provider draft" in (caught.value.hint or "")


def test_a_key_file_that_is_not_there_or_can_not_be_read_is_named(tmp_path: Path) -> None:
    """A wrong path is not passed over in silence."""
    for path, problem in (
        (tmp_path / "none", "which DASHSCOPE_API_KEY_FILE_PATH names, does not exist"),
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
        ("'sk-secret'", "stands in quotes"),
        ('"sk-secret', "stands in quotes"),
        ("“sk-secret”", "stands in quotes"),
        ("Bearer sk-secret", 'begins with "Bearer": leave that out'),
        ("sk-sécret", "has characters that no key has (not ASCII)"),
        ("sk-sec\nret", "has spaces or control characters in it"),
        ("sk-sec ret", "has spaces or control characters in it"),
        ("sk-" + "secret" * 100, "is longer than 512 characters"),
        ("", "is empty"),
    ],
)
def test_a_malformed_key_is_explained_and_not_shown(value: str, problem: str) -> None:
    """What is wrong is said in words; no part of the key appears."""
    with pytest.raises(AccountError) as caught:
        ApiKey(value, "DASHSCOPE_API_KEY")
    assert caught.value.claim == f"the API key in DASHSCOPE_API_KEY {problem}"
    assert "sk-" not in str(caught.value)


def test_a_key_hides_itself() -> None:
    """Its text forms and its fingerprint hold nothing of it."""
    key = ApiKey("sk-secret", "DASHSCOPE_API_KEY")
    assert repr(key) == str(key) == "ApiKey(***, origin='DASHSCOPE_API_KEY')"
    assert not hasattr(key, "__dict__")
    assert key.fingerprint == ApiKey("sk-secret", "elsewhere").fingerprint
    assert key.fingerprint != ApiKey("sk-secret2", "elsewhere").fingerprint
    assert len(key.fingerprint) == 12


INTL, CN = "https://dashscope-intl.aliyuncs.com/api/v1", "https://dashscope.aliyuncs.com/api/v1"


@pytest.mark.parametrize(
    ("table", "environ", "expected"),
    [
        ({}, {}, Endpoint(INTL, "singapore")),
        ({"region": "beijing"}, {}, Endpoint(CN, "beijing")),
        ({"base_url": CN + "/"}, {}, Endpoint(CN, "beijing")),
        ({"base_url": "http://127.0.0.1:8000/api/v1"}, {}, Endpoint("http://127.0.0.1:8000/api/v1", "singapore")),
        ({"base_url": "http://[::1]:8000/api/v1", "region": "beijing"}, {}, Endpoint("http://[::1]:8000/api/v1", "beijing")),  # noqa: E501
        ({"base_url": INTL}, {"DASHSCOPE_HTTP_BASE_URL": CN}, Endpoint(CN, "beijing")),
        ({}, {"DASHSCOPE_BASE_URL": CN}, Endpoint(CN, "beijing")),
        ({}, {"DASHSCOPE_BASE_URL": CN, "DASHSCOPE_HTTP_BASE_URL": INTL}, Endpoint(INTL, "singapore")),
        ({"workspace": "ws-1"}, {}, Endpoint(INTL, "singapore", "ws-1")),
        ({"workspace": "ws-1"}, {"DASHSCOPE_WORKSPACE_ID": "ws-2"}, Endpoint(INTL, "singapore", "ws-2")),
        (
            {}, {"DASHSCOPE_WORKSPACE_ID": "ws-2", "DASHSCOPE_HTTP_BASE_URL": "https://{workspace_id}.cn-beijing.maas.aliyuncs.com/api/v1"},
            Endpoint("https://ws-2.cn-beijing.maas.aliyuncs.com/api/v1", "beijing", "ws-2"),
        ),
    ],
)  # fmt: skip
def test_the_address_and_region_follow_config_and_environment(
    table: dict[str, Any], environ: dict[str, str], expected: Endpoint
) -> None:
    """The SDK's variables win over the config; the vendor's own hosts settle the region."""
    assert find_endpoint(table, environ) == expected


@pytest.mark.parametrize(
    ("table", "claim"),
    [
        ({"region": "singapur"}, 'unknown region "singapur"'),
        ({"region": ["beijing"]}, "unknown region \"['beijing']\""),
        ({"region": "singapore", "base_url": CN}, "base_url points to beijing, but the region is singapore"),
        ({"base_url": "http://example.com/api/v1"}, "base_url is plain http: anyone on the way could read the key"),
        ({"base_url": "http://localhost.evil.com"}, "base_url is plain http: anyone on the way could read the key"),
        ({"base_url": "ftp://127.0.0.1/"}, "base_url is no address of a service"),
        ({"base_url": "dashscope.aliyuncs.com"}, "base_url is no address of a service"),
        ({"base_url": "https://host/api?x=1"}, "base_url is no address of a service"),
        ({"base_url": "https://[::1"}, "base_url is no address"),
        ({"base_url": "https://host:99999"}, "base_url is no address"),
        ({"base_url": "https://user:secret@host/api/v1"}, "base_url holds a user name or password"),
        ({"base_url": "https://{workspace_id}.x/api/v1"}, "base_url names a workspace, and none is known"),
        ({"base_url": 5}, "base_url is no text"),
        ({"workspace": "a/../b"}, '"a/../b" is no workspace id'),
        ({"workspace": "ws-1\n"}, '"ws-1\n" is no workspace id'),
        ({"workspace": 7}, '"7" is no workspace id'),
    ],
)  # fmt: skip
def test_an_address_that_makes_no_sense_is_refused(table: dict[str, Any], claim: str) -> None:
    """What is wrong is said, and what to write instead; a password in an address is not repeated."""
    with pytest.raises(UsageError) as caught:
        find_endpoint(table, {})
    assert caught.value.claim == claim
    assert caught.value.hint
    assert "secret" not in str(caught.value)
