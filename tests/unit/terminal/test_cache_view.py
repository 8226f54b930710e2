"""A transfer's progress and result, and the state of the remote cache, as text and as JSON."""

from __future__ import annotations

import json

import pytest

from qwenbuild.engine.remote_sync import Moved, RemoteStatus
from qwenbuild.problems import Problem
from qwenbuild.terminal import cache_view


@pytest.mark.parametrize(
    ("moved", "text"),
    [
        (Moved(1200, 3, 0), "1,200 images pushed, 3 were already there\n"),
        (Moved(0, 0, 2), "0 images pushed, 0 were already there, 2 failed\n"),
    ],
)
def test_a_transfer_is_counted(moved: Moved, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Failures are counted only if there are any."""
    cache_view.show_transfer(moved, "pushed", "were already there", as_json=False)
    assert capsys.readouterr() == (text, "")


def test_a_transfer_shows_its_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings are written to standard error."""
    moved = Moved(0, 0, 1, (Problem("the remote is slow", hint="wait"),))
    cache_view.show_transfer(moved, "pulled", "were already in the store", as_json=False)
    assert capsys.readouterr().err == "warning: the remote is slow\n  = hint: wait\n"


def test_a_transfer_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON key of the moved images is the command's word."""
    cache_view.show_transfer(Moved(1, 2, 3), "pulled", "were already in the store", as_json=True)
    assert json.loads(capsys.readouterr().out) == {"event": "cache", "pulled": 1, "there": 2, "failed": 3}


def test_a_status_names_the_remote_and_counts_images(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters of the name are escaped."""
    status = RemoteStatus("http://x/\x1b", writes=False, there=1, images=1500)
    cache_view.show_status(status, as_json=False)
    assert capsys.readouterr().out == (
        "    remote  http://x/\\x1b\n       use  read only\n    images  1 of 1,500 are there\n"
    )
    cache_view.show_status(status, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "event": "cache", "remote": "http://x/\x1b", "writes": False, "there": 1, "images": 1500
    }  # fmt: skip
