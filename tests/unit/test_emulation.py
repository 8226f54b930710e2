"""Emulation: keys of emulated images, and what older versions took for the service's."""

from __future__ import annotations

from typing import Any

import pytest

from qwenbuild.digest import canonical_json
from qwenbuild.emulation import FACT, emulated_key, is_unmarked, may_be_unmarked

UUID4 = "0b7f4a36-2f4e-4c1e-9a44-3f6de3b7a1c2"


def test_a_key_for_each_request_and_address() -> None:
    """Golden: stores keep these keys."""
    key = emulated_key("ab" * 32, "http://127.0.0.1:8123")
    assert key == "5db72f11728a53716b32ae2dcb1b3320513826ac7faef99f52737d62599db224"
    assert (
        len({key, emulated_key("cd" * 32, "http://127.0.0.1:8123"), emulated_key("ab" * 32, "http://[::1]:8123")}) == 3
    )


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        (None, False),
        ({}, False),
        ({"downloaded_from": "127.0.0.1", "request_id": UUID4}, True),
        ({"downloaded_from": "127.1.2.3", "task_id": UUID4, "request_id": "other"}, True),
        ({"downloaded_from": "::1", "request_id": UUID4}, True),
        ({"downloaded_from": "localhost", "request_id": UUID4}, True),
        ({"downloaded_from": "localhost.example", "request_id": UUID4}, False),
        ({"downloaded_from": "127.0.0.1", "request_id": UUID4, FACT: "http://127.0.0.1:8123"}, False),
        ({"downloaded_from": "127.0.0.1", "request_id": "a4d78a5f-655f-9639-8437-aabbccddeeff"}, False),
        ({"downloaded_from": "localhost", "request_id": "4438deec-2d21-9b9c-b405-a47459fd8f75"}, False),
        ({"downloaded_from": "127.0.0.1", "request_id": "0B7F4A36-2F4E-4C1E-9A44-3F6DE3B7A1C2"}, False),
        ({"downloaded_from": "127.0.0.1", "request_id": "chatcmpl-0b7f4a36"}, False),
        ({"downloaded_from": "127.0.0.1"}, False),
        ({"downloaded_from": "x.oss-cn-shanghai.aliyuncs.com", "request_id": UUID4}, False),
        ({"downloaded_from": 7, "request_id": [UUID4]}, False),
    ],
)
def test_unmarked_images(provenance: dict[str, Any] | None, expected: bool) -> None:
    """Only the address and an id together show that an emulator made an image; the quick look misses none."""
    assert is_unmarked(provenance) == expected
    assert may_be_unmarked(canonical_json(provenance)) or not expected
