"""Error codes: which error each code of the service becomes, and what the user can do about it.

Invariants: every answer that is not a success becomes exactly one error. Only after AnswerLost may the
request have been billed: the service does not bill failed images.

The service writes codes in two ways: `Throttling.RateQuota` and `throttling_rate_quota`. A lookup compares
letters and digits only. The longest known prefix wins, so `InternalError.Algo` counts as `InternalError`.

Sources: Model Studio help, page "Error codes", mid-2026; codes observed in answers of the service.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from qwenbuild.errors import (
    AccountError,
    AnswerLost,
    ModelRefused,
    Moderated,
    ProviderError,
    Refused,
    ServiceFault,
    Throttled,
)

RESUBMIT: Final = "look at the account's bill; `--resubmit` sends the request again"
KEYS_URL: Final = "https://www.alibabacloud.com/help/en/model-studio/get-api-key"

_MODERATED = "reword the prompt; `--retry-failed` sends it again unchanged. Nothing was billed"
_INTERFACE = 'the model may not have this interface: set interface = "sync" or "async", or pick another model'
_TRANSIENT = "nothing was billed; build again later, finished images are kept"
_SLOWER = 'lower the pace: [providers.dashscope] submits = "1/second", or ask the vendor for a higher limit'
_QUOTA = "raise the model's quota in the Model Studio console, or build again later"
_BILL = "settle the account's bill in the Alibaba Cloud console, then build again: finished images are kept"
PLAN_KEY: Final = "the key begins with sk-sp-: it belongs to a coding plan, which makes no images"
"""Source: third parties, October 2026."""

_BUY = "activate the model in the Model Studio console, or pick another model"


class Rule(NamedTuple):
    """What a code becomes: the class, the claim, the hint and the name of the error."""

    error: type[ProviderError]
    claim: str
    hint: str
    name: str


RULES: Final[dict[str, Rule]] = {
    # 400
    "invalidparameter": Rule(Refused, "the service refused a parameter", "read the service's message; is the model's entry in [models] right?", "parameter-refused"),  # noqa: E501
    "badrequest": Rule(Refused, "the service could not read the request", "read the service's message", "request-refused"),  # noqa: E501
    "invalidurl": Rule(ModelRefused, "the service refused the address of the request", _INTERFACE, "no-such-interface"),
    "unsupportedoperation": Rule(Refused, "the service does not support this operation", "only PENDING tasks can be cancelled", "task-not-pending"),  # noqa: E501
    "datainspectionfailed": Rule(Moderated, "the service's moderation refused the prompt or the image", _MODERATED, "moderated"),  # noqa: E501
    "ipinfringementsuspect": Rule(Moderated, "the service suspects an infringement of intellectual property", _MODERATED, "moderated"),  # noqa: E501
    "customroleblocked": Rule(Moderated, "a content rule of the workspace refused the prompt", _MODERATED, "workspace-rule"),  # noqa: E501
    "faqruleblocked": Rule(Moderated, "a question-and-answer rule of the workspace refused the prompt", _MODERATED, "workspace-rule"),  # noqa: E501
    "contentpolicyviolation": Rule(Moderated, "a gateway's moderation refused the prompt", _MODERATED, "moderated"),
    "arrearage": Rule(AccountError, "the account is in arrears", _BILL, "bill-unpaid"),
    # 401
    "invalidapikey": Rule(AccountError, "the service refused the API key", f"each region has its own keys: {KEYS_URL}", "api-key-refused"),  # noqa: E501
    "notauthorized": Rule(AccountError, "the API key is not authorized", f"each region has its own keys: {KEYS_URL}", "api-key-refused"),  # noqa: E501
    # 403
    "accessdenied": Rule(ModelRefused, "the service denied access", "read the service's message; may this key use the model?", "access-denied"),  # noqa: E501
    "accessdeniedunpurchased": Rule(ModelRefused, "the account has not activated this model", _BUY, "model-not-activated"),  # noqa: E501
    "modelaccessdenied": Rule(ModelRefused, "the key may not use this model", "grant the model to the key's workspace, or pick another model", "access-denied"),  # noqa: E501
    "workspaceaccessdenied": Rule(AccountError, "the key may not use this workspace", "check `workspace` and DASHSCOPE_WORKSPACE_ID", "wrong-workspace"),  # noqa: E501
    "allocationquotafreetieronly": Rule(ModelRefused, "the free quota of this model is used up", 'turn off "free tier only" in the Model Studio console', "free-quota-used"),  # noqa: E501
    # 404
    "modelnotfound": Rule(ModelRefused, "the service does not know this model", "is it offered in this region?", "model-not-offered"),  # noqa: E501
    "modelnotsupported": Rule(ModelRefused, "the service does not offer this model here", "is it offered in this region?", "model-not-offered"),  # noqa: E501
    "workspacenotfound": Rule(AccountError, "the service does not know this workspace", "check `workspace` and DASHSCOPE_WORKSPACE_ID", "wrong-workspace"),  # noqa: E501
    # 429
    "throttling": Rule(Throttled, "the service asks for a slower pace", _SLOWER, "throttled"),
    "ratelimit": Rule(Throttled, "the service asks for a slower pace", _SLOWER, "throttled"),
    "throttlingallocationquota": Rule(Throttled, "the model's quota is used up for now", _QUOTA, "quota-used"),
    "insufficientquota": Rule(Throttled, "the model's quota is used up for now", _QUOTA, "quota-used"),
    "commoditynotpurchased": Rule(AccountError, "the account has not bought this service", _BUY, "model-not-activated"),
    "prepaidbilloverdue": Rule(AccountError, "the account's prepaid bill is overdue", _BILL, "bill-unpaid"),
    "postpaidbilloverdue": Rule(AccountError, "the account's bill is overdue", _BILL, "bill-unpaid"),
    # 500
    "internalerror": Rule(ServiceFault, "the service failed", _TRANSIENT, "service-failed"),
    "internalservererror": Rule(ServiceFault, "the service failed", _TRANSIENT, "service-failed"),
    "systemerror": Rule(ServiceFault, "the service failed", _TRANSIENT, "service-failed"),
    "modelservicefailed": Rule(ServiceFault, "the model failed", _TRANSIENT, "service-failed"),
    "rewritefailed": Rule(ServiceFault, "the service failed to rewrite the prompt", "set prompt_extend = false, or build again later", "rewrite-failed"),  # noqa: E501
    "requesttimeout": Rule(AnswerLost, "the request exceeded the service's time limit: it may have been billed", RESUBMIT, "answer-lost"),  # noqa: E501
    # 503
    "modelunavailable": Rule(ServiceFault, "the model is not available at the moment", _TRANSIENT, "service-failed"),
    "serviceunavailable": Rule(ServiceFault, "the service is not available at the moment", _TRANSIENT, "service-failed"),  # noqa: E501
}  # fmt: skip

_BY_STATUS: Final[dict[int, Rule]] = {
    400: RULES["badrequest"],
    401: RULES["invalidapikey"],
    402: Rule(AccountError, "the service asks for payment", _BILL, "bill-unpaid"),
    403: RULES["accessdenied"],
    404: RULES["modelnotfound"],
    408: RULES["requesttimeout"],
    413: Rule(Refused, "the request is too large for the service", "shorten the prompt", "request-refused"),
    429: RULES["throttling"],
    500: RULES["internalerror"],
    503: RULES["serviceunavailable"],
}
LOST: Final = Rule(AnswerLost, "the answer was lost: the request may have been billed", RESUBMIT, "answer-lost")
"""A request whose answer did not arrive, or can't be read."""
_QUOTA_CODES: Final = frozenset({"throttlingallocationquota", "insufficientquota"})


def rule_of(code: str) -> tuple[str, Rule] | None:
    """Return the longest known prefix of `code` and its rule, None for an unknown code."""
    letters = _letters(code)
    known = max((name for name in RULES if letters.startswith(name)), key=len, default=None)
    return (known, RULES[known]) if known else None


def _letters(text: str) -> str:
    return "".join(ch for ch in text.lower() if ch.isalnum())


def is_quota(error: ProviderError) -> bool:
    """Return True if a quota is used up. Waiting seldom helps then, so there is only one more attempt."""
    found = rule_of(error.code)
    return found is not None and found[0] in _QUOTA_CODES


def answered(
    code: str,
    message: str,
    *,
    status: int = 0,
    request_id: str = "",
    retry_after_s: float | None = None,
    account: Sequence[str] = (),
    is_plan: bool = False,
) -> ProviderError:
    """Return the error that the service's `code` and `message` mean.

    `status` is the HTTP status, which decides for an unknown code; 0 if the code is in a task's result.
    `account` are facts about key and region, which errors of the account and of its models show. `is_plan`: the key is
    one of a coding plan.
    """
    found = rule_of(code)
    name, rule = found or ("", _unknown(status))
    said = message.lower()
    if "datainspectionfailed" in _letters(f"{code} {message}"):  # also within another code, or only in the message
        rule = RULES["datainspectionfailed"]
    elif name in _QUOTA_CODES and "free" in said and ("exceed" in said or "exhaust" in said):
        hint = "turn on billing, or pick another model"
        rule = Rule(ModelRefused, "the free quota of this model is used up", hint, "free-quota-used")
    elif ("not support" in said and "synchronous" in said) or "url error" in said:
        rule = Rule(ModelRefused, "the model does not have this interface", _INTERFACE, "no-such-interface")
    if is_plan and rule is RULES["invalidapikey"]:
        rule = Rule(AccountError, rule.claim, f"{PLAN_KEY}; other keys: {KEYS_URL}", "plan-key")
    facts = [f"service says: {': '.join(filter(None, (code, message)))}"] if code or message else []
    if status and not code:
        facts.append(f"status: {status}")
    if request_id:
        facts.append(f"request id: {request_id}")
    if issubclass(rule.error, AccountError | ModelRefused):
        facts += account
    return rule.error(
        rule.claim, name=rule.name, facts=facts, hint=rule.hint, code=code, request_id=request_id,
        retry_after_s=retry_after_s,
    )  # fmt: skip


def _unknown(status: int) -> Rule:
    """Return the rule for an unknown code. In a task, and with status 500 or 503, nothing was billed.

    Beside status 200 a code may be a warning, so the image may have been made.
    """
    if status == 0:
        return RULES["internalerror"]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return RULES["badrequest"] if 400 <= status < 500 else LOST


def task_failed(code: str, message: str, *, request_id: str = "", task_id: str = "") -> ProviderError:
    """Return the error of a FAILED task. It is never AnswerLost, because failed tasks are not billed."""
    if not (code or message):
        ids = (("request id", request_id), ("task", task_id))
        facts = [f"{name}: {value}" for name, value in ids if value]
        claim = "the service failed to make the image, and gives no reason"
        return Refused(claim, facts=facts, hint="nothing was billed; build again, or change the prompt",
                       name="request-refused")  # fmt: skip
    error = answered(code, message, request_id=request_id)
    if isinstance(error, AnswerLost):
        claim = "the task exceeded the service's time limit"
        return ServiceFault(claim, facts=error.facts, hint=_TRANSIENT, code=code, request_id=request_id)
    return error


def unexplained(
    status: int, said: str, host: str, *, retry_after_s: float | None = None, account: Sequence[str] = ()
) -> ProviderError:
    """Return the error of an answer without a code, such as a proxy's or gateway's page.

    `said` is the message in the answer, else its beginning. A status of 5xx, or an unreadable success, becomes
    AnswerLost: a gateway may have forwarded the request to the service.
    """
    facts = [f"{host} answered with status {status}" + (f": {said}" if said else " and nothing else")]
    if status == 402:
        return AccountError(_BY_STATUS[402].claim, facts=[*facts, *account], hint=_BY_STATUS[402].hint,
                            name="bill-unpaid")  # fmt: skip
    if status == 429:
        return Throttled(RULES["throttling"].claim, facts=facts, hint=_SLOWER, retry_after_s=retry_after_s)
    if 300 <= status < 400:
        return AccountError(
            f"{host} redirects elsewhere; the request was not sent there",
            facts=[*facts, *account],
            hint="is the base URL right? It ends with /api/v1",
            name="not-the-service",
        )
    if status in (401, 403, 404, 405, 407):
        return AccountError(
            f"{host} did not pass the request on to the service",
            facts=[*facts, *account],
            hint="is the base URL right (it ends with /api/v1), and is a proxy in between?",
            name="not-the-service",
        )
    if 400 <= status < 500 and status != 408:
        return Refused("the request was refused before the service read it", facts=facts, hint="read the answer",
                       name="request-refused")  # fmt: skip
    return AnswerLost(LOST.claim, facts=facts, hint=LOST.hint)
