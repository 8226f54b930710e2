"""The output folder: files are written whole, stay inside the folder, and are removed only if unchanged."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from qwenbuild.digest import sha256
from qwenbuild.errors import OutputChanged, OutputError
from qwenbuild.storage.outputs import Outputs, digest, is_unchanged, is_untouched, pointed, status
from qwenbuild.storage.records import Output
from tests.support.trouble import most_bytes, nobody, other_file_system, public_folder

IMAGE = b"image bytes"


class Place:
    """An output folder, and a blob to write into it."""

    def __init__(self, root: Path) -> None:
        self.out, self.staging, self.blob = root / "out", root / "staging", root / "blob"
        self.blob.write_bytes(IMAGE)
        self.outputs = Outputs(self.out, self.staging)

    def write(self, name: str, seen: os.stat_result | None = None) -> Output:
        """Write the blob; return the record of the output."""
        found = self.outputs.write(name, self.blob, IMAGE, seen)
        return Output(name, "k", sha256(IMAGE), found.st_size, found.st_mtime_ns, found.st_ino, "s/a")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An output folder that does not exist yet."""
    return Place(tmp_path)


def test_writing(place: Place) -> None:
    """An output is written with its folders, its record has its status, and nothing is left in staging."""
    record = place.write("a/b/c.png")
    path = place.out / "a/b/c.png"
    seen = status(path)
    assert seen is not None
    assert path.read_bytes() == IMAGE
    assert (seen.st_size, seen.st_mtime_ns, seen.st_ino) == (record.st_size, record.st_mtime_ns, record.st_ino)
    assert is_unchanged(path, record, seen)
    assert os.listdir(place.staging) == []


def test_many_at_once(place: Place) -> None:
    """Copies are renamed together. If one copy can't be renamed, `place` returns its error, and the others succeed."""
    names = [f"{folder}/{number}.png" for folder in "ab" for number in range(10)]
    copies = [place.outputs.copy(name, place.blob, IMAGE, None) for name in names]
    assert [path for path in place.out.rglob("*") if path.is_file()] == []
    (place.out / "a/3.png").write_bytes(b"mine")
    (place.out / "a/4.png").mkdir()
    placed = place.outputs.place(copies)
    assert os.listdir(place.staging) == []
    failed = [name for name, found in zip(names, placed, strict=True) if isinstance(found, OutputError)]
    assert failed == ["a/3.png", "a/4.png"]
    assert (place.out / "a/3.png").read_bytes() == b"mine"
    for name, found in zip(names, placed, strict=True):
        if isinstance(found, os.stat_result):
            now = os.lstat(place.out / name)
            assert (place.out / name).read_bytes() == IMAGE
            assert (now.st_size, now.st_mtime_ns, now.st_ino) == (found.st_size, found.st_mtime_ns, found.st_ino)


def test_staging_on_another_file_system(tmp_path: Path) -> None:
    """Copies are written even if staging is on another file system."""
    with other_file_system(tmp_path) as staging:
        (tmp_path / "blob").write_bytes(IMAGE)
        outputs = Outputs(tmp_path / "out", staging)
        (found,) = outputs.place([outputs.copy("a.png", tmp_path / "blob", IMAGE, None)])
        assert not isinstance(found, OutputError)
        assert os.listdir(staging) == []
    assert (tmp_path / "out/a.png").read_bytes() == IMAGE
    assert os.lstat(tmp_path / "out/a.png").st_ino == found.st_ino


def test_a_blob_that_has_gone(place: Place) -> None:
    """If the blob is gone, the bytes that were read before are written."""
    place.blob.unlink()
    place.write("a.png")
    assert (place.out / "a.png").read_bytes() == IMAGE


def test_the_blob_and_the_output_are_two_files(place: Place) -> None:
    """An edit of an output does not change the blob."""
    place.write("a.png")
    with (place.out / "a.png").open("r+b") as file:
        file.write(b"EDIT")
    assert place.blob.read_bytes() == IMAGE


def test_a_file_that_changed(place: Place) -> None:
    """A file that changed since the plan is not replaced."""
    place.out.mkdir()
    path = place.out / "a.png"
    path.write_bytes(b"mine")
    for seen in (None, os.lstat(place.blob)):
        with pytest.raises(OutputError, match="changed during the build and was left alone"):
            place.write("a.png", seen)
    assert path.read_bytes() == b"mine"
    place.write("a.png", os.lstat(path))
    assert path.read_bytes() == IMAGE


def test_nothing_is_written_outside(place: Place, tmp_path: Path) -> None:
    """A link that leads out of the folder is refused; a link inside it is followed."""
    place.write("a/x.png")
    elsewhere = tmp_path / "elsewhere"
    shutil.move(place.out / "a", elsewhere)
    (place.out / "a").symlink_to(elsewhere)
    fresh = Place(tmp_path)
    with pytest.raises(OutputError, match="leads out of"):
        fresh.write("a/y.png")
    (place.out / "b").mkdir()
    (place.out / "inner").symlink_to("b")
    assert fresh.write("inner/z.png").path == "inner/z.png"
    assert os.listdir(elsewhere) == ["x.png"]


def test_nothing_is_removed_outside(place: Place, tmp_path: Path) -> None:
    """No file is removed if a record's path leads out of the folder, by `..` or through a link."""
    record = place.write("a/x.png")
    shutil.move(place.out / "a", tmp_path / "elsewhere")
    (place.out / "a").symlink_to(tmp_path / "elsewhere")
    assert not place.outputs.remove(record, dry_run=False)
    for path in ("../elsewhere/x.png", str(tmp_path / "elsewhere/x.png")):
        assert not place.outputs.remove(record._replace(path=path), dry_run=False)
    assert os.listdir(tmp_path / "elsewhere") == ["x.png"]


def test_removing(place: Place) -> None:
    """An output is removed with the folders that become empty; an edited output stays."""
    records = [place.write(name) for name in ("a/b/x.png", "a/y.png", "z.png")]
    (place.out / "a/y.png").write_bytes(b"mine")
    assert [place.outputs.remove(record, dry_run=True) for record in records] == [True, False, True]
    assert (place.out / "a/b/x.png").exists()
    assert [place.outputs.remove(record, dry_run=False) for record in records] == [True, False, True]
    assert sorted(path.relative_to(place.out).as_posix() for path in place.out.rglob("*")) == ["a", "a/y.png"]
    assert place.outputs.remove(records[0], dry_run=False)


def test_recognising(place: Place) -> None:
    """A regular file with the same status or the same bytes is unchanged; a link never is."""
    record = place.write("a.png")
    path = place.out / "a.png"

    def unchanged() -> bool:
        return is_unchanged(path, record, os.lstat(path))

    os.utime(path)
    assert unchanged()
    path.write_bytes(IMAGE[:-1] + b"x")
    assert not unchanged()
    path.write_bytes(IMAGE)
    assert unchanged()
    path.unlink()
    path.symlink_to("x" * len(IMAGE))
    os.utime(path, ns=(record.st_mtime_ns, record.st_mtime_ns), follow_symlinks=False)
    assert not unchanged()
    assert digest(path, os.lstat(path)) == ""


def test_a_status_that_can_not_be_read(place: Place) -> None:
    """A missing file has no status, even if its parent is a file. A circle of links is an error."""
    assert status(place.out / "a.png") is None
    assert status(place.blob / "a.png") is None
    place.out.symlink_to("out")
    with pytest.raises(OutputError, match="can't be examined: Too many levels of symbolic links"):
        status(place.out / "a.png")


def test_a_folder_that_can_not_be_made(place: Place) -> None:
    """A file in the place of a folder is an error, and the file stays."""
    place.out.write_bytes(b"")
    with pytest.raises(OutputError) as caught:
        place.write("a/x.png")
    assert caught.value.facts == ("the image itself is safe in the store",)
    assert place.out.read_bytes() == b""


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_what_is_no_regular_file_is_never_replaced(place: Place, kind: str) -> None:
    """Also if it was there when the build was planned."""
    place.out.mkdir()
    path = place.out / "a.png"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("b.png")
    else:
        os.mkfifo(path)
    seen = os.lstat(path)
    with pytest.raises(OutputError) as caught:
        place.write("a.png", seen)
    assert (caught.value.claim, caught.value.hint) == (
        f"{path} is not a regular file", "move it away, then build again"
    )  # fmt: skip
    (placed,) = place.outputs.place([place.outputs.copy("a.png", place.blob, IMAGE, seen)])
    assert isinstance(placed, OutputError)
    assert os.lstat(path).st_ino == seen.st_ino


def test_the_digest_of_what_can_not_be_read(place: Place, tmp_path: Path) -> None:
    """It is empty, as that of a folder is."""
    seen = os.lstat(place.blob)
    assert digest(place.blob, seen) == sha256(IMAGE)
    assert digest(tmp_path / "gone", seen) == ""
    assert digest(tmp_path, os.lstat(tmp_path)) == ""


def test_a_full_disk_loses_no_image(place: Place) -> None:
    """The message says that the image is safe, and no half file is left."""
    image = b"n" * 10_000
    with most_bytes(1000):
        for attempt in (place.outputs.write, place.outputs.copy):
            with pytest.raises(OutputError) as caught:
                attempt("a/b.png", place.blob, image, None)
            assert caught.value.claim == f"{place.out / 'a/b.png'} can't be written: File too large"
            assert caught.value.facts == ("the image itself is safe in the store",)
            assert caught.value.hint == (
                "make room or set permissions, then build again: the output will then be restored, not rendered"
            )
    assert (os.listdir(place.out / "a"), os.listdir(place.staging)) == ([], [])


def test_copies_that_have_gone(place: Place) -> None:
    """If staging was emptied meanwhile, each output has its error, and nothing is written."""
    copies = [place.outputs.copy(name, place.blob, IMAGE, None) for name in ("a.png", "b.png")]
    Path(copies[0].temporary).unlink()
    placed = place.outputs.place(copies)
    assert [str(error).splitlines()[0] for error in placed] == [
        f"error: {place.out / name} can't be written: No such file or directory" for name in ("a.png", "b.png")
    ]
    assert (os.listdir(place.out), os.listdir(place.staging)) == ([], [])


def test_a_folder_that_has_gone(place: Place) -> None:
    """The output whose folder somebody removed has an error; the others are placed."""
    copies = [place.outputs.copy(name, place.blob, IMAGE, None) for name in ("a/1.png", "b/2.png", "c/3.png")]
    (place.out / "b").rmdir()
    (place.out / "b").symlink_to("nowhere/else")
    first, second, third = place.outputs.place(copies[:1]) + place.outputs.place(copies[1:2]) + place.outputs.place(
        copies[2:]
    )  # fmt: skip
    assert isinstance(second, OutputError)
    assert second.claim == f"{place.out / 'b/2.png'} can't be written: No such file or directory"
    assert not isinstance(first, OutputError)
    assert not isinstance(third, OutputError)
    assert os.listdir(place.staging) == []


def test_a_full_disk_while_staging_is_elsewhere(tmp_path: Path) -> None:
    """The copy can't be renamed across file systems, nor written: the output has its error."""
    image = b"n" * 10_000
    (tmp_path / "blob").write_bytes(image)
    with other_file_system(tmp_path) as staging:
        outputs = Outputs(tmp_path / "out", staging)
        copies = [outputs.copy("a.png", tmp_path / "blob", image, None)]
        with most_bytes(1000):
            (found,) = outputs.place(copies)
        assert isinstance(found, OutputError)
        assert found.claim == f"{tmp_path / 'out/a.png'} can't be written: File too large"
        assert (os.listdir(tmp_path / "out"), os.listdir(staging)) == ([], [])


def test_an_output_that_can_not_be_removed() -> None:
    """The failure is an error that names the file; a removal is never only said to have happened."""
    with public_folder() as root:
        place = Place(root)
        record = place.write("a/b.png")
        (place.out / "a").chmod(0o555)
        with nobody(), pytest.raises(OutputError) as caught:
            place.outputs.remove(record, dry_run=False)
        assert caught.value.claim == f"{place.out / 'a/b.png'} can't be removed: Permission denied"
        assert (place.out / "a/b.png").read_bytes() == IMAGE


def test_removing_takes_the_folders_that_become_empty(place: Place) -> None:
    """A folder with another file stays, and so does the output folder itself."""
    one, two = place.write("a/b/c/1.png"), place.write("a/2.png")
    assert place.outputs.remove(one, dry_run=True) is True
    assert (place.out / "a/b/c/1.png").exists()
    assert place.outputs.remove(one, dry_run=False) is True
    assert os.listdir(place.out / "a") == ["2.png"]
    assert place.outputs.remove(two, dry_run=False) is True
    assert os.listdir(place.out) == []
    assert place.outputs.remove(two, dry_run=False) is True


def test_a_file_that_can_not_be_examined(place: Place) -> None:
    """A circle of links in the path is an error with the next step."""
    place.out.mkdir()
    (place.out / "a").symlink_to("a")
    with pytest.raises(OutputError) as caught:
        status(place.out / "a" / "b.png")
    assert (caught.value.claim, caught.value.hint) == (
        f"{place.out / 'a/b.png'} can't be examined: Too many levels of symbolic links",
        "repair its folder, then build again",
    )
    assert status(place.blob / "below-a-file.png") is None


def test_what_a_crash_left_in_staging_is_swept(place: Place) -> None:
    """Temporary files go, others stay."""
    place.staging.mkdir()
    for name in ("0123.tmp", "other"):
        (place.staging / name).touch()
    place.outputs.sweep()
    assert os.listdir(place.staging) == ["other"]


def test_what_makes_a_file_touched(place: Place) -> None:
    """Another time, size or inode, or another kind of file; then its bytes decide."""
    record = place.write("a.png")
    path = place.out / "a.png"
    seen = os.lstat(path)
    assert is_untouched(record, seen)
    for changed in (
        record._replace(st_mtime_ns=record.st_mtime_ns + 1), record._replace(st_ino=record.st_ino + 1),
        record._replace(st_size=record.st_size + 1),
    ):  # fmt: skip
        assert not is_untouched(changed, seen)
    assert is_unchanged(path, record._replace(st_ino=record.st_ino + 1), seen)
    assert not is_unchanged(path, record._replace(st_size=record.st_size + 1), seen)
    assert not is_unchanged(path, record._replace(st_ino=record.st_ino + 1, image="0" * 64), seen)


def test_an_output_whose_status_changed_is_removed_by_its_bytes(place: Place) -> None:
    """A checkout gives it another time and inode; an edit gives it other bytes."""
    record = place.write("a/b.png")
    os.utime(place.out / "a/b.png", (1, 1))
    assert place.outputs.remove(record, dry_run=False) is True
    assert os.listdir(place.out) == []
    record = place.write("b.png")
    (place.out / "b.png").write_bytes(IMAGE[::-1])
    assert place.outputs.remove(record, dry_run=False) is False
    assert os.listdir(place.out) == ["b.png"]


def test_the_time_of_an_output_is_the_present(place: Place) -> None:
    """To the nanosecond, so that every later edit changes it."""
    before_ns = time.time_ns()
    one = place.write("a.png").st_mtime_ns
    two = place.outputs.copy("b.png", place.blob, IMAGE, None).status.st_mtime_ns
    assert before_ns <= one <= two <= time.time_ns()


def test_copies_of_files_that_were_there(tmp_path: Path) -> None:
    """An output that is outdated is replaced, wherever staging is; one that changed meanwhile is kept."""
    (tmp_path / "blob").write_bytes(IMAGE)
    with other_file_system(tmp_path) as elsewhere:
        for staging in (tmp_path / "deep" / "staging", elsewhere):
            out = tmp_path / f"out-{staging.name}"
            outputs = Outputs(out, staging)
            out.mkdir()
            copies = []
            for name in ("old.png", "edited.png"):
                (out / name).write_bytes(b"old")
                copies.append(outputs.copy(name, tmp_path / "blob", IMAGE, os.lstat(out / name)))
            (out / "edited.png").write_bytes(b"edited")
            placed, kept = outputs.place(copies)
            assert isinstance(placed, os.stat_result)
            assert isinstance(kept, OutputChanged)
            assert (out / "old.png").read_bytes() == IMAGE
            assert (out / "edited.png").read_bytes() == b"edited"
            assert os.listdir(staging) == []


def test_what_is_refused_says_what_to_do(place: Place, tmp_path: Path) -> None:
    """The image is safe, and the next step is named."""
    place.out.mkdir()
    (place.out / "a.png").write_bytes(b"mine")
    with pytest.raises(OutputError) as caught:
        place.write("a.png")
    assert (caught.value.facts, caught.value.hint) == (
        ("the rendered image is safe in the store",), "build again; --overwrite replaces the edited file"
    )  # fmt: skip
    (place.out / "link").symlink_to(tmp_path)
    with pytest.raises(OutputError) as caught:
        place.write("link/a.png")
    assert (caught.value.claim, caught.value.hint) == (
        f"{place.out / 'link'} leads out of {place.out}", "remove the symbolic link"
    )  # fmt: skip


def test_a_file_that_no_image_can_be_has_no_digest(tmp_path: Path) -> None:
    """A hole of four terabytes takes no disk, but its digest would take an hour."""
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(1 << 42)
    assert digest(path, os.lstat(path)) == ""


@pytest.mark.parametrize(
    ("content", "is_pointer"),
    [
        (f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12\n", True),
        (f"version https://git-lfs.github.com/spec/v1\next-0-x sha256:b\noid sha256:{'a' * 64}\nsize 12\n", True),
        (f"version https://git-lfs.github.com/spec/v1\r\noid sha256:{'a' * 64}\r\nsize 12", True),
        (f"version https://hawser.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12\n", True),
        (f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 63}\nsize 12\n", False),
        (f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12\n" + "x" * 1024, False),
        ("", False),
    ],
)
def test_a_git_lfs_pointer_is_recognised(tmp_path: Path, content: str, is_pointer: bool) -> None:
    """It has the form of the specification, and is small."""
    path = tmp_path / "a.png"
    path.write_text(content)
    seen = status(path)
    assert seen
    assert pointed(path, seen) == ("a" * 64 if is_pointer else "")
    path.unlink()
    assert pointed(path, seen) == ""
    assert pointed(tmp_path, os.lstat(tmp_path)) == ""


def test_the_path_of_an_output(tmp_path: Path) -> None:
    """It lies below the output folder."""
    assert Outputs(tmp_path / "out", tmp_path / "tmp").path("s/a.png") == tmp_path / "out/s/a.png"
