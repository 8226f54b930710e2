"""After an upgrade that changes the keys, images under the old keys are not paid for again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwenbuild import request
from qwenbuild.digest import canonical_json, sha256
from qwenbuild.emulation import emulated_key
from qwenbuild.emulator.server import Running, running
from qwenbuild.request import Request
from qwenbuild.storage import lock
from tests.support.emulated import QUICK

from .studio import Studio, cards


@pytest.fixture
def emulator() -> Iterator[Running]:
    """An emulator for one test: it keeps the images that it draws, and their colours depend on the key schema."""
    with running(QUICK) as handle:
        yield handle


def first_schema(asked: Request) -> str | None:
    """Return the key of schema 1. For this test, that schema can't express watermarks."""
    return None if asked.watermark else sha256(canonical_json({"schema": 1, **asked.as_dict()}))


def to_next_schema(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(request, "KEY_SCHEMA", request.KEY_SCHEMA + 1)
    patch.setattr(request, "OLDER_KEYS", (first_schema,))


@pytest.mark.parametrize("lost", [(), ("out",), (".qwenbuild",), ("out", ".qwenbuild"), ("out", "lock")])
def test_nothing_is_rendered_again(
    emulator: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: tuple[str, ...]
) -> None:
    """Outputs, state, store and lock of an older schema stay valid, and the lock does not change."""
    studio = Studio.make(tmp_path, emulator, cards(2))
    studio.build_inside()
    before, text = studio.outputs(), (studio.root / lock.NAME).read_bytes()
    old = {action.key for action in studio.actions}
    to_next_schema(monkeypatch)
    assert old.isdisjoint(action.request.key for action in studio.actions)
    for name in lost:
        if name == "lock":
            (studio.root / lock.NAME).unlink()
        else:
            shutil.rmtree(studio.root / name)
    if "lock" not in lost:
        assert studio.here("lock", "--check").code == 0
        assert studio.here("build", "--locked").code == 0
    finished = studio.build_inside().finished
    assert (finished.rendered, finished.exit_code) == (0, 0)
    assert studio.outputs() == before
    assert (studio.root / lock.NAME).read_bytes() == text
    assert studio.here("verify").code == 0
    assert studio.here("gc", "--unreferenced").out.startswith("removed 0 images")
    assert emulator.bill()["count"] == 2


def test_a_pinned_image_is_not_rendered_again(
    emulator: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that a lock of an older schema pins and nobody has are reported missing."""
    studio = Studio.make(tmp_path, emulator, cards(2))
    studio.build_inside()
    for folder in (studio.root / "out", studio.root / ".qwenbuild", studio.store):
        shutil.rmtree(folder)
    to_next_schema(monkeypatch)
    assert studio.build_inside().finished.missing == 2
    assert studio.build_inside(relock=True).finished.rendered == 2
    assert studio.build_inside(locked=True).finished.up_to_date == 2


def test_what_is_in_flight_is_collected(emulator: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that was submitted under an older schema is collected, not submitted again."""
    studio = Studio.make(tmp_path, emulator, cards(2), interface='"async"')
    assert studio.build_inside(detach=True).finished.submitted == 2
    to_next_schema(monkeypatch)
    assert studio.build_inside().finished.reattached == 2
    assert studio.build_inside().finished.up_to_date == 2
    assert emulator.bill()["count"] == 2


def test_new_requests_have_new_keys(emulator: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new request, and one that no older schema could express, gets a key of the present schema."""
    studio = Studio.make(tmp_path, emulator, cards(2))
    studio.build_inside()
    old = lock.read(studio.root / lock.NAME).pins
    to_next_schema(monkeypatch)
    [name] = cards(2)
    (studio.root / f"specs/{name}.toml").write_text("watermark = true\n" + cards(2)[name], "utf-8")
    assert studio.build_inside().finished.rendered == 2
    new = lock.read(studio.root / lock.NAME).pins
    address = emulator.base_url.removesuffix("/api/v1")
    wanted = {emulated_key(action.request.key, address) for action in studio.actions}
    assert {pin.key for pin in new.values()} == wanted
    assert {pin.key for pin in new.values()}.isdisjoint(pin.key for pin in old.values())
