"""The report: what is written, what is refused, and that texts stay texts."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from qwenbuild.engine.engine import load
from qwenbuild.errors import OutputError, UsageError
from qwenbuild.pages.report import STATIC, WEB
from tests.support.trouble import most_bytes
from tests.support.workspace import Workspace

SPEC = """
[image.dog]
prompt = "A dog, {{ mood }} </script><!-- \\u2028"
matrix = { mood = ["calm", "wild"] }
"""


@pytest.fixture
def pets(project: Workspace) -> Workspace:
    return project.write({"qwenbuild.toml": 'provider = "null"', "specs/pets.toml": SPEC})


def data(folder: Path) -> dict[str, object]:
    text = (folder / "data.js").read_text("utf-8")
    found: dict[str, object] = json.loads(text.partition("qwenbuildData.model = ")[2].rstrip(";\n"))
    return found


def test_it_holds_the_page_the_cells_and_their_images(pets: Workspace) -> None:
    """A report has the page, the cells, and an image and a thumbnail for each cell that has one."""
    load(pets.root, where=["mood=calm"]).build()
    written = load(pets.root).report()
    folder = pets.root / ".qwenbuild" / "report"
    assert (written.index, written.cells) == (folder / "index.html", 2)
    cells = data(folder)["cells"]
    assert isinstance(cells, list)
    assert [(cell["kind"], cell["verdict"]) for cell in cells] == [("image", "up_to_date"), ("none", "render")]
    image = (folder / "images" / f"{cells[0]['image']}.png").read_bytes()
    assert image == (pets.root / "out" / cells[0]["path"]).read_bytes()
    assert [path.stem for path in (folder / "thumbnails").iterdir()] == [cells[0]["image"]]


def test_a_small_report_has_only_thumbnails(pets: Workspace, tmp_path: Path) -> None:
    """A small report has no full-size images; a full report into the same folder adds them."""
    load(pets.root).build()
    progress: list[tuple[int, int]] = []
    small = load(pets.root).report(tmp_path / "page", small=True, tell=lambda *numbers: progress.append(numbers))
    assert progress == [(1, 2), (2, 2)]
    assert len(list((tmp_path / "page" / "thumbnails").iterdir())) == 2
    assert list((tmp_path / "page" / "images").iterdir()) == []
    assert data(tmp_path / "page")["small"] is True
    full = load(pets.root).report(tmp_path / "page")
    assert len(list((tmp_path / "page" / "images").iterdir())) == 2
    assert full.size_bytes > small.size_bytes


def test_a_second_report_writes_only_the_page(pets: Workspace, tmp_path: Path) -> None:
    """A report of an unchanged project leaves details, images and thumbnails alone, and tells of no work."""
    engine, page = load(pets.root), tmp_path / "page"
    engine.build()
    first = engine.report(page)
    before = {path: path.stat().st_mtime_ns for path in page.rglob("*")}
    told: list[tuple[int, int]] = []
    assert load(pets.root).report(page, tell=lambda *numbers: told.append(numbers)).cells == first.cells
    changed = [path for path in page.rglob("*") if before.get(path) != path.stat().st_mtime_ns]
    assert {path.relative_to(page).as_posix() for path in changed} <= {*STATIC, "data.js"}
    assert told == []


def test_details_follow_the_project(pets: Workspace, tmp_path: Path) -> None:
    """If the same prompt comes from other sources, the details say so."""
    engine, page = load(pets.root), tmp_path / "page"
    engine.build()
    engine.report(page)
    assert '["calm",["mood"]]' in (page / "details" / "0.js").read_text("utf-8")
    pets.write({"specs/pets.toml": SPEC.replace("{{ mood }}", "{{ 'calm' if mood == 'calm' else 'wild' }}")})
    engine.report(page)
    pets.write({"specs/pets.toml": SPEC.replace("A dog, {{ mood }}", "{{ 'A dog, ' ~ mood }}")})
    engine.report(page)
    assert '["A dog, calm",["mood"]]' in (page / "details" / "0.js").read_text("utf-8")


def test_a_file_that_is_no_image_is_told(pets: Workspace, tmp_path: Path) -> None:
    """A damaged file in `out/` is named, and the report has all other images."""
    engine = load(pets.root)
    engine.build()
    damaged = pets.root / "out" / engine.plan().steps[0].action.output
    damaged.write_bytes(damaged.read_bytes()[:99])
    written = engine.report(tmp_path / "page")
    [warning] = written.warnings
    assert warning.claim == "1 file is no whole image, and the report does not show it"
    assert warning.facts == [damaged.relative_to(pets.root).as_posix()]
    assert len(list((tmp_path / "page" / "thumbnails").iterdir())) == 2  # the other image, and the earlier one


def test_an_interrupted_report_is_written_again(pets: Workspace, tmp_path: Path) -> None:
    """An interrupt in the middle leaves no half file, and the next report into the folder is complete."""
    engine, page = load(pets.root), tmp_path / "page"
    engine.build()

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.report(page, tell=interrupt)
    assert list(page.rglob("*.part")) == []
    assert not (page / "data.js").exists()
    assert engine.report(page).cells == 2
    assert len(list((page / "images").iterdir())) == 2


def test_a_full_disk_is_told(pets: Workspace, tmp_path: Path) -> None:
    """If a file can't be written, the error names the folder and the reason."""
    engine = load(pets.root)
    engine.build()
    with contextlib.ExitStack() as disk:

        def fill(done: int, total: int) -> None:
            disk.enter_context(most_bytes(100))

        with pytest.raises(OutputError, match="page can't be written: File too large") as caught:
            engine.report(tmp_path / "page", tell=fill)
    assert caught.value.hint == "free some space there, or let -o name another folder"


def test_pictures_that_a_project_brings_are_not_shown(pets: Workspace) -> None:
    """Thumbnails and images come from the images' own bytes, whatever files a clone has under their names."""
    engine = load(pets.root)
    engine.build()
    engine.report()
    folder = pets.root / ".qwenbuild" / "report"
    shown = {path: path.read_bytes() for name in ("images", "thumbnails") for path in (folder / name).iterdir()}
    for path in shown:
        path.unlink()
        path.write_bytes(b"a stranger's picture")
    engine.report()
    assert {path: path.read_bytes() for path in shown} == shown


def test_an_incomplete_file_of_an_interrupted_report_is_removed(pets: Workspace, tmp_path: Path) -> None:
    """A later report removes the incomplete files of an interrupted one."""
    load(pets.root).report(tmp_path / "page")
    (tmp_path / "page" / "images" / f"{'0' * 64}.png.part").write_bytes(b"half")
    load(pets.root).report(tmp_path / "page")
    assert list((tmp_path / "page" / "images").iterdir()) == []


def test_no_prompt_can_end_a_script(pets: Workspace) -> None:
    """Prompts are escaped, so that none can end a script element or start a comment."""
    load(pets.root).report()
    for path in (pets.root / ".qwenbuild" / "report").rglob("*.js"):
        if path.name == "data.js" or path.parent.name == "details":
            text = path.read_text("utf-8")
            assert "</script" not in text
            assert "<!--" not in text
            assert "\u2028" not in text


def test_a_second_report_replaces_the_first(pets: Workspace, tmp_path: Path) -> None:
    """The second report has the new image and the replaced image; files that are not needed are removed."""
    engine = load(pets.root)
    engine.build()
    engine.report(tmp_path / "page")
    pets.write({"specs/pets.toml": SPEC.replace("dog,", "fox,").replace(', "wild"', "")})
    engine.build()
    engine.report(tmp_path / "page")
    assert len(list((tmp_path / "page" / "images").iterdir())) == 2  # the new one, and the one that it replaced
    detail = (tmp_path / "page" / "details" / "0.js").read_text("utf-8")
    assert '"prompt":"A dog, calm' in detail


def test_a_folder_with_something_else_is_refused(pets: Workspace, tmp_path: Path) -> None:
    """A folder with other files is refused, and its files stay."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("", "utf-8")
    with pytest.raises(UsageError, match="holds files that are not a report") as caught:
        load(pets.root).report(tmp_path / "mine")
    assert caught.value.facts == ("such as thesis.txt",)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("name", ["index.html", "details/0.js", "images"])
def test_a_report_overwrites_nothing_through_a_link(pets: Workspace, tmp_path: Path, name: str) -> None:
    """A clone may hold a report with links out of the project, in `.qwenbuild/` or elsewhere."""
    engine, page, mine = load(pets.root), pets.root / "site", tmp_path / "mine"
    engine.report(page)
    mine.mkdir()
    (mine / "thesis.txt").write_text("canary", "utf-8")
    (page / name).rename(tmp_path / "other")
    (page / name).symlink_to(mine if name == "images" else mine / "thesis.txt")
    with pytest.raises(UsageError, match="holds a link"):
        engine.report(page)
    assert (mine / "thesis.txt").read_text("utf-8") == "canary"


def test_every_file_of_the_page_is_known() -> None:
    """STATIC lists every file of the page."""
    assert sorted(path.name for path in WEB.iterdir()) == sorted(STATIC)


def test_the_page_names_no_other_host_and_runs_nothing_inline() -> None:
    """The page loads nothing from other hosts, and has no inline scripts or styles."""
    for name in STATIC:
        text = (WEB / name).read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text
        assert "innerHTML" not in text
        assert " style=" not in text
    page = (WEB / "index.html").read_text("utf-8")
    assert all("src=" in line for line in page.splitlines() if line.startswith("<script"))
