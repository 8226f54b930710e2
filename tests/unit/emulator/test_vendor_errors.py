from __future__ import annotations

from qwenbuild.emulator.vendor_errors import VENDOR_ERRORS, Refusal, link_expired


def fields(refusal: Refusal) -> tuple[int, str, str]:
    return refusal.status, refusal.code, refusal.message


def test_a_refusal_has_the_status_and_message_of_its_code() -> None:
    """A given message or status replaces the default; an unknown code has the status 400."""
    assert fields(Refusal("ModelNotFound")) == (404, "ModelNotFound", "Model can not be found.")
    assert fields(Refusal("InvalidApiKey", "No API-key provided.")) == (401, "InvalidApiKey", "No API-key provided.")
    assert fields(Refusal("NoSuchKey", "gone", status=404)) == (404, "NoSuchKey", "gone")
    assert fields(Refusal("Unheard")) == (400, "Unheard", "")


def test_an_expired_link_is_refused_as_oss_refuses_it() -> None:
    """OSS uses the code AccessDenied with its own message."""
    assert fields(link_expired()) == (403, "AccessDenied", "Request has expired.")


def test_every_error_has_an_error_status_and_a_message() -> None:
    """No code answers with a success status or an empty message."""
    assert [code for code, (status, message) in VENDOR_ERRORS.items() if not 400 <= status < 600 or not message] == []
