"""What a page may do: each act needs a proof, and names cells that exist."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from qwenbuild.engine.engine import load
from tests.support.watched import Running, previewing
from tests.support.workspace import Workspace

SPEC = """
[image.dog]
template = "dog.j2"
matrix = { mood = ["calm", "wild"], seed = [1, 2] }

[image.cat]
prompt = "A cat"
"""
WILD = "pets/dog[mood=wild,seed=1]"


@pytest.fixture
def running(project: Workspace) -> Iterator[Running]:
    files = {"qwenbuild.toml": 'provider = "null"', "specs/pets.toml": SPEC, "templates/dog.j2": "A {{ mood }} dog"}
    project.write(files)
    load(project.root, where=["mood=calm"]).build()
    with previewing(project, price_cny="0.20") as preview:
        yield preview


def root(running: Running) -> Path:
    return running.watched.project.root


ACTS = ("render", "pick", "keep", "edit")


def test_an_act_needs_the_key(running: Running) -> None:
    """Without the key of the address nothing is rendered, starred, written or opened."""
    refused = (403, "this page may only look; to act, open the address that the terminal shows\n")
    for act, key in itertools.product(ACTS, ("", "wrong", "é")):
        answer = running.act(act, {"names": [WILD], "what": "spec"}, key)
        assert (act, key, answer.status_code, answer.text) == (act, key, *refused)
    assert [httpx.post(f"{running.origin}/{act}", json={"names": [WILD]}).status_code for act in ACTS] == [403] * 4
    assert running.watched.rendered == []
    assert not (root(running) / "picks.toml").exists()


def test_a_proof_is_for_one_act(running: Running) -> None:
    """The proof of one call is refused for another act, for another body, and by the next server."""
    call = running.act("session", {"names": [WILD]}).request
    proof = {"X-Qwenbuild-Proof": call.headers["x-qwenbuild-proof"]}
    assert httpx.post(f"{running.origin}/session", content=call.content, headers=proof).json() == {"may": True}
    assert httpx.post(f"{running.origin}/session", content=b"{}", headers=proof).json() == {"may": False}
    assert httpx.post(f"{running.origin}/render", content=call.content, headers=proof).status_code == 403
    with previewing(Workspace(root(running))) as later:
        assert httpx.post(f"{later.origin}/session", content=call.content, headers=proof).json() == {"may": False}


def test_a_page_of_an_earlier_server_may_act(project: Workspace, running: Running) -> None:
    """The key of the address is good for the project's next server on the same port, and for no other port."""
    port, key = int(running.origin.rpartition(":")[2]), running.address.partition("token=")[2]
    with previewing(project) as other:
        assert other.act("session", {}, key).json() == {"may": False}
    running.stop()
    with previewing(project, port=port) as later:
        assert later.act("session", {}, key).json() == {"may": True}


def test_rendering_asks_the_watch_for_these_cells(running: Running) -> None:
    """With the key, the watch is asked to render exactly these cells."""
    answer = running.act("render", {"names": [WILD]})
    assert (answer.status_code, answer.json()) == (202, {"queued": 1})
    assert running.watched.rendered == [([WILD], False)]


NONSENSE = ("", "[]", "{}", '{"names": 1}', '{"names": []}', '{"names": ["nobody"]}', '{"names": [["x"]]}', "[" * 9999,
            "\ud7ff", "x" * 4_000_001)  # fmt: skip


def test_a_request_that_makes_no_sense_does_nothing(running: Running) -> None:
    """A body that names no known cell is refused; one that is too long does not even have its proof read."""
    for act, body in itertools.product(ACTS, NONSENSE):
        status = running.act(act, body).status_code
        assert (act, body[:30], status) == (act, body[:30], 403 if len(body) > 4_000_000 else 409)
    assert running.watched.rendered == []
    assert not (root(running) / "picks.toml").exists()


def test_prices_need_no_key(running: Running) -> None:
    """A page that only looks sees prices, too."""
    assert httpx.post(f"{running.origin}/price", json={"names": [WILD]}).json() == {"price": {"CNY": "0.20"}}
    assert httpx.post(f"{running.origin}/price", content=b"[").json() == {"price": {"CNY": "0.00"}}


def test_stars_are_written_into_the_project(running: Running) -> None:
    """A star has the digest that the page shows; a note stays with it; a star that is taken away is gone."""
    calm = "pets/dog[mood=calm,seed=1]"
    assert running.act("pick", {"names": [calm, WILD]}).status_code == 200
    assert running.act("pick", {"names": [calm], "note": "the best light"}).status_code == 200
    picks = load(root(running)).picks()
    image = next(cell["image"] for cell in model(running)["cells"] if cell["name"] == calm)
    assert [(pick.cell, pick.image, pick.note) for pick in picks] == [(calm, image, "the best light"), (WILD, "", "")]
    assert [cell.get("star") for cell in model(running)["cells"] if "dog" in cell["name"]] == [
        {"note": "the best light", "rank": None, "changed": False}, None,
        {"note": "", "rank": None, "changed": False}, None,
    ]  # fmt: skip
    running.act("pick", {"names": [calm], "drop": True})
    refused = running.act("pick", {"names": [calm], "note": "late"})
    assert (refused.status_code, refused.text) == (409, "this cell is not starred any more\n")
    assert [pick.cell for pick in load(root(running)).picks()] == [WILD]


def test_a_faulty_file_of_stars_is_not_written(running: Running) -> None:
    """The answer has the mistake with its place, and the file stays as it is."""
    text = 'version = 1\n[[pick]]\ncel = "x"\n'
    (root(running) / "picks.toml").write_text(text)
    answer = running.act("pick", {"names": [WILD]})
    assert answer.status_code == 409
    assert 'unknown key "cel"' in answer.text
    assert "picks.toml:3:1" in answer.text
    assert (root(running) / "picks.toml").read_text() == text


def test_keeping_writes_what_was_shown(running: Running) -> None:
    """The first call changes nothing; the second one writes the diff of the first, and `only` keeps these cells."""
    spec = root(running) / "specs/pets.toml"
    before = spec.read_text()
    found = running.act("keep", {"names": [WILD]}).json()
    assert "+[[image.dog.only]]" in found["diff"]
    assert found["said"] == [
        "3 cells are left out. Images of 2 stay in out/ and in the store. Without the `only` tables they are back, "
        "and nothing is rendered again.",
        "Unchanged, because no cell of theirs is chosen: pets/cat",
    ]
    assert spec.read_text() == before
    assert running.act("keep", {"names": [WILD], "shown": found["shown"]}).status_code == 200
    assert [step.action.name for step in load(root(running)).plan().steps] == [WILD, "pets/cat"]


def test_keeping_writes_nothing_else_than_what_was_shown(running: Running) -> None:
    """If the spec was edited after the page showed the diff, nothing is written."""
    spec = root(running) / "specs/pets.toml"
    found = running.act("keep", {"names": [WILD]}).json()
    spec.write_text(SPEC.replace("[image.dog]", "# a comment\n[image.dog]"))
    answer = running.act("keep", {"names": [WILD], "shown": found["shown"]})
    assert (answer.status_code, answer.text) == (
        409, "a spec has changed meanwhile; nothing was written\n  = hint: look at the new changes first\n",
    )  # fmt: skip
    assert "only" not in spec.read_text()


def test_the_editor_opens_files_of_the_project_at_their_line(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page names a cell and which of its files; the server knows path and line."""
    script = tmp_path / "code"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/new && mv {tmp_path}/new {tmp_path}/seen-"$$"\n')
    script.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(script))
    for what, place in (("template", "templates/dog.j2:1"), ("spec", "specs/pets.toml:3")):
        answer = running.act("edit", {"names": [WILD], "what": what})
        assert answer.json() == {"started": True, "place": place}
        while not (seen := [*tmp_path.glob("seen-*")]):
            time.sleep(0.01)
        assert seen[0].read_text().splitlines() == ["-g", f"{root(running)}/{place}"]
        seen[0].unlink()
    assert running.act("edit", {"names": ["pets/cat"], "what": "template"}).status_code == 409
    assert running.act("edit", {"names": [WILD], "what": "../../etc/passwd"}).status_code == 409


def test_an_editor_of_the_terminal_is_not_started(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page gets the place, which it copies."""
    monkeypatch.setenv("EDITOR", "vim")
    answer = running.act("edit", {"names": ["pets/cat"], "what": "spec"})
    assert answer.json() == {"started": False, "place": "specs/pets.toml:7"}


def model(running: Running) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = httpx.get(f"{running.origin}/model.json").json()
    return found
