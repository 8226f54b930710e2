"""The endpoint: base URL, region and workspace, from the config and the environment."""

from __future__ import annotations

from typing import Any

import pytest

from qwenbuild.errors import UsageError
from qwenbuild.providers.dashscope.endpoint import Endpoint, find_endpoint

INTL, CN = "https://dashscope-intl.aliyuncs.com/api/v1", "https://dashscope.aliyuncs.com/api/v1"
US = "https://dashscope-us.aliyuncs.com/api/v1"


@pytest.mark.parametrize(
    ("table", "environ", "expected"),
    [
        ({}, {}, Endpoint(INTL, "singapore")),
        ({"region": "beijing"}, {}, Endpoint(CN, "beijing")),
        ({"base_url": CN + "/"}, {}, Endpoint(CN, "beijing")),
        (
            {"base_url": "http://127.0.0.1:8000/api/v1"}, {},
            Endpoint("http://127.0.0.1:8000/api/v1", "singapore", is_users=False),
        ),
        (
            {"base_url": "http://[::1]:8000/api/v1", "region": "beijing"}, {},
            Endpoint("http://[::1]:8000/api/v1", "beijing", is_users=False),
        ),
        (
            {"base_url": "https://a.example"}, {"DASHSCOPE_BASE_URL": "https://b.example"},
            Endpoint("https://b.example", "singapore"),
        ),
        ({"base_url": INTL}, {"DASHSCOPE_HTTP_BASE_URL": CN}, Endpoint(CN, "beijing")),
        ({}, {"DASHSCOPE_BASE_URL": CN}, Endpoint(CN, "beijing")),
        ({}, {"DASHSCOPE_BASE_URL": CN, "DASHSCOPE_HTTP_BASE_URL": INTL}, Endpoint(INTL, "singapore")),
        ({"region": "virginia"}, {}, Endpoint(US, "virginia")),
        ({"region": "hongkong"}, {}, Endpoint("https://cn-hongkong.dashscope.aliyuncs.com/api/v1", "hongkong")),
        ({"base_url": US}, {}, Endpoint(US, "virginia")),
        (
            {"region": "frankfurt", "workspace": "ws-1"}, {},
            Endpoint("https://ws-1.eu-central-1.maas.aliyuncs.com/api/v1", "frankfurt", "ws-1"),
        ),
        (
            {"base_url": "https://trial.us-east-1.maas.aliyuncs.com/api/v1"}, {},
            Endpoint("https://trial.us-east-1.maas.aliyuncs.com/api/v1", "virginia"),
        ),
        ({"workspace": "ws-1"}, {}, Endpoint(INTL, "singapore", "ws-1")),
        ({"workspace": "ws-1"}, {"DASHSCOPE_WORKSPACE_ID": "ws-2"}, Endpoint(INTL, "singapore", "ws-2")),
        (
            {}, {"DASHSCOPE_WORKSPACE_ID": "ws-2", "DASHSCOPE_HTTP_BASE_URL": "https://{workspace_id}.cn-beijing.maas.aliyuncs.com/api/v1"},
            Endpoint("https://ws-2.cn-beijing.maas.aliyuncs.com/api/v1", "beijing", "ws-2"),
        ),
    ],
)  # fmt: skip
def test_the_endpoint_follows_config_and_environment(
    table: dict[str, Any], environ: dict[str, str], expected: Endpoint
) -> None:
    """The SDK's variables win over the config; a host of the vendor determines the region."""
    assert find_endpoint(table, environ) == expected


@pytest.mark.parametrize(
    ("table", "claim"),
    [
        ({"region": "singapur"}, 'unknown region "singapur"'),
        ({"region": ["beijing"]}, "unknown region \"['beijing']\""),
        ({"region": "singapore", "base_url": CN}, "base_url points to beijing, but the region is singapore"),
        ({"base_url": "http://example.com/api/v1"}, "base_url is plain http: the network could read the key"),
        ({"base_url": "http://localhost.evil.com"}, "base_url is plain http: the network could read the key"),
        ({"base_url": "ftp://127.0.0.1/"}, "base_url is not the URL of a service"),
        ({"base_url": "dashscope.aliyuncs.com"}, "base_url is not the URL of a service"),
        ({"base_url": "https://host/api?x=1"}, "base_url is not the URL of a service"),
        ({"base_url": "https://[::1"}, "base_url is not a URL"),
        ({"base_url": "https://host:99999"}, "base_url is not a URL"),
        ({"base_url": "https://user:secret@host/api/v1"}, "base_url holds a user name or password"),
        ({"base_url": "https://{workspace_id}.x/api/v1"}, "base_url needs a workspace id, and none is set"),
        ({"region": "frankfurt"}, "the region frankfurt needs a workspace id: its hosts belong to workspaces"),
        (
            {"region": "frankfurt", "base_url": "https://ws-1.us-east-1.maas.aliyuncs.com/api/v1", "workspace": "ws-1"},
            "base_url points to virginia, but the region is frankfurt",
        ),
        ({"base_url": 5}, "base_url is not a text"),
        ({"workspace": "a/../b"}, '"a/../b" is not a workspace id'),
        ({"workspace": "ws-1\n"}, '"ws-1\n" is not a workspace id'),
        ({"workspace": 7}, '"7" is not a workspace id'),
    ],
)  # fmt: skip
def test_an_invalid_endpoint_is_refused(table: dict[str, Any], claim: str) -> None:
    """The error says what is wrong and what to write instead; it shows no password of a URL."""
    with pytest.raises(UsageError) as caught:
        find_endpoint(table, {})
    assert caught.value.claim == claim
    assert caught.value.hint
    assert "secret" not in str(caught.value)


def test_the_misprinted_host_of_the_reference_is_explained() -> None:
    """Whoever copies the reference's first example learns which host is meant."""
    with pytest.raises(UsageError) as caught:
        find_endpoint({"base_url": "https://dashscope-max.aliyuncs.com/api/v1"}, {})
    assert "misprint" in str(caught.value)
    assert CN in str(caught.value)
