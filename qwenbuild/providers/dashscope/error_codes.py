"""What each of the service's error codes means: the class of error, and what a person can do about it.

Invariants: every answer of the service that is no success becomes exactly one error; AnswerLost
is the only one after which the request may have been billed. Failed images are not billed.

Sources: Model Studio error codes (help pages "error-code", mid-2026), and the codes that the
service was seen to send. They come as `Throttling.RateQuota` and as `throttling_rate_quota`;
a code is looked up by its letters and digits, the longest known beginning wins, so that
`InternalError.Algo` is an `InternalError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from qwenbuild.errors import AccountError, AnswerLost, ProviderError, Refused, ServiceFault, Throttled

KEYS_URL: Final = "https://www.alibabacloud.com/help/en/model-studio/get-api-key"

_MODERATED = "reword the prompt; nothing was billed"
_INTERFACE = 'the model may lack this interface: set interface = "sync" or "async", or pick another model'
_TRANSIENT = "nothing was billed; build again later, what is done is kept"
_SLOWER = 'lower the pace: [providers.dashscope] submits = "1/second", or ask the vendor for a higher limit'
_QUOTA = "raise the model's quota in the Model Studio console, or build again later"
_BILL = "settle the account's bill in the Alibaba Cloud console, then build again: what is done is kept"
_BUY = "activate the model in the Model Studio console, or pick another model"


class Rule(NamedTuple):
    """What a code means: the error to raise, its claim and its hint."""

    error: type[ProviderError]
    claim: str
    hint: str


RULES: Final[dict[str, Rule]] = {
    # 400
    "invalidparameter": Rule(Refused, "the service refused a parameter", "see what it says; is the model's entry in [models] right?"),  # noqa: E501
    "badrequest": Rule(Refused, "the service could not read the request", "see what it says"),
    "invalidurl": Rule(Refused, "the service refused the address of the request", _INTERFACE),
    "unsupportedoperation": Rule(Refused, "the service does not support this operation", "only tasks that are still PENDING can be cancelled"),  # noqa: E501
    "datainspectionfailed": Rule(Refused, "the service's moderation refused the prompt or the image", _MODERATED),
    "ipinfringementsuspect": Rule(Refused, "the service suspects an infringement of intellectual property", _MODERATED),
    "customroleblocked": Rule(Refused, "a content rule of the workspace refused the prompt", _MODERATED),
    "faqruleblocked": Rule(Refused, "a question-and-answer rule of the workspace refused the prompt", _MODERATED),
    "arrearage": Rule(AccountError, "the account is in arrears", _BILL),
    # 401
    "invalidapikey": Rule(AccountError, "the service refused the API key", f"each region has its own keys: {KEYS_URL}"),
    "notauthorized": Rule(AccountError, "the API key is not authorized", f"each region has its own keys: {KEYS_URL}"),
    # 403
    "accessdenied": Rule(Refused, "the service denied access", "see what it says; may this key use the model?"),
    "accessdeniedunpurchased": Rule(Refused, "the account has not activated this model", _BUY),
    "modelaccessdenied": Rule(Refused, "the key may not use this model", "grant the model to the key's workspace, or pick another model"),  # noqa: E501
    "workspaceaccessdenied": Rule(Refused, "the key may not use this workspace", "check `workspace` and DASHSCOPE_WORKSPACE_ID"),  # noqa: E501
    "allocationquotafreetieronly": Rule(Refused, "the free quota of this model is used up", 'turn off "free tier only" in the Model Studio console'),  # noqa: E501
    # 404
    "modelnotfound": Rule(Refused, "the service does not know this model", "is it offered in this region?"),
    "modelnotsupported": Rule(Refused, "the service does not offer this model here", "is it offered in this region?"),
    "workspacenotfound": Rule(Refused, "the service does not know this workspace", "check `workspace` and DASHSCOPE_WORKSPACE_ID"),  # noqa: E501
    # 429
    "throttling": Rule(Throttled, "the service asks for a slower pace", _SLOWER),
    "ratelimit": Rule(Throttled, "the service asks for a slower pace", _SLOWER),
    "throttlingallocationquota": Rule(Throttled, "the model's quota is used up for now", _QUOTA),
    "insufficientquota": Rule(Throttled, "the model's quota is used up for now", _QUOTA),
    "commoditynotpurchased": Rule(AccountError, "the account has not bought this service", _BUY),
    "prepaidbilloverdue": Rule(AccountError, "the account's prepaid bill is overdue", _BILL),
    "postpaidbilloverdue": Rule(AccountError, "the account's bill is overdue", _BILL),
    # 500
    "internalerror": Rule(ServiceFault, "the service failed", _TRANSIENT),
    "internalservererror": Rule(ServiceFault, "the service failed", _TRANSIENT),
    "systemerror": Rule(ServiceFault, "the service failed", _TRANSIENT),
    "modelservicefailed": Rule(ServiceFault, "the model failed", _TRANSIENT),
    "rewritefailed": Rule(ServiceFault, "the service failed to rewrite the prompt", "set prompt_extend = false, or build again later"),  # noqa: E501
    "requesttimeout": Rule(AnswerLost, "the service gave up on the request after its own time limit: it may have been billed", "look at the account's bill; `--resubmit` sends it again"),  # noqa: E501
    # 503
    "modelunavailable": Rule(ServiceFault, "the model is not available at the moment", _TRANSIENT),
    "serviceunavailable": Rule(ServiceFault, "the service is not available at the moment", _TRANSIENT),
}  # fmt: skip

_BY_STATUS: Final[dict[int, Rule]] = {
    400: RULES["badrequest"],
    401: RULES["invalidapikey"],
    402: Rule(AccountError, "the service asks for payment", _BILL),
    403: RULES["accessdenied"],
    404: RULES["modelnotfound"],
    408: RULES["requesttimeout"],
    413: Rule(Refused, "the request is too large for the service", "shorten the prompt"),
    429: RULES["throttling"],
    500: RULES["internalerror"],
    503: RULES["serviceunavailable"],
}
_LOST: Final = Rule(
    AnswerLost,
    "the answer was lost on its way: the request may have been billed",
    "look at the account's bill; `--resubmit` sends it again",
)
_QUOTA_CODES: Final = frozenset({"throttlingallocationquota", "insufficientquota"})


def rule_of(code: str) -> tuple[str, Rule] | None:
    """Return the longest known beginning of `code`, and its rule; None for an unknown code."""
    letters = "".join(ch for ch in code.lower() if ch.isalnum())
    known = max((name for name in RULES if letters.startswith(name)), key=len, default=None)
    return (known, RULES[known]) if known else None


def is_quota(error: ProviderError) -> bool:
    """Return whether `error` is a used-up allocation, which waiting seldom cures: it is worth one more attempt."""
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
) -> ProviderError:
    """Return the error that the service's own `code` and `message` stand for.

    `status` is the HTTP status (0: none; the code stands in a task), used for unknown codes.
    `account` are facts about key and region, shown with errors that concern them.
    """
    found = rule_of(code)
    name, rule = found or ("", _unknown(status))
    said = message.lower()
    if name in _QUOTA_CODES and "free" in said and ("exceed" in said or "exhaust" in said):
        rule = Rule(AccountError, "the free quota of this model is used up", "turn on billing, or pick another model")
    elif ("not support" in said and "synchronous" in said) or "url error" in said:
        rule = Rule(Refused, "the model has not this interface", _INTERFACE)
    facts = [f"service says: {': '.join(filter(None, (code, message)))}"] if code or message else []
    if status and not code:
        facts.append(f"status: {status}")
    if request_id:
        facts.append(f"request id: {request_id}")
    if issubclass(rule.error, AccountError):
        facts += account
    return rule.error(
        rule.claim, facts=facts, hint=rule.hint, code=code, request_id=request_id, retry_after_s=retry_after_s
    )


def _unknown(status: int) -> Rule:
    """Return the rule for an unknown code: in a task, and with status 500 and 503, a failure that is not billed."""
    if status in (0, 200):
        return RULES["internalerror"]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return RULES["badrequest"] if 400 <= status < 500 else _LOST


def task_failed(code: str, message: str, *, request_id: str = "") -> ProviderError:
    """Return the error of a task that ended FAILED: it is never billed, so never AnswerLost."""
    error = answered(code, message, request_id=request_id)
    if isinstance(error, AnswerLost):
        return ServiceFault(
            "the service gave up on the task", facts=error.facts, hint=_TRANSIENT, code=code, request_id=request_id
        )
    return error


def unexplained(
    status: int, excerpt: str, host: str, *, retry_after_s: float | None = None, account: Sequence[str] = ()
) -> ProviderError:
    """Return the error of an answer without the service's JSON: a proxy's or gateway's page.

    `excerpt` is what it begins with. A status of 5xx, or a success that can't be read, is
    AnswerLost: something between here and the service may have passed the request on.
    """
    facts = [f"{host} answered with status {status}" + (f" and no JSON: {excerpt}" if excerpt else " and nothing else")]
    if status == 429:
        return Throttled(RULES["throttling"].claim, facts=facts, hint=_SLOWER, retry_after_s=retry_after_s)
    if 300 <= status < 400:
        return AccountError(
            f"{host} redirects elsewhere; the request was not sent there",
            facts=[*facts, *account],
            hint="is the base URL right? It ends with /api/v1",
        )
    if status in (401, 403, 404, 405, 407):
        return AccountError(
            f"{host} did not let the request through to the service",
            facts=[*facts, *account],
            hint="is the base URL right (it ends with /api/v1), and is a proxy in between?",
        )
    if 400 <= status < 500 and status != 408:
        return Refused("the request was refused before the service read it", facts=facts, hint="see what it says")
    return AnswerLost(_LOST.claim, facts=facts, hint=_LOST.hint)
