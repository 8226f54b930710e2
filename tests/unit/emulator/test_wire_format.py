from __future__ import annotations

from uuid import UUID
from xml.etree import ElementTree

import pytest

from qwenbuild.emulator.vendor_errors import Refusal
from qwenbuild.emulator.wire_format import china_time, encode, new_id, oss_error, parsed_time

AT_S = 1_757_396_360.659


def test_times_are_in_chinas_time() -> None:
    """Both notations are in UTC+8. Answers have milliseconds; the task list's filters have whole seconds."""
    assert china_time(AT_S) == "2025-09-09 13:39:20.659"
    assert parsed_time("20250909133920") == int(AT_S)


@pytest.mark.parametrize("text", ["", "2025-09-09 13:39:20", "20251309000000", "now"])
def test_other_times_are_refused(text: str) -> None:
    """The refusal names the format."""
    with pytest.raises(Refusal, match="must be in the format YYYYMMDDhhmmss"):
        parsed_time(text)


def test_json_is_compact_utf8_without_escapes() -> None:
    """Chinese is not escaped, and an unpaired surrogate does not cause an error."""
    assert encode({"a": [1, "猫"]}) == '{"a":[1,"猫"]}'.encode()
    assert encode({"a": "\ud800"}) == b'{"a":"\xed\xa0\x80"}'


def test_ids_are_uuids_and_differ() -> None:
    """Each request and each task gets its own id."""
    first, second = new_id(), new_id()
    assert (str(UUID(first)), first == second) == (first, False)


def test_the_error_document_of_oss_is_xml() -> None:
    """Code, message and bucket are escaped, so the document can be parsed."""
    document = ElementTree.fromstring(oss_error("No<Such>Key", "a & b", "bucket"))
    assert document.tag == "Error"
    assert [(child.tag, child.text) for child in document if child.tag != "RequestId"] == [
        ("Code", "No<Such>Key"), ("Message", "a & b"), ("HostId", "bucket"),
    ]  # fmt: skip
