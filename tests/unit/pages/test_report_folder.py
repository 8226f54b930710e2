"""The folder of a report: whole files, what counts as written before, and what is never touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qwenbuild.errors import UsageError
from qwenbuild.files.user_folders import cache_folder
from qwenbuild.pages.report_folder import DATA, ReportFolder
from tests.support.trouble import most_bytes

_IMAGE = f"images/{'0' * 64}.png"
_DETAIL = "details/0.js"


def opened(root: Path) -> ReportFolder:
    return ReportFolder(root, {DATA, "index.html"})


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A report of three files, saved with the basis `first`."""
    folder = opened(tmp_path / "report")
    folder.prepare()
    for name in (DATA, _IMAGE, _DETAIL):
        folder.put(name, name.encode())
    assert folder.save("first") == len(DATA) + len(_IMAGE) + len(_DETAIL)
    return folder.root


def test_files_that_are_as_they_were_written_are_known(report: Path) -> None:
    """A file that nobody changed counts as written, and so does the basis."""
    again = opened(report)
    assert (again.basis, again.keep(_IMAGE), again.keep("images/other.png")) == ("first", True, False)


@pytest.mark.parametrize(("name", "basis"), [(_IMAGE, "first"), (_DETAIL, "")])
def test_a_changed_file_is_not_known(report: Path, name: str, basis: str) -> None:
    """A file that somebody replaced, with the same size, is written again; details that changed end the basis."""
    content = bytes(len((report / name).read_bytes()))
    (report / name).unlink()
    (report / name).write_bytes(content)
    again = opened(report)
    assert (again.keep(name), again.basis) == (False, basis)


def test_a_project_brings_no_record(report: Path, tmp_path: Path) -> None:
    """Files that came with a folder are not known, whatever they are named."""
    report.rename(tmp_path / "clone")
    again = opened(tmp_path / "clone")
    assert (again.keep(_IMAGE), again.basis) == (False, "")


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2}', '{"format": 1, "basis": "x", "files": 3}'])
def test_a_damaged_record_counts_as_none(report: Path, content: str) -> None:
    """Without a record that can be read, all files are written again."""
    cache = cache_folder()
    assert cache
    [record] = (cache / "reports").iterdir()
    assert json.loads(record.read_bytes())["basis"] == "first"
    record.write_text(content, "utf-8")
    assert opened(report).basis == ""


def test_files_that_nobody_wants_are_removed(report: Path) -> None:
    """Saving removes the files of earlier reports and halves of files, and nothing that a report does not write."""
    (report / f"{_IMAGE}.part").write_bytes(b"half")
    (report / "images" / "mine.png").write_bytes(b"mine")
    again = opened(report)
    again.put(DATA, b"new")
    again.save("second")
    assert sorted(path.name for path in report.rglob("*") if path.is_file()) == [DATA, "mine.png"]


def test_all_files_can_be_kept(report: Path) -> None:
    """`keep_all` keeps what the earlier report wrote."""
    again = opened(report)
    again.keep_all()
    again.save("first")
    assert (report / _IMAGE).exists()
    assert opened(report).basis == "first"


def test_a_file_that_can_not_be_written_stays_as_it_was(report: Path) -> None:
    """If the disk is full in the middle of a file, the old file stays, and no half of the new one."""
    with most_bytes(100), pytest.raises(OSError, match="too large"):
        opened(report).put(DATA, bytes(1000))
    assert (report / DATA).read_bytes() == DATA.encode()
    assert list(report.glob("*.part")) == []


def test_an_interrupted_report_is_no_foreign_folder(tmp_path: Path) -> None:
    """A folder with images and without a page is a report that was interrupted; one with other files is not."""
    folder = opened(tmp_path)
    folder.prepare()
    folder.put(_IMAGE, b"image")
    opened(tmp_path)
    (tmp_path / "images" / "mine.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match="holds files that are not a report"):
        opened(tmp_path)
