"""A build as JUnit XML, for the test reports of CI: one case for each output, in a suite for each image."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from . import atomicfile
from .errors import OutputError
from .events import Event, Finished, ImageFinished, Outcome

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, "Char"
_FAILURES: Mapping[Outcome, str] = {
    Outcome.FAILED: "failed", Outcome.UNKNOWN: "may have been billed",
    Outcome.MISSING: "pinned by the lock, and missing",
}  # fmt: skip
_SKIPPED: Mapping[Outcome, str] = {
    Outcome.SKIPPED: "not begun", Outcome.EDITED: "edited by hand, and kept",
    Outcome.SUBMITTED: "left with the service",
}  # fmt: skip


class Recording:
    """Takes a build's events, and writes what they come to."""

    def __init__(self) -> None:
        self._cases: dict[str, list[ImageFinished]] = {}
        self._finished: Finished | None = None

    def emit(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, ImageFinished):
            self._cases.setdefault(event.name.partition("[")[0], []).append(event)
        elif isinstance(event, Finished):
            self._finished = event

    def write(self, path: Path) -> None:
        """Write the report as a whole; raises OutputError."""
        try:
            atomicfile.write(path, self.xml(), path.parent)
        except OSError as error:
            raise OutputError(f"{path} can't be written: {error.strerror or error}") from error

    def xml(self) -> bytes:
        """Return the report."""
        events = [event for cases in self._cases.values() for event in cases]
        seconds = self._finished.seconds if self._finished else sum(event.seconds for event in events)
        root = ElementTree.Element("testsuites", {"name": "qwenbuild", **_counts(events), "time": f"{seconds:.3f}"})
        for image, cases in self._cases.items():
            took = {"time": f"{sum(event.seconds for event in cases):.3f}"}
            suite = ElementTree.SubElement(root, "testsuite", {"name": _clean(image), **_counts(cases), **took})
            for event in cases:
                _case(suite, image, event)
        ElementTree.indent(root)
        text: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
        return text + b"\n"


def _case(suite: ElementTree.Element, image: str, event: ImageFinished) -> None:
    about = {"classname": _clean(image), "name": _clean(event.name), "file": _clean(event.path)}
    case = ElementTree.SubElement(suite, "testcase", {**about, "time": f"{event.seconds:.3f}"})
    if word := _FAILURES.get(event.outcome):
        message = _clean(event.reason) or word
        failure = ElementTree.SubElement(case, "failure", {"type": event.outcome.value, "message": message})
        failure.text = _clean("\n\n".join(map(str, event.problems)) or f"{word}: {event.reason}")
    elif word := _SKIPPED.get(event.outcome):
        ElementTree.SubElement(case, "skipped", {"message": word})


def _counts(events: list[ImageFinished]) -> dict[str, str]:
    failures = sum(event.outcome in _FAILURES for event in events)
    skipped = sum(event.outcome in _SKIPPED for event in events)
    return {"tests": str(len(events)), "failures": str(failures), "errors": "0", "skipped": str(skipped)}


def _clean(text: str) -> str:
    """Return text without the characters that XML can't hold."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
