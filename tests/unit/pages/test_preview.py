"""The preview's HTTP, over a real port: who is served, what is served, and what needs the token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from qwenbuild.engine.engine import load
from qwenbuild.local_server.guard import POLICY
from tests.support.watched import Running, previewing
from tests.support.workspace import Workspace

SPEC = """
[image.dog]
prompt = "A dog, {{ mood }} <script>alert(1)</script>"
matrix = { mood = ["calm", "wild"], seed = [1, 2] }
"""


@pytest.fixture
def running(project: Workspace) -> Iterator[Running]:
    project.write({"qwenbuild.toml": 'provider = "null"', "specs/pets.toml": SPEC})
    load(project.root, where=["mood=calm"]).build()
    with previewing(project, price_cny="0.20") as preview:
        yield preview


def test_the_page_and_its_parts_come_with_a_strict_policy(running: Running) -> None:
    """Every file of the page has the Content-Security-Policy, and the policy allows nothing unsafe."""
    for name in ("", "app.js", "style.css", "icon.svg", "data.js"):
        answer = httpx.get(f"{running.origin}/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", ""])
def test_another_host_is_refused(running: Running, host: str) -> None:
    """A request for another host name is refused, so that no foreign name can point here."""
    assert httpx.get(running.origin, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_another_origin_is_refused(running: Running, origin: str) -> None:
    """A request from another site's page is refused."""
    assert httpx.get(f"{running.origin}/model.json", headers={"Origin": origin}).status_code == 403


def test_the_model_has_every_cell(running: Running) -> None:
    """The model lists each cell with its verdict and the kind of its picture."""
    model = httpx.get(f"{running.origin}/model.json").json()
    assert [(cell["name"], cell["verdict"], cell["kind"]) for cell in model["cells"]] == [
        ("pets/dog[mood=calm,seed=1]", "up_to_date", "image"),
        ("pets/dog[mood=calm,seed=2]", "up_to_date", "image"),
        ("pets/dog[mood=wild,seed=1]", "render", "none"),
        ("pets/dog[mood=wild,seed=2]", "render", "none"),
    ]
    assert [axis["name"] for axis in model["axes"]] == ["image", "mood", "seed"]


def test_later_models_hold_only_what_changed(running: Running) -> None:
    """A page that names the model it has gets only the cells that changed since."""
    first = httpx.get(f"{running.origin}/model.json").json()
    load(running.watched.project.root, where=["mood=wild", "seed=1"]).build()
    running.refresh()
    later = httpx.get(f"{running.origin}/model.json?since={first['number']}").json()
    assert [(at, cell["verdict"]) for at, cell in later["changed"]] == [(2, "up_to_date")]
    assert "cells" not in later


@pytest.mark.parametrize("since", ["9" * 5000, "٣" * 10, "²", "-1", "1e9", "", "\x00", "99999999999999999999999"])
def test_a_number_that_no_gallery_has_gets_all_cells(running: Running, since: str) -> None:
    """Python can't read a number of 5,000 digits; the page gets the whole gallery."""
    answer = httpx.get(f"{running.origin}/model.json", params={"since": since})
    assert (answer.status_code, len(answer.json()["cells"])) == (200, 4)


def test_a_page_of_a_project_with_a_mistake(tmp_path: Path) -> None:
    """As long as there is no plan, the page gets the problems, also if it names the gallery that it has."""
    workspace = Workspace(tmp_path / "project")
    workspace.write({"qwenbuild.toml": 'provider = "null"\n', "specs/a.toml": "[image.a]\n"})
    with previewing(workspace) as preview:
        first = httpx.get(f"{preview.origin}/model.json").json()
        later = httpx.get(f"{preview.origin}/model.json?since={first['number']}")
        assert (later.status_code, later.json()["problems"]) == (200, first["problems"])


def test_a_page_that_outlives_its_preview_gets_all_cells(running: Running) -> None:
    """A page that was opened before a restart gets all cells, because the numbers of two previews differ."""
    first = httpx.get(f"{running.origin}/model.json").json()
    with previewing(Workspace(running.watched.project.root)) as later:
        assert len(httpx.get(f"{later.origin}/model.json?since={first['number']}").json()["cells"]) == 4


def test_images_are_served_by_digest_and_only_the_projects_own(running: Running) -> None:
    """A digest gives the image and its thumbnail; nothing else below the project can be fetched."""
    cell = httpx.get(f"{running.origin}/model.json").json()["cells"][0]
    image = httpx.get(f"{running.origin}/images/{cell['image']}.png")
    assert image.content == (running.watched.project.out / cell["path"]).read_bytes()
    small = httpx.get(f"{running.origin}/thumbnails/{cell['image']}.webp")
    assert small.content[8:12] == b"WEBP"
    for path in ("images/" + "0" * 64 + ".png", "images/..%2f..%2fqwenbuild.toml", "../qwenbuild.toml", "preview.py",
                 "thumbnails/x.webp"):  # fmt: skip
        assert httpx.get(f"{running.origin}/{path}").status_code == 404


def test_details_say_where_each_part_of_a_prompt_comes_from(running: Running) -> None:
    """The details name the axis of each part of the prompt, and the price."""
    model = httpx.get(f"{running.origin}/model.json").json()
    detail = httpx.get(f"{running.origin}/details.json", params={"path": model["cells"][2]["path"]}).json()
    assert detail["segments"] == [["A dog, ", []], ["wild", ["mood"]], [" <script>alert(1)</script>", []]]
    assert detail["price"] == {"CNY": "0.20"}
    assert httpx.get(f"{running.origin}/details.json?path=../x").status_code == 404


def test_the_event_stream_has_each_revision(running: Running) -> None:
    """The event stream gives the revision now, and then each later one."""
    with httpx.stream("GET", f"{running.origin}/events") as stream:
        lines = (line for line in stream.iter_lines() if line.startswith("data:"))
        first = int(next(lines)[5:])
        running.refresh()
        assert int(next(lines)[5:]) == first + 1


def test_an_error_keeps_the_last_good_cells(running: Running) -> None:
    """While a spec has an error, the model has the cells of the last good plan and the error."""
    path = running.watched.project.root / "specs/pets.toml"
    path.write_text(SPEC.replace("mood }}", "moood }}"), "utf-8")
    running.refresh()
    model = httpx.get(f"{running.origin}/model.json").json()
    assert len(model["cells"]) == 4
    assert model["problems"][0][0] == ["error", 'error: undefined variable "moood"']
    assert json.dumps(model["problems"]).count("did you mean") == 1
