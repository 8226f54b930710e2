"""The JUnit XML report of a build, for CI: a suite for each image, a case for each output."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree

from qwenbuild.errors import OutputError, UsageError
from qwenbuild.events import Event, Finished, ImageFinished, Outcome, Stopping
from qwenbuild.files import atomic

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, "Char"
_FAILURES: Mapping[Outcome, str] = {
    Outcome.FAILED: "failed", Outcome.UNKNOWN: "may have been billed",
    Outcome.MISSING: "pinned by the lock, but missing",
}  # fmt: skip
_SKIPPED: Mapping[Outcome, str] = {
    Outcome.SKIPPED: "not started", Outcome.EDITED: "edited by hand, and kept",
    Outcome.SUBMITTED: "left at the service",
}  # fmt: skip


class Recording:
    """Collects a build's events and writes the report.

    A problem that belongs to no output becomes an error of an extra case, `build`.
    """

    def __init__(self, path: Path) -> None:
        """Check that the report can be written to `path`; the build has not begun yet.

        Symbolic links are followed. Raises UsageError if `path` can't be written, or is a file that is not XML.
        """
        self._is_stream = path.exists() and not (path.is_file() or path.is_dir())  # such as a pipe or /dev/stdout
        self._path = path if self._is_stream else Path(os.path.realpath(path))
        self._cases: dict[str, list[ImageFinished]] = {}
        self._problems: list[str] = []
        self.seconds: float | None = None
        if self._is_stream:
            return
        folder = next(parent for parent in self._path.parents if parent.exists())
        if path.is_dir() or not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise UsageError(
                f"{path} can't be written",
                hint="--junit names a file, such as report/junit.xml",
                name="output-unwritable",
            )
        if path.is_file() and not _is_xml(path):
            raise UsageError(
                f"{path} exists and is not a report",
                hint="name another file, or remove this one",
                name="file-in-the-way",
            )

    def emit(self, event: Event) -> None:
        """Record one event."""
        match event:
            case ImageFinished():
                self._cases.setdefault(event.name.partition("[")[0], []).append(event)
            case Stopping():
                self._problems += [event.reason, *map(str, event.problems)]
            case Finished():
                self.seconds = event.seconds

    def fail(self, error: BaseException) -> None:
        """Record the error, or the interruption, that ended the build early."""
        self._problems.append(str(error) or "interrupted")

    def write(self) -> None:
        """Write the report in one step; raises OutputError."""
        try:
            if self._is_stream:
                self._path.write_bytes(self.xml())
            else:
                atomic.write(self._path, self.xml(), self._path.parent)
        except OSError as error:
            raise OutputError(
                f"{self._path} can't be written: {error.strerror or error}", name="output-unwritable"
            ) from error

    def xml(self) -> bytes:
        """Return the report as XML in UTF-8."""
        events = [event for cases in self._cases.values() for event in cases]
        seconds = sum(event.seconds for event in events) if self.seconds is None else self.seconds
        errors = 1 if self._problems else 0
        counts = {**_counts(events), "tests": str(len(events) + errors), "errors": str(errors)}
        root = ElementTree.Element("testsuites", {"name": "qwenbuild", **counts, "time": f"{seconds:.3f}"})
        if self._problems:
            _error_suite(root, self._problems)
        for image, cases in sorted(self._cases.items()):
            time = f"{sum(event.seconds for event in cases):.3f}"
            suite = ElementTree.SubElement(root, "testsuite", {"name": _clean(image), **_counts(cases), "time": time})
            for event in cases:
                _case(suite, image, event)
        ElementTree.indent(root)
        text: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
        return text + b"\n"


def report_no_op(path: Path, cells: Iterable[tuple[str, str]], seconds: float) -> None:
    """Write the report of a build with nothing to do. `cells` are names and paths. Raises UsageError, OutputError."""
    recording = Recording(path)
    for name, output in cells:
        recording.emit(ImageFinished(name, output, Outcome.UP_TO_DATE, "up to date", 0.0))
    recording.seconds = seconds
    recording.write()


def _is_xml(path: Path) -> bool:
    """Return True if the file is empty or begins like XML; False if it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(5) in (b"", b"<?xml")
    except OSError:
        return False


def _error_suite(root: ElementTree.Element, problems: list[str]) -> None:
    counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0", "time": "0.000"}
    suite = ElementTree.SubElement(root, "testsuite", {"name": "qwenbuild", **counts})
    case = ElementTree.SubElement(suite, "testcase", {"classname": "qwenbuild", "name": "build", "time": "0.000"})
    message = _clean(problems[0].split("\n")[0])
    ElementTree.SubElement(case, "error", {"message": message}).text = _clean("\n\n".join(problems))


def _case(suite: ElementTree.Element, image: str, event: ImageFinished) -> None:
    attributes = {"classname": image, "name": event.name, "file": event.path, "time": f"{event.seconds:.3f}"}
    case = ElementTree.SubElement(suite, "testcase", {name: _clean(text) for name, text in attributes.items()})
    if word := _FAILURES.get(event.outcome):
        message = _clean(event.reason) or word
        name = event.problems[0].name if event.problems else ""
        failure = ElementTree.SubElement(case, "failure", {"type": name or event.outcome.value, "message": message})
        failure.text = _clean("\n\n".join(map(str, event.problems)) or f"{word}: {event.reason}")
    elif word := _SKIPPED.get(event.outcome):
        ElementTree.SubElement(case, "skipped", {"message": word})


def _counts(events: list[ImageFinished]) -> dict[str, str]:
    failures = sum(event.outcome in _FAILURES for event in events)
    skipped = sum(event.outcome in _SKIPPED for event in events)
    return {"tests": str(len(events)), "failures": str(failures), "errors": "0", "skipped": str(skipped)}


def _clean(text: str) -> str:
    """Return `text` with each character that XML forbids replaced."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
