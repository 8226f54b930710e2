"""Pins win over other images of the same request: renders, stored images, images in flight."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from qwenbuild.emulator.server import Running
from qwenbuild.storage import lock, lock_format
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.store import Store
from tests.e2e.studio import Studio

pytest_plugins = ("tests.support.emulated",)

TWINS = '[image.x]\nprompt = "same"\nseed = 1\n[image.y]\nprompt = "same"\nseed = 1\n'
X, Y = "twins/x.png", "twins/y.png"


@pytest.fixture
def studio(tmp_path: Path, emulator: Running) -> Studio:
    """A project of two outputs with one request, built and locked."""
    made = Studio.make(tmp_path, emulator, {"twins": TWINS})
    assert made.here("build").code == 0
    return made


def pins(studio: Studio) -> dict[str, Pin]:
    """Return what the lock pins, by path."""
    return dict(lock.read(studio.root / lock.NAME).pins)


def lose(studio: Studio, **images: str) -> None:
    """Delete store, state and outputs; pin each named cell to other bytes, or to none if they are empty."""
    for folder in (studio.store, studio.root / "out", studio.root / ".qwenbuild"):
        shutil.rmtree(folder)
    kept = [pin._replace(image=images[pin.name[-1]]) for pin in pins(studio).values() if images[pin.name[-1]]]
    (studio.root / lock.NAME).write_text(lock_format.render(kept), "utf-8")


@pytest.mark.parametrize(("free", "held"), [("x", "y"), ("y", "x")])
def test_a_render_for_another_output(studio: Studio, free: str, held: str) -> None:
    """An image that was paid for an unpinned output does not replace the pinned bytes of another."""
    lose(studio, **{free: "", held: "b" * 64})
    ran = studio.here("build", "--json")
    assert (ran.code, ran.finished["rendered"], ran.finished["missing"]) == (3, 1, 1)
    assert list(studio.outputs()) == [f"twins/{free}.png"]
    assert pins(studio)[f"twins/{held}.png"].image == "b" * 64
    relocked = studio.here("build", "--json", "--relock")
    assert (relocked.code, relocked.finished["restored"]) == (0, 1)
    assert {pin.image for pin in pins(studio).values()} == {pins(studio)[f"twins/{free}.png"].image}
    assert studio.here("build", "--locked").code == 0


def test_equal_requests_with_pins_of_their_own(studio: Studio) -> None:
    """With `--locked`, a free render fills only the output whose pin has its bytes."""
    studio.write({"qwenbuild.toml": 'provider = "null"\n'})
    assert studio.here("build", "--overwrite", "--force").code == 0
    right = pins(studio)[X].image
    lose(studio, x=right, y="b" * 64)
    ran = studio.here("build", "--locked", "--json")
    assert (ran.code, ran.finished["rendered"], ran.finished["missing"]) == (3, 1, 1)
    assert list(studio.outputs()) == [X]
    assert pins(studio)[Y].image == "b" * 64


def test_stored_bytes_that_are_damaged(studio: Studio) -> None:
    """Only `--relock` pays for a pinned image whose stored bytes are damaged."""
    before = pins(studio)
    blob = studio.store / "cas" / before[X].image[:2] / before[X].image
    blob.chmod(0o644)
    blob.write_bytes(b"\0" * blob.stat().st_size)
    shutil.rmtree(studio.root / "out")
    ran = studio.here("build", "--json")
    assert (ran.code, ran.finished["missing"], len(studio.service.bill()["records"])) == (3, 2, 1)
    assert pins(studio) == before
    assert studio.here("build", "--relock").code == 0
    assert len(studio.service.bill()["records"]) == 2


def test_a_store_that_has_other_bytes(studio: Studio) -> None:
    """A free render with the pinned bytes wins over another stored image of the request."""
    studio.write({"qwenbuild.toml": 'provider = "null"\n'})
    assert studio.here("build", "--overwrite", "--force").code == 0
    before, image = studio.outputs(), pins(studio)[X]
    lose(studio, x=image.image, y=image.image)
    Store(studio.store).put(image.key, b"what another version drew", b"{}")
    assert studio.here("build", "--locked").code == 0
    assert studio.outputs() == before


def test_the_lock_of_a_folder_without_records(studio: Studio) -> None:
    """`lock` pins correct outputs even in a checkout without state and lock."""
    before = pins(studio)
    shutil.rmtree(studio.root / ".qwenbuild")
    (studio.root / lock.NAME).unlink()
    assert studio.here("lock").out.strip() == "wrote  qwenbuild.lock"
    assert pins(studio) == before
    assert studio.here("lock", "--check").code == 0


def test_an_image_in_flight(tmp_path: Path, emulator: Running) -> None:
    """With `--locked`, an image in flight is collected but refused if its bytes are not the pinned ones."""
    studio = Studio.make(tmp_path, emulator, {"twins": TWINS}, interface='"async"')
    assert studio.here("build", "--detach").code == 0
    made = studio.actions
    wrong = [Pin(it.output, it.name, it.key, "b" * 64, it.request.model, it.request.seed) for it in made]
    (studio.root / lock.NAME).write_text(lock_format.render(wrong), "utf-8")
    ran = studio.here("build", "--locked", "--json")
    assert (ran.code, ran.finished["missing"]) == (3, 2)
    assert studio.outputs() == {}
    assert len(emulator.bill()["records"]) == 1
