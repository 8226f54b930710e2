"""The vendor's error codes with their HTTP statuses and messages, and the exception for them.

Sources: the error code page of Model Studio, its page "asynchronous task management", and the
Qwen-Image API reference (all 2026-02).
"""

from __future__ import annotations

from collections.abc import Mapping

NO_SYNC = "current user api does not support synchronous calls"
NO_ASYNC = "current user api does not support asynchronous calls"

VENDOR_ERRORS: Mapping[str, tuple[int, str]] = {
    "InvalidParameter": (400, "Required parameter(s) missing or invalid, please check the request parameters."),
    "BadRequest.EmptyInput": (400, 'Required input parameter missing from request.'),
    "BadRequest.EmptyModel": (400, 'Required parameter "model" missing from request.'),
    "BadRequest.IllegalInput": (400, "The input parameter requires json format."),
    "BadRequest.TooLarge": (400, "Payload Too Large."),
    "InvalidURL": (400, "Invalid URL provided in your request."),
    "UnsupportedOperation": (
        400, "Failed to cancel the task, please confirm if the task is in PENDING status."
    ),
    "DataInspectionFailed": (400, "Input data may contain inappropriate content."),
    "IPInfringementSuspect": (400, "Input data is suspected of being involved in IP infringement."),
    "CustomRoleBlocked": (400, "Input or output data may contain inappropriate content with custom rule."),
    "FaqRuleBlocked": (400, "Input or output data is blocked by faq rule."),
    "Arrearage": (400, "Access denied, please make sure your account is in good standing."),
    "InvalidApiKey": (401, "Invalid API-key provided."),
    "NOT AUTHORIZED": (
        401, "Access denied: Either you are not authorized to access this workspace, or the workspace does not exist."
    ),
    "AccessDenied": (403, "Access denied."),
    "AccessDenied.Unpurchased": (
        403, "Access to model denied. Please make sure you are eligible for using the model."
    ),
    "Model.AccessDenied": (403, "Model access denied."),
    "Workspace.AccessDenied": (403, "Workspace access denied."),
    "AllocationQuota.FreeTierOnly": (
        403,
        "The free tier of the model has been exhausted. If you wish to continue access the model on a paid basis, "
        'please disable the "use free tier only" mode in the management console.',
    ),
    "ModelNotFound": (404, "Model can not be found."),
    "model_not_supported": (404, "Unsupported model for OpenAI compatibility mode."),
    "WorkSpaceNotFound": (404, "WorkSpace can not be found."),
    "Throttling": (429, "Requests throttling triggered."),
    "Throttling.RateQuota": (429, "Requests rate limit exceeded, please try again later."),
    "Throttling.BurstRate": (
        429,
        "Request rate increased too quickly. To ensure system stability, please adjust your client logic to scale "
        "requests more smoothly over time.",
    ),
    "Throttling.Concurrency": (429, "Too many concurrent requests."),
    "Throttling.AllocationQuota": (429, "Allocated quota exceeded, please increase your quota limit."),
    "insufficient_quota": (429, "You exceeded your current quota, please check your plan and billing details."),
    "CommodityNotPurchased": (429, "Commodity has not purchased yet."),
    "PrepaidBillOverdue": (429, "The prepaid bill is overdue."),
    "PostpaidBillOverdue": (429, "The postpaid bill is overdue."),
    "InternalError": (
        500, "An internal error has occured, please try again later or contact service support."
    ),
    "InternalError.Algo": (500, "Inference internal error."),
    "InternalError.Timeout": (
        500,
        "An internal timeout error has occured during execution, please try again later or contact service support.",
    ),
    "InternalError.Upload": (500, "Failed to upload result."),
    "SystemError": (500, "An system error has occured, please try again later."),
    "ModelServiceFailed": (500, "Failed to request model service."),
    "RewriteFailed": (500, "Failed to rewrite content for prompt."),
    "RequestTimeOut": (500, "Request timed out, please try again later."),
    "ModelUnavailable": (503, "Model is unavailable, please try again later."),
    "ServiceUnavailable": (503, "Service is temporarily unavailable, please try again later."),
}  # fmt: skip
"""The HTTP status and the default message of each error code."""


class Refusal(Exception):
    """The service refuses a call: the HTTP status, `code` and `message` of the answer."""

    def __init__(self, code: str, message: str = "", *, status: int = 0) -> None:
        """`message` and `status` default to those of `code` in `VENDOR_ERRORS`."""
        known_status, known_message = VENDOR_ERRORS.get(code, (400, ""))
        self.code = code
        self.message = message or known_message
        self.status = status or known_status
        super().__init__(self.code, self.message)


def link_expired() -> Refusal:
    """Return the refusal that OSS gives for an expired link."""
    return Refusal("AccessDenied", "Request has expired.")
