"""Edits: a build renders what depends on the edit, and nothing else."""

from __future__ import annotations

import shutil

from tests.e2e.harness import Sandbox

POSTERS = {
    "garden/poster[seed=1,size=1664x928]", "garden/poster[seed=2,size=1664x928]",
    "garden/poster[seed=1,size=1328x1328]", "garden/poster[seed=2,size=1328x1328]",
}  # fmt: skip
FLOWERS = {"garden/flower[flower=rose]", "garden/flower[flower=lily]"}
ICONS = {"icons/sun", "icons/moon"}


def made(sandbox: Sandbox, *arguments: str) -> dict[str, int]:
    """Build, and return the number of images by outcome."""
    finished = sandbox.build_here(*arguments)
    return {name: finished[name] for name in ("rendered", "restored", "up_to_date", "edited") if finished[name]}


def test_a_first_build_renders_every_cell(sandbox: Sandbox) -> None:
    """A first build writes an image to the default path of every cell. A second build does nothing."""
    assert sandbox.changed() == dict.fromkeys(POSTERS | FLOWERS | ICONS, "render: never rendered")
    assert sandbox.build()["rendered"] == 8
    assert sorted(sandbox.outputs()) == [
        "garden/flower-lily.png", "garden/flower-rose.png",
        "garden/poster-1328x1328-1.png", "garden/poster-1328x1328-2.png",
        "garden/poster-1664x928-1.png", "garden/poster-1664x928-2.png",
        "icons/moon.png", "icons/sun.png",
    ]  # fmt: skip
    assert sandbox.changed() == {}


def test_a_word_of_a_template(sandbox: Sandbox) -> None:
    """A changed word in a base template renders the images that use it. If it is changed back, they are restored."""
    sandbox.build_here()
    before = sandbox.outputs()
    sandbox.edit("templates/base.j2", "poster", "banner")
    assert sandbox.changed() == dict.fromkeys(POSTERS, "render: prompt changed: -poster +banner")
    assert made(sandbox) == {"rendered": 4, "up_to_date": 4}
    sandbox.edit("templates/base.j2", "banner", "poster")
    assert sandbox.changed() == dict.fromkeys(POSTERS, "restore: prompt changed: -banner +poster")
    assert made(sandbox) == {"restored": 4, "up_to_date": 4}
    assert sandbox.outputs() == before


def test_a_field_of_a_spec(sandbox: Sandbox) -> None:
    """A changed default of a spec renders all its images. A changed field of one image renders only its cells."""
    sandbox.build_here()
    sandbox.edit("specs/garden.toml", "blurry", "noisy")
    expected = "render: negative prompt changed: -blurry +noisy"
    assert sandbox.changed() == dict.fromkeys(POSTERS | FLOWERS, expected)
    assert made(sandbox) == {"rendered": 6, "up_to_date": 2}
    sandbox.edit("specs/garden.toml", "matrix = { flower", "seed = 5\nwatermark = true\nmatrix = { flower")
    reasons = sandbox.changed()
    assert set(reasons) == FLOWERS
    assert all(reason.endswith(" -> 5; watermark false -> true") for reason in reasons.values())
    assert made(sandbox) == {"rendered": 2, "up_to_date": 6}


def test_a_row_of_a_table(sandbox: Sandbox) -> None:
    """A changed or added row renders its image. The image of a removed row is an orphan."""
    sandbox.build_here()
    sandbox.edit("specs/data/flowers.csv", "white lily", "pink lily")
    assert sandbox.changed() == {"garden/flower[flower=lily]": "render: prompt changed: -white +pink"}
    assert made(sandbox) == {"rendered": 1, "up_to_date": 7}
    sandbox.edit("specs/data/flowers.csv", "lily,pink lily", "iris,iris")
    assert sandbox.changed() == {"garden/flower[flower=iris]": "render: never rendered"}
    finished = sandbox.build_here()
    assert (finished["rendered"], finished["orphans"]) == (1, 1)


def test_a_spec_added_and_removed(sandbox: Sandbox) -> None:
    """The images of a new spec are rendered. Those of a removed spec are orphans until `clean --orphans`."""
    sandbox.build_here()
    sandbox.write({"specs/sea.toml": '[image.wave]\nprompt = "A wave"\n'})
    assert sandbox.changed() == {"sea/wave": "render: never rendered"}
    sandbox.build_here()
    (sandbox.root / "specs/icons.toml").unlink()
    finished = sandbox.build_here()
    assert (finished["up_to_date"], finished["orphans"]) == (7, 2)
    (sandbox.root / "out/icons/sun.png").write_bytes(b"mine")
    cleaned = sandbox.here("clean", "--orphans")
    assert (cleaned.code, cleaned.out) == (0, "    edited  icons/sun.png  kept\n1 output removed\n")
    assert (sandbox.root / "out/icons/sun.png").read_bytes() == b"mine"
    assert sandbox.build_here()["orphans"] == 1


def test_an_output_deleted(sandbox: Sandbox) -> None:
    """A deleted output is restored with the same bytes. Without the store it is rendered again."""
    sandbox.build_here()
    before = sandbox.outputs()
    (sandbox.root / "out/icons/sun.png").unlink()
    assert sandbox.changed() == {"icons/sun": "restore: output deleted"}
    assert made(sandbox) == {"restored": 1, "up_to_date": 7}
    shutil.rmtree(sandbox.store)
    assert sandbox.changed() == {}
    sandbox.build_nothing()
    (sandbox.root / "out/icons/sun.png").unlink()
    assert sandbox.changed() == {"icons/sun": "render: output deleted, and no longer in the store"}
    assert made(sandbox) == {"rendered": 1, "up_to_date": 7}
    assert sandbox.outputs() == before


def test_the_state_deleted_and_the_project_moved(sandbox: Sandbox) -> None:
    """A project without its state, or in another folder, recognises its outputs by their bytes."""
    sandbox.build_here()
    shutil.rmtree(sandbox.root / ".qwenbuild")
    assert sandbox.changed() == {}
    assert made(sandbox) == {"up_to_date": 8}
    moved = Sandbox(sandbox.root.with_name("moved"), sandbox.store)
    sandbox.root.rename(moved.root)
    assert made(moved) == {"up_to_date": 8}
    copied = Sandbox(sandbox.root.with_name("copied"), sandbox.store)
    shutil.copytree(moved.root, copied.root)
    assert made(copied) == {"up_to_date": 8}
    shutil.rmtree(copied.root / "out")
    assert made(copied) == {"restored": 8}
    assert copied.outputs() == moved.outputs()


def test_an_image_renamed(sandbox: Sandbox) -> None:
    """A renamed image with an explicit seed is restored at its new path. The old output is an orphan."""
    sandbox.edit("specs/icons.toml", 'size = "1:1"', 'size = "1:1"\nseed = 9')
    sandbox.build_here()
    sandbox.edit("specs/icons.toml", "image.moon", "image.night")
    assert sandbox.changed() == {"icons/night": "restore: rendered before"}
    finished = sandbox.build_here()
    assert (finished["restored"], finished["up_to_date"], finished["orphans"]) == (1, 7, 1)
    outputs = sandbox.outputs()
    assert outputs["icons/night.png"] == outputs["icons/moon.png"]
    assert sandbox.here("clean", "--orphans").out == "1 output removed\n"
    assert "icons/moon.png" not in sandbox.outputs()
    assert sandbox.build_here()["orphans"] == 0


def test_equal_requests(sandbox: Sandbox) -> None:
    """Equal requests render once, and every output gets the image, also with `--force`."""
    twins = '[image.{}]\nprompt = "twins"\nseed = 3\n'
    sandbox.write({"specs/twins.toml": "".join(map(twins.format, ("one", "two", "three")))})
    assert sandbox.changed("twins") == {
        "twins/one": "render: never rendered",
        "twins/two": "restore: same request as twins/one",
        "twins/three": "restore: same request as twins/one",
    }
    assert made(sandbox, "twins") == {"rendered": 1, "restored": 2}
    outputs = sandbox.outputs()
    assert outputs["twins/one.png"] == outputs["twins/two.png"] == outputs["twins/three.png"]
    assert made(sandbox, "twins", "--force") == {"rendered": 1, "restored": 2}


def test_force(sandbox: Sandbox) -> None:
    """`--force` renders the selected cells again, even if they are up to date."""
    sandbox.build_here()
    reasons = sandbox.changed("--force", "icons")
    assert reasons == {"icons/sun": "render: forced", "icons/moon": "render: forced"}
    assert made(sandbox, "--force", "icons") == {"rendered": 2}
    assert made(sandbox) == {"up_to_date": 8}


def test_an_edited_output(sandbox: Sandbox) -> None:
    """An output that was edited by hand is kept until `--overwrite`, even if its request changes."""
    sandbox.build_here()
    path = sandbox.root / "out/icons/sun.png"
    path.write_bytes(b"my own sun")
    assert sandbox.changed() == {"icons/sun": "edited: changed by hand since it was written"}
    kept = sandbox.here("build")
    assert kept.code == 0
    assert kept.err.splitlines()[0].split() == ["edited", "icons/sun"]
    assert kept.err.splitlines()[-1] == "edited files were kept; --overwrite replaces them"
    sandbox.edit("specs/icons.toml", "Icon of the sun", "Icon of a star")
    assert made(sandbox) == {"up_to_date": 7, "edited": 1}
    assert path.read_bytes() == b"my own sun"
    assert sandbox.changed("--overwrite") == {"icons/sun": "render: overwrites an edited file"}
    assert made(sandbox, "--overwrite") == {"rendered": 1, "up_to_date": 7}
    path.write_bytes(b"my own sun")
    assert made(sandbox, "--overwrite") == {"restored": 1, "up_to_date": 7}


def test_a_file_that_was_there_before(sandbox: Sandbox) -> None:
    """A file or folder that qwenbuild did not write is kept, and `clean` never removes it."""
    mine = {"out/icons/sun.png": "a file", "out/icons/notes.txt": "a note"}
    sandbox.write(mine)
    (sandbox.root / "out/icons/moon.png").mkdir()
    assert sandbox.changed("icons") == {
        "icons/sun": "edited: a file that qwenbuild did not write is in its place",
        "icons/moon": "edited: a folder is in its place",
    }
    assert made(sandbox) == {"rendered": 6, "edited": 2}
    assert sandbox.here("clean").out == "6 outputs removed\n"
    assert {name: (sandbox.root / name).read_text() for name in mine} == mine
    assert sorted(path.name for path in (sandbox.root / "out").iterdir()) == ["icons"]


def test_clean(sandbox: Sandbox) -> None:
    """`clean` removes the selected outputs, and the next build restores them."""
    sandbox.build_here()
    before = sandbox.outputs()
    dry = sandbox.here("clean", "icons", "--dry-run")
    assert dry.out == "would remove  icons/moon.png\nwould remove  icons/sun.png\n"
    assert sandbox.outputs() == before
    assert sandbox.here("clean", "icons").out == "2 outputs removed\n"
    assert sandbox.here("clean", "icons").out == "nothing to remove\n"
    assert made(sandbox) == {"restored": 2, "up_to_date": 6}
    assert sandbox.here("clean").out == "8 outputs removed\n"
    assert [path.name for path in (sandbox.root / "out").iterdir()] == []
    assert made(sandbox) == {"restored": 8}
    assert sandbox.outputs() == before


def test_selection(sandbox: Sandbox) -> None:
    """Names, output paths and `-w` select cells. A selection that matches nothing is an error with a hint."""
    assert made(sandbox, "garden/poster", "-w", "seed=1") == {"rendered": 2}
    assert made(sandbox, "garden/poster[seed=2,size=1328x1328]", "out/icons/sun.png") == {"rendered": 2}
    assert made(sandbox, "-w", "size=1:1", "-w", "seed=1", "-w", "seed=2") == {"up_to_date": 2}
    assert made(sandbox, "icons/*") == {"rendered": 1, "up_to_date": 1}
    assert made(sandbox) == {"rendered": 3, "up_to_date": 5}
    wrong = sandbox.here("build", "icons/son")
    assert (wrong.code, wrong.err.splitlines()[0], wrong.err.splitlines()[-3]) == (
        2, 'error: nothing is named "icons/son"', '  = hint: did you mean "icons/sun"?'
    )  # fmt: skip
    assert sandbox.here("build", "-w", "seed=3").code == 2
    assert sandbox.here("build", "-w", "sead=1").code == 2
