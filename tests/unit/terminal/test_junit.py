"""The JUnit XML report of a build."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from qwenbuild.errors import OutputError, UsageError
from qwenbuild.events import Finished, ImageFinished, Outcome, Stopping
from qwenbuild.problems import Problem
from qwenbuild.terminal.junit import Recording

COUNTS = ("tests", "failures", "errors", "skipped")


def ended(name: str, outcome: Outcome, *problems: Problem) -> ImageFinished:
    """Return the event of a finished output."""
    return ImageFinished(name, f"{name}.png", outcome, "why \x01", 0.25, problems)


def written(recording: Recording, path: Path) -> ElementTree.Element:
    """Write the report and return its root."""
    recording.write()
    return ElementTree.fromstring(path.read_bytes())


def test_a_suite_for_each_image_and_a_case_for_each_output(tmp_path: Path) -> None:
    """Suites are sorted; their times are sums; the time of the whole is that of the build."""
    path = tmp_path / "report.xml"
    recording = Recording(path)
    for name, outcome in (("s/b[n=1]", Outcome.RENDERED), ("s/a", Outcome.UP_TO_DATE), ("s/b[n=2]", Outcome.RESTORED)):
        recording.emit(ended(name, outcome))
    recording.emit(Finished(1, 1, 1, 0, 0, 0, 2.5))
    root = written(recording, path)
    assert (root.get("time"), [root.get(name) for name in COUNTS]) == ("2.500", ["3", "0", "0", "0"])
    assert [(suite.get("name"), suite.get("time")) for suite in root] == [("s/a", "0.250"), ("s/b", "0.500")]
    assert [case.get("name") for case in root.iter("testcase")] == ["s/a", "s/b[n=1]", "s/b[n=2]"]


@pytest.mark.parametrize(
    ("outcome", "tag", "message"),
    [
        (Outcome.FAILED, "failure", "why \ufffd"),
        (Outcome.UNKNOWN, "failure", "why \ufffd"),
        (Outcome.MISSING, "failure", "why \ufffd"),
        (Outcome.SKIPPED, "skipped", "not started"),
        (Outcome.EDITED, "skipped", "edited by hand, and kept"),
        (Outcome.SUBMITTED, "skipped", "left at the service"),
    ],
)
def test_an_output_that_is_not_there(tmp_path: Path, outcome: Outcome, tag: str, message: str) -> None:
    """The case fails or is skipped, with a message in which forbidden characters are replaced."""
    path = tmp_path / "report.xml"
    recording = Recording(path)
    recording.emit(ended("s/a", outcome))
    (case,) = written(recording, path).iter("testcase")
    assert (case[0].tag, case[0].get("message")) == (tag, message)


def test_a_failure_has_the_whole_problem(tmp_path: Path) -> None:
    """The text of a failure is that of its problems, and its type the name of the first one."""
    path = tmp_path / "report.xml"
    recording = Recording(path)
    recording.emit(ended("s/a", Outcome.FAILED, Problem("torn", hint="mend", name="bad-image"), Problem("late")))
    (failure,) = written(recording, path).iter("failure")
    assert failure.text == "error: torn\n  = hint: mend\n\nerror: late"
    assert failure.get("type") == "bad-image"


def test_a_problem_of_the_whole_build_is_an_error(tmp_path: Path) -> None:
    """The error stands in a case of its own, whether the build stopped or never began."""
    path = tmp_path / "report.xml"
    recording = Recording(path)
    recording.emit(Stopping("the disk is full", 0, [Problem("the disk is full")]))
    recording.fail(KeyboardInterrupt())
    root = written(recording, path)
    assert [root.get(name) for name in COUNTS] == ["1", "0", "1", "0"]
    (error,) = root.iter("error")
    assert (error.get("message"), error.text) == (
        "the disk is full",
        "the disk is full\n\nerror: the disk is full\n\ninterrupted",
    )


def test_other_files_are_kept(tmp_path: Path) -> None:
    """A file that is not XML, and a folder, are refused before the build."""
    (tmp_path / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(UsageError, match=r"notes\.txt exists and is not a report"):
        Recording(tmp_path / "notes.txt")
    with pytest.raises(UsageError, match="can't be written"):
        Recording(tmp_path)
    (tmp_path / "empty.xml").touch()
    assert written(Recording(tmp_path / "empty.xml"), tmp_path / "empty.xml").get("tests") == "0"


def test_a_report_is_written_through_a_link(tmp_path: Path) -> None:
    """The link stays, and its target is written."""
    link = tmp_path / "link.xml"
    link.symlink_to("target.xml")
    assert written(Recording(link), tmp_path / "target.xml").tag == "testsuites"
    assert link.is_symlink()


def test_a_pipe_gets_the_report(tmp_path: Path) -> None:
    """A named pipe is written to, not replaced."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        Recording(pipe).write()
        assert ElementTree.fromstring(os.read(reader, 65536)).tag == "testsuites"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_report_that_can_not_be_written(tmp_path: Path) -> None:
    """A folder that disappears during the build is an error that names the report."""
    path = tmp_path / "reports" / "report.xml"
    recording = Recording(path)
    (tmp_path / "reports").write_text("a file", "utf-8")
    with pytest.raises(OutputError, match=r"report\.xml can't be written"):
        recording.write()
