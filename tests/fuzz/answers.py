"""Answers of the service: valid JSON, mutated, as the wire format reads it, and as an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from qwenbuild.errors import QwenbuildError
from qwenbuild.providers.dashscope import wire
from qwenbuild.providers.dashscope.error_codes import answered, task_failed, unexplained

from .mutation import NUMBERS, WORDS, mutated, mutated_json
from .target import Check, Target

_URL = "https://dashscope-result.oss-cn-beijing.aliyuncs.com/a.png?Expires=1&Signature=x"
_ANSWERS: list[Any] = [
    {"output": {"choices": [{"finish_reason": "stop", "message": {"role": "assistant",
    "content": [{"image": _URL}]}}],
                "task_metric": {"TOTAL": 1, "SUCCEEDED": 1, "FAILED": 0}},
     "usage": {"width": 1328, "height": 1328, "image_count": 1}, "request_id": "r"},
    {"request_id": "r", "output": {"task_id": "t", "task_status": "PENDING"}},
    {"request_id": "r", "usage": {"image_count": 1},
     "output": {"task_id": "t", "task_status": "SUCCEEDED", "submit_time": "2026-02-10 10:00:00.1",
     "scheduled_time": "x",
                "end_time": "x", "results": [{"orig_prompt": "A", "actual_prompt": "B", "url": _URL}]}},
    {"request_id": "r", "output": {"task_id": "t", "task_status": "FAILED", "code": "DataInspectionFailed",
    "message": "m"}},
    {"request_id": "r", "data": [{"task_id": "t", "status": "RUNNING", "model_name": "qwen-image",
    "gmt_create": 1.7e12},
                                 {"task_id": "u", "status": "FAILED", "gmt_create": 1770000000000}],
     "total": 2, "page_no": 1, "page_size": 10, "total_page": 1},
    {"code": "InvalidParameter", "message": "m", "request_id": "r"},
    {"error": {"code": "invalid_api_key", "message": "m", "type": "x"}, "request_id": "r"},
]  # fmt: skip

_texts = mutated_json(_ANSWERS).map(lambda value: json.dumps(value).encode())
_torn = _texts.flatmap(lambda text: mutated([text.decode()], [*WORDS, *NUMBERS]))
_contents = _texts | _torn.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=40)
_statuses = st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 408, 409, 413, 429, 500, 502, 503, 504, 599])


@contextmanager
def _opened(folder: Path) -> Iterator[Check]:
    def check(drawn: tuple[int, bytes]) -> None:
        """Every answer is read as far as it can be, and an error of any answer has words that can be written."""
        answer = wire.parse(*drawn)
        for one in (wire.task(answer), wire.result(answer), wire.task_list(answer)):
            json.dumps(str(one)).encode()
        for text in (answer.code, answer.message, answer.request_id):
            text.encode()
        for error in (
            answered(answer.code, answer.message, status=answer.status, request_id=answer.request_id),
            task_failed(answer.code, answer.message, request_id=answer.request_id),
            unexplained(answer.status, answer.excerpt, "dashscope.aliyuncs.com"),
        ):
            assert isinstance(error, QwenbuildError)
            assert 0 < len(str(error)) < 50_000
            str(error).encode()

    yield check


TARGET = Target("wire", "answers of the service", st.tuples(_statuses, _contents), _opened, 400)
