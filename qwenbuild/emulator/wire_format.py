"""The words of the service that the emulator imitates: error codes with their HTTP statuses, ids, times, documents.

Codes, statuses and texts are those of Model Studio's error code page, its page on asynchronous
task management and the Qwen-Image API reference (2026-02), and of OSS's error documents.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from xml.sax.saxutils import escape

CHINA_TIME = timezone(timedelta(hours=8))

NO_SYNC = "current user api does not support synchronous calls."
NO_ASYNC = "current user api does not support asynchronous calls."

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
"""HTTP status and default message of each error code."""


class Refusal(Exception):
    """The service's error answer: its HTTP status, `code` and `message`."""

    def __init__(self, code: str, message: str = "", *, status: int = 0) -> None:
        """`message` and `status` default to the code's own."""
        known_status, known_message = VENDOR_ERRORS.get(code, (400, ""))
        self.code = code
        self.message = message or known_message
        self.status = status or known_status
        super().__init__(self.code, self.message)


def link_expired() -> Refusal:
    """Return OSS's answer to a link that has died."""
    return Refusal("AccessDenied", "Request has expired.")


def new_id() -> str:
    """Return an id such as the service gives to requests and tasks."""
    return str(uuid.uuid4())


def encode(body: Mapping[str, Any]) -> bytes:
    """Return a JSON answer as the service writes it: UTF-8, nothing escaped."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def china_time(at_s: float) -> str:
    """Return seconds since the epoch as the service's `YYYY-MM-DD HH:mm:ss.SSS` in UTC+8."""
    moment = datetime.fromtimestamp(at_s, CHINA_TIME)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"


def parsed_time(text: str) -> float:
    """Return the listing's `YYYYMMDDhhmmss` (UTC+8) as seconds since the epoch; raises Refusal."""
    try:
        moment = datetime.strptime(text, "%Y%m%d%H%M%S")
    except ValueError:
        raise Refusal("InvalidParameter", "start_time and end_time must be in the format YYYYMMDDhhmmss.") from None
    return moment.replace(tzinfo=CHINA_TIME).timestamp()


def oss_error(code: str, message: str, host: str) -> bytes:
    """Return OSS's XML error document, which is what a dead link answers."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error>\n  <Code>{escape(code)}</Code>\n  <Message>{escape(message)}</Message>\n"
        f"  <RequestId>{uuid.uuid4().hex[:24].upper()}</RequestId>\n  <HostId>{escape(host)}</HostId>\n</Error>\n"
    ).encode()


PROXY_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n"
    b"<body><center><h1>502 Bad Gateway</h1></center><hr><center>proxy</center></body></html>\n"
)
"""What a proxy puts in the place of an answer."""
