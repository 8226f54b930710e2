"""Error codes: each code, status and page becomes the right error, with a hint."""

from __future__ import annotations

import pytest

from qwenbuild.errors import (
    AccountError,
    AnswerLost,
    ModelRefused,
    Moderated,
    ProviderError,
    Refused,
    ServiceFault,
    Throttled,
)  # fmt: skip
from qwenbuild.providers.dashscope import error_codes

# All known codes of the service, with HTTP status and error.
CODES: list[tuple[int, str, type[ProviderError]]] = [
    (400, "InvalidParameter", Refused),
    (400, "InvalidParameter.DataInspection", Refused),
    (400, "BadRequest.EmptyInput", Refused),
    (400, "BadRequest.TooLarge", Refused),
    (400, "InvalidURL", ModelRefused),
    (400, "InvalidURL.ConnectionRefused", ModelRefused),
    (400, "UnsupportedOperation", Refused),
    (400, "DataInspectionFailed", Moderated),
    (400, "IPInfringementSuspect", Moderated),
    (400, "CustomRoleBlocked", Moderated),
    (400, "FaqRuleBlocked", Moderated),
    (400, "Arrearage", AccountError),
    (401, "InvalidApiKey", AccountError),
    (401, "NOT AUTHORIZED", AccountError),
    (403, "AccessDenied", ModelRefused),
    (403, "AccessDenied.Unpurchased", ModelRefused),
    (403, "Model.AccessDenied", ModelRefused),
    (403, "Workspace.AccessDenied", AccountError),
    (403, "AllocationQuota.FreeTierOnly", ModelRefused),
    (404, "ModelNotFound", ModelRefused),
    (404, "model_not_supported", ModelRefused),
    (404, "WorkSpaceNotFound", AccountError),
    (429, "Throttling", Throttled),
    (429, "Throttling.RateQuota", Throttled),
    (429, "Throttling.BurstRate", Throttled),
    (429, "Throttling.Concurrency", Throttled),
    (429, "Throttling.AllocationQuota", Throttled),
    (429, "insufficient_quota", Throttled),
    (429, "CommodityNotPurchased", AccountError),
    (429, "PrepaidBillOverdue", AccountError),
    (429, "PostpaidBillOverdue", AccountError),
    (500, "InternalError", ServiceFault),
    (500, "InternalError.Algo", ServiceFault),
    (500, "InternalError.Timeout", ServiceFault),
    (500, "SystemError", ServiceFault),
    (500, "ModelServiceFailed", ServiceFault),
    (500, "RewriteFailed", ServiceFault),
    (500, "RequestTimeOut", AnswerLost),
    (503, "ModelUnavailable", ServiceFault),
    (503, "ServiceUnavailable", ServiceFault),
]


@pytest.mark.parametrize(("status", "code", "error"), CODES, ids=[code for _, code, _ in CODES])
def test_every_code_has_its_class_and_a_hint(status: int, code: str, error: type[ProviderError]) -> None:
    """The error has a claim, a hint, and the service's own words among its facts."""
    found = error_codes.answered(code, "because", status=status, request_id="r-1")
    assert type(found) is error
    assert error_codes.rule_of(code)
    assert found.hint
    assert found.facts == (f"service says: {code}: because", "request id: r-1")
    assert (found.code, found.request_id) == (code, "r-1")


@pytest.mark.parametrize("code", [code for _, code, _ in CODES])
def test_camel_case_and_snake_case_mean_the_same(code: str) -> None:
    """The service writes codes in both ways."""
    snake = "".join(f"_{ch.lower()}" if ch.isupper() else ch for ch in code.replace(" ", "")).replace("._", "_")
    assert error_codes.rule_of(snake.strip("_")) == error_codes.rule_of(code)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Refused), (401, AccountError), (402, AccountError), (403, ModelRefused), (404, ModelRefused),
        (408, AnswerLost), (413, Refused), (418, Refused), (429, Throttled), (500, ServiceFault), (503, ServiceFault),
        (502, AnswerLost), (504, AnswerLost), (0, ServiceFault), (200, AnswerLost),
    ],
)  # fmt: skip
def test_an_unknown_code_is_judged_by_its_status(status: int, error: type[ProviderError]) -> None:
    """After a gateway's 502 or 504, or beside a 200, the request may be billed. In a task, nothing was."""
    assert type(error_codes.answered("BrandNewCode", "x", status=status)) is error


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, AnswerLost), (301, AccountError), (400, Refused), (401, AccountError), (402, AccountError),
        (403, AccountError),
        (404, AccountError), (405, AccountError), (407, AccountError), (408, AnswerLost), (429, Throttled),
        (500, AnswerLost), (502, AnswerLost), (503, AnswerLost), (504, AnswerLost),
    ],
)  # fmt: skip
def test_a_page_of_a_proxy_is_judged_by_its_status(status: int, error: type[ProviderError]) -> None:
    """A page without the service's JSON may hide that the request was billed."""
    found = error_codes.unexplained(status, "Bad Gateway", "api.test")
    assert type(found) is error
    assert found.facts[0] == f"api.test answered with status {status}: Bad Gateway"
    assert found.hint


def test_a_failed_task_is_never_unknown() -> None:
    """A FAILED task is not billed, whatever its code."""
    for _, code, error in CODES:
        expected = ServiceFault if error is AnswerLost else error
        assert type(error_codes.task_failed(code, "x")) is expected


@pytest.mark.parametrize("code", ["Throttling.AllocationQuota", "insufficient_quota"])
def test_a_used_up_free_quota_ends_the_model(code: str) -> None:
    """Waiting does not restore a free quota; each model has its own."""
    found = error_codes.answered(code, "Free allocated quota exceeded.", status=429)
    assert type(found) is ModelRefused
    assert not found.retryable


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AccessDenied", "current user api does not support synchronous calls."),
        ("AccessDenied", "current user api does not support asynchronous calls."),
        ("InvalidParameter", "url error, please check url！"),
    ],
)
def test_a_model_without_the_interface_is_explained(code: str, message: str) -> None:
    """The service says "access denied" or "url error"; the error names the real cause."""
    found = error_codes.answered(code, message, status=403)
    assert (type(found), found.claim) == (ModelRefused, "the model does not have this interface")
    assert 'interface = "sync"' in (found.hint or "")


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (500, "InternalError.Algo.DataInspectionFailed", "Input text data may contain inappropriate content."),
        (400, "InvalidParameter", "<400> InternalError.Algo.DataInspectionFailed: Input text data may contain …"),
        (400, "data_inspection_failed", "Output data may contain inappropriate content."),
        (400, "content_policy_violation", "Your request was rejected by the safety system."),
    ],
)
def test_moderation_has_many_names(status: int, code: str, message: str) -> None:
    """The service writes its code behind another one, or into the message; gateways have their own."""
    assert type(error_codes.answered(code, message, status=status)) is Moderated


def test_a_key_of_the_other_region_is_explained() -> None:
    """The error shows the facts about the account, such as the region."""
    found = error_codes.answered("InvalidApiKey", "Invalid API-key provided.", status=401, account=["region: beijing"])
    assert str(found) == (
        "error: the service refused the API key\n"
        "  = service says: InvalidApiKey: Invalid API-key provided.\n"
        "  = region: beijing\n"
        f"  = hint: each region has its own keys: {error_codes.KEYS_URL}"
    )
