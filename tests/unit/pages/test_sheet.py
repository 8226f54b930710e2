"""The contact sheet: formats, whose file may be replaced, and what goes wrong."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from qwenbuild.engine.engine import load
from qwenbuild.engine.planning import make_plan
from qwenbuild.errors import OutputError, UsageError
from qwenbuild.pages.sheet import Choices, is_sealed, sealed, write
from tests.support.trouble import most_bytes
from tests.support.workspace import Workspace

SPEC = '[image.a]\nprompt = "a"\nmatrix = { seed = [1, 2], mood = ["x", "y"] }\n'
FORMATS = ["png", "pdf", "html"]


@pytest.fixture
def pets(project: Workspace) -> Workspace:
    project.write({"qwenbuild.toml": 'provider = "null"', "specs/s.toml": SPEC})
    load(project.root, where=["seed=1"]).build()
    return project


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_sheet_is_written_anew(pets: Workspace, suffix: str) -> None:
    """Each format is written; equal sheets have equal bytes, also over an earlier one; progress is told."""
    told: list[tuple[int, int]] = []
    path = pets.root / "new" / f"sheet.{suffix}"
    first = load(pets.root).sheet(path, tell=lambda *numbers: told.append(numbers))
    content = path.read_bytes()
    assert (first.path, first.cells, first.pages, first.size_bytes, first.warnings) == (path, 4, 1, len(content), [])
    assert told[-1] in [(1, 1), (2, 2)]  # equal images are in a page of HTML once
    load(pets.root).sheet(path)
    assert path.read_bytes() == content
    assert [it.name for it in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", FORMATS)
def test_nothing_but_a_sheet_is_replaced(pets: Workspace, suffix: str) -> None:
    """Neither a file of the user, nor a sheet that somebody changed."""
    path = pets.root / f"sheet.{suffix}"
    load(pets.root).sheet(path)
    for content in (path.read_bytes() + b"note", path.read_bytes().replace(b"e", b"f", 1), b"mine"):
        path.write_bytes(content)
        with pytest.raises(UsageError) as caught:
            load(pets.root).sheet(path)
        assert str(caught.value) == (
            f"error: {path} is not a sheet as qwenbuild wrote it\n"
            "  = it is another file, or somebody changed it\n"
            "  = hint: let -o name another file, or remove this one"
        )
        assert path.read_bytes() == content


def test_an_image_is_not_replaced(pets: Workspace) -> None:
    """An output is a PNG of qwenbuild, but no sheet."""
    [image, *_] = sorted((pets.root / "out").rglob("*.png"))
    before = image.read_bytes()
    with pytest.raises(UsageError, match="is not a sheet"):
        load(pets.root).sheet(image)
    assert image.read_bytes() == before


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_seal_is_the_digest_of_all_other_bytes(suffix: str) -> None:
    """No byte of a sealed file can change."""
    out = io.BytesIO()
    Image.new("RGB", (2, 2)).save(out, "PNG")
    content = sealed(out.getvalue(), f".{suffix}")
    assert is_sealed(content, f".{suffix}") is True
    changed = [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in range(len(content))]
    assert not any(is_sealed(it, f".{suffix}") for it in [*changed, content[:-1], content[1:], b"", out.getvalue()])


def test_a_sealed_png_is_a_whole_png(pets: Workspace) -> None:
    """The seal is a chunk with a text."""
    path = pets.root / "sheet.PNG"
    load(pets.root).sheet(path, Choices(tile_px=64))
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        assert len(image.info["qwenbuild sheet"]) == 64


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "sheet.jpg",
            '{}: a sheet can\'t be written as ".jpg"\n  = {all}\n  = hint: did you mean ".png"?',
        ),
        ("sheet.pgn", '{}: a sheet can\'t be written as ".pgn"\n  = {all}\n  = hint: did you mean ".png"?'),
        ("sheet", "{} has no suffix\n  = the suffix says the format: .png, .pdf, .html"),
    ],
)
def test_the_suffix_says_the_format(pets: Workspace, name: str, told: str) -> None:
    """Another one is refused before anything is read."""
    path = pets.root / name
    with pytest.raises(UsageError) as caught:
        load(pets.root).sheet(path)
    expected = told.replace("{all}", "the suffix says the format: .png, .pdf, .html").replace("{}", str(path))
    assert str(caught.value) == f"error: {expected}"


def test_unknown_paper_is_refused(pets: Workspace) -> None:
    """The message has the known ones."""
    with pytest.raises(UsageError) as caught:
        load(pets.root).sheet(pets.root / "a.pdf", Choices(paper="A5"))
    assert str(caught.value) == 'error: no paper "A5"\n  = known: A4, A3, letter'


def test_a_folder_is_not_replaced(pets: Workspace) -> None:
    """It is named."""
    path = pets.root / "a.pdf"
    path.mkdir()
    with pytest.raises(UsageError) as caught:
        load(pets.root).sheet(path)
    assert str(caught.value) == f"error: {path} can't be replaced: it is a folder"


def test_a_full_disk_leaves_the_earlier_sheet(pets: Workspace) -> None:
    """The message says what to do, and nothing half-written stays."""
    path = pets.root / "sheet.html"
    load(pets.root).sheet(path)
    before = path.read_bytes()
    engine = load(pets.root)
    with engine.state() as state, most_bytes(1000), pytest.raises(OutputError) as caught:
        plan = make_plan(engine, state)
        write(path, engine.project, plan, state, engine.store, engine.routes, Choices())
    assert str(caught.value) == (
        f"error: {path} can't be written: File too large\n  = hint: free some space there, or let -o name another place"
    )
    assert path.read_bytes() == before
    assert list(pets.root.glob(".*.tmp")) == []


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_that_is_no_image_is_a_blank_with_a_warning(pets: Workspace, suffix: str) -> None:
    """The rest of the sheet is drawn."""
    min((pets.root / "out").rglob("*.png")).write_bytes(b"mine")
    written = load(pets.root).sheet(pets.root / f"sheet.{suffix}")
    [warning] = written.warnings
    assert str(warning).splitlines()[0] == "error: 1 file is no whole image, and the sheet does not show it"


def test_a_label_without_a_font_is_a_warning(pets: Workspace) -> None:
    """HTML shows it all the same."""
    pets.write({"specs/s.toml": SPEC.replace('"x"', '"\U00012000"')})
    [warning] = load(pets.root).sheet(pets.root / "sheet.pdf").warnings
    assert str(warning) == (
        "error: no font here has 1 characters of the labels, which are drawn as boxes\n"
        "  = \U00012000\n"
        "  = hint: a sheet in HTML shows them: browsers have more fonts"
    )
    assert load(pets.root).sheet(pets.root / "sheet.html").warnings == []


def test_transparent_images_stand_on_white(pets: Workspace) -> None:
    """Also images with a palette."""
    edited = sorted((pets.root / "out").rglob("*.png"))
    Image.new("RGBA", (1328, 1328), (0, 0, 0, 0)).save(edited[0])
    Image.new("P", (1328, 1328), 0).save(edited[1])
    path: Path = load(pets.root).sheet(pets.root / "sheet.png", Choices(tile_px=64, rows="seed", columns="mood")).path
    with Image.open(path) as image:
        assert sum(colour == (0, 0, 0) for colour in image.get_flattened_data()) == 36 * 36
