"""Records of outputs: a record can be used as the status of its file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from qwenbuild.storage.outputs import is_untouched
from qwenbuild.storage.records import DAMAGE, Output, Run, request_fields, run


def test_a_record_stands_for_the_status_of_its_file(tmp_path: Path) -> None:
    """The record of a file has the fields of its status, and the type of a regular file."""
    path = tmp_path / "a.png"
    path.write_bytes(b"image")
    seen = os.lstat(path)
    record = Output("a.png", "k", "i", seen.st_size, seen.st_mtime_ns, seen.st_ino, "s/a")
    assert (is_untouched(record, seen), is_untouched(record, record)) == (True, True)
    assert stat.S_ISREG(record.st_mode)
    assert not is_untouched(record._replace(st_ino=seen.st_ino + 1), seen)


def test_the_fields_of_a_recorded_request() -> None:
    """Only texts, numbers, truths and parameters are shown; anything else is no request."""
    assert request_fields('{"prompt": "a", "seed": 1, "watermark": false, "deep": [[1]], "none": null}') == {
        "prompt": "a", "seed": 1, "watermark": False
    }  # fmt: skip
    assert request_fields('{"parameters": {"a": [1]}, "seed": 1}') == {"seed": 1, "parameters": {"a": [1]}}
    for damaged in ('"text"', "1", "{}", '{"a": null}', f'{{"a": {"[" * 500}{"]" * 500}}}'):
        assert request_fields(f'{{"parameters": {damaged}, "seed": 1}}') == {"seed": 1}
    for text in ("[]", "{", None, b"{}", "[" * 100_000):
        with pytest.raises(DAMAGE):
            request_fields(text)


def test_a_run_that_has_not_ended() -> None:
    """It has neither an end nor a summary."""
    begun = run(7, 1.0, None, None)
    assert (begun, begun.seconds) == (Run(7, 1.0, None, None), None)
    assert begun.as_dict() == {"started_at_s": 1.0, "finished_at_s": None, "summary": None}


def test_a_run_that_has_ended() -> None:
    """The outputs that it dropped are no part of its summary. Older versions did not record how long it took."""
    older = run(7, 1.0, 2.5, '{"rendered":1}')
    assert older == Run(7, 1.0, 2.5, {"rendered": 1}, 1.5)
    text = '{"rendered":1,"seconds":2,"dropped":["a"],"returned":["b"],"cost":{"CNY":"0.20"},"exit_code":1}'
    ended = run(8, 1.0, 2.5, text)
    assert ended == Run(8, 1.0, 2.5, {"rendered": 1, "cost": {"CNY": "0.20"}}, 2.0, 1, ("a",), ("b",))
    assert ended.as_dict() == {"started_at_s": 1.0, "finished_at_s": 2.5, "summary": ended.summary}


@pytest.mark.parametrize(
    "summary",
    ['{"rendered":"1"}', '{"exit_code":1.5}', '{"cost":7}', '{"cost":{"CNY":1}}', '{"cost":{"CNY":"1e999999999"}}',
     '{"cost":{"CNY":"NaN"}}', '{"dropped":7}', '{"dropped":[7]}', '{"seconds":-1}', '{"seconds":"soon"}', "[]"],
)  # fmt: skip
def test_a_summary_that_no_build_writes(summary: str) -> None:
    """It counts as damage, because views would show it."""
    with pytest.raises(DAMAGE):
        run(1, 1.0, 2.0, summary)
