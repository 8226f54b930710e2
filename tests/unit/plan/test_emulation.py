"""Which actions have an emulator's image, and which files show one without saying so."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.emulation import FACT, emulated_key
from qwenbuild.files.provenance import with_provenance
from qwenbuild.plan.emulation import AddressOf, as_recorded, keys_of, shows_unmarked, with_emulated_keys
from qwenbuild.providers.null import plain
from qwenbuild.request import Request, Size
from qwenbuild.specs.action import Action
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.records import Output
from qwenbuild.storage.store import Store

ADDRESS = "http://127.0.0.1:8123"
REQUEST = Request("dashscope", "qwen-image-plus", "a fair", "", Size(1328, 1328), 1, False, False)
ACTION = Action(
    "a.png", REQUEST.key, None, (), builtin().model("qwen-image-plus"), REQUEST.size, 1, REQUEST  # type: ignore[arg-type] # no cell is named
)  # fmt: skip
EMULATED = ACTION.made_by(ADDRESS)


def pins(action: Action) -> Lock:
    return Lock({action.output: Pin(action.output, "s/a", action.key, "0" * 64, "qwen-image-plus", 1)})


def records(action: Action) -> dict[str, Output]:
    return {action.output: Output(action.output, action.key, "0" * 64, 1, 1, 1, "s/a")}


def test_an_action_for_an_emulators_image() -> None:
    """It has a key of its own and the same request; the way back leads to the first action."""
    assert EMULATED.key == emulated_key(REQUEST.key, ADDRESS)
    assert (EMULATED.request_key, EMULATED.request, EMULATED.emulated_by) == (REQUEST.key, REQUEST, ADDRESS)
    assert (EMULATED.made_by(""), ACTION.made_by("")) == (ACTION, ACTION)
    assert EMULATED.made_by("https://gateway.example").request_key == REQUEST.key


def at(address: str) -> AddressOf:
    return lambda action: address


@pytest.mark.parametrize("pinned", [ACTION, EMULATED])
@pytest.mark.parametrize("recorded", [ACTION, EMULATED])
def test_the_lock_decides_then_the_state(tmp_path: Path, pinned: Action, recorded: Action) -> None:
    """What the lock pins is wanted. Without a pin, what the state has recorded."""
    store = Store(tmp_path)
    assert with_emulated_keys([ACTION], at(ADDRESS), pins(pinned), records(recorded), store) == [pinned]
    assert with_emulated_keys([ACTION], at(ADDRESS), Lock(), records(recorded), store) == [recorded]
    assert as_recorded([pinned], records(recorded), at(ADDRESS)) == [recorded]


def test_the_store_prefers_the_services_image(tmp_path: Path) -> None:
    """An emulated image is taken only if there is no other one, and only at the address where it was made."""
    store = Store(tmp_path)
    assert with_emulated_keys([ACTION], at(ADDRESS), Lock(), {}, store) == [ACTION]
    store.put(EMULATED.key, b"emulated", b"{}")
    assert with_emulated_keys([ACTION], at(ADDRESS), Lock(), {}, store) == [EMULATED]
    assert with_emulated_keys([ACTION], at("http://127.0.0.1:8124"), Lock(), {}, store) == [ACTION]
    store.put(ACTION.key, b"real", b"{}")
    assert with_emulated_keys([ACTION], at(ADDRESS), Lock(), {}, store) == [ACTION]


def test_keys_of() -> None:
    """Without an address there is no emulator."""
    assert keys_of(ACTION.key, "") == (ACTION.key,)
    assert keys_of(ACTION.key, ADDRESS) == (ACTION.key, EMULATED.key)


def test_files_that_show_an_unmarked_image(tmp_path: Path) -> None:
    """The provenance in the file decides; a file without one, and a missing file, show none."""
    old = {"downloaded_from": "127.0.0.1", "request_id": "0b7f4a36-2f4e-4c1e-9a44-3f6de3b7a1c2"}
    path, image = tmp_path / "a.png", plain(Size(64, 64), b"\1\2\3")
    assert not shows_unmarked(path)
    for content, expected in (
        (image, False), (with_provenance(image, old), True), (with_provenance(image, {**old, FACT: ADDRESS}), False),
    ):  # fmt: skip
        path.write_bytes(content)
        assert shows_unmarked(path) == expected
