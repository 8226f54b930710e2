"""The explanation: remedies, earlier requests and history of an output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qwenbuild import load
from qwenbuild.errors import UsageError
from qwenbuild.plan.explain import Explanation, Remedy, as_dict, history_changes
from tests.support.workspace import Workspace


@pytest.fixture
def place(project: Workspace) -> Workspace:
    """A project of one image, which was built."""
    declare(project, "a red ball")
    load(project.root).build()
    return project


def declare(place: Workspace, prompt: str) -> None:
    config = 'provider = "null"\n'
    place.write({"qwenbuild.toml": config, "specs/s.toml": f'[image.a]\nprompt = "{prompt}"\nseed = 1\n'})


def explained(place: Workspace, **choices: Any) -> Explanation:
    """Return the explanation of the one output."""
    (explanation,) = load(place.root, **choices).explain()
    return explanation


def test_an_output_that_is_up_to_date(place: Workspace) -> None:
    """Nothing is to be done, and nothing changed."""
    it = explained(place)
    assert (it.remedy, it.compared, it.before) == (Remedy("", "nothing: it is up to date"), "", None)
    assert [field.name for field in it.fields if field.before is not None] == []
    assert it.kept == {it.history[0].image}


def test_what_changed(place: Workspace) -> None:
    """An edited prompt is compared with the present image's, word by word."""
    declare(place, "a blue ball")
    it = explained(place)
    assert it.compared == "the present image"
    (field,) = [field for field in it.fields if field.before is not None]
    assert (field.name, field.before) == ("prompt", "a red ball")
    assert field.difference == [(" ", "a "), ("-", "red"), ("+", "blue"), (" ", " ball")]
    assert it.remedy == Remedy("qwenbuild build s/a", "render it")


def test_parameters_are_told_one_by_one(place: Workspace) -> None:
    """Each has its place; one that is gone has no value."""
    spec = '[image.a]\nprompt = "a red ball"\nseed = 1\n'
    place.write({"specs/s.toml": spec + 'parameters = { old = [1], kept = "x" }\n'})
    load(place.root).build()
    place.write({"specs/s.toml": spec + 'parameters = { new = true, kept = "x" }\n'})
    found = {it.name: (it.value, it.before, str(it.source)) for it in explained(place).fields if "par" in it.name}
    assert found == {
        "parameter new": (True, "", "specs/s.toml:4"),
        "parameter kept": ("x", None, "specs/s.toml:4"),
        "parameter old": (None, [1], "not set"),
    }


def test_region_and_interface(tmp_path: Path) -> None:
    """They are no part of a request, but where they come from is told: the image, the config, or the command line."""
    place = Workspace(tmp_path).write({
        "qwenbuild.toml": '[providers.dashscope]\nregion = "beijing"\n[profiles.far]\nregion = "singapore"\n',
        "specs/s.toml": '[image.a]\nprompt = "a"\ninterface = "async"\n',
    })  # fmt: skip

    def served(**choices: Any) -> list[tuple[str, str, str]]:
        fields = explained(place, **choices).fields
        return [(it.name, it.value, str(it.source)) for it in fields if it.name in ("region", "interface")]

    assert served() == [("region", "beijing", "qwenbuild.toml:2"), ("interface", "async", "specs/s.toml:3")]
    assert served(region="singapore")[0] == ("region", "singapore", "--region")
    assert served(profile="far")[0] == ("region", "singapore", "profile far, qwenbuild.toml:4")
    place.write({"qwenbuild.toml": "", "specs/s.toml": '[image.a]\nprompt = "a"\n'})
    assert served() == [("region", "singapore", "default"), ("interface", "sync", "default")]
    assert served(provider="draft") == []


def test_remedies(place: Workspace) -> None:
    """A remedy is a command that builds the output, with the option that it needs."""
    output = place.root / "out/s/a.png"
    output.unlink()
    assert explained(place).remedy == Remedy("qwenbuild build s/a", "restore its image from the store")
    output.write_bytes(b"mine")
    assert explained(place).remedy == Remedy(
        "qwenbuild build --overwrite s/a", "replace the file in its place, and restore its image from the store"
    )
    output.unlink()
    output.mkdir()
    assert explained(place).remedy == Remedy("", "move the file or folder in its place away, then build")


def test_a_remedy_repeats_the_users_options(place: Workspace) -> None:
    """A suggested command names the provider and the region that the user chose, and its price."""
    remedy = explained(place, provider="dashscope", region="beijing").remedy
    assert remedy.command == "qwenbuild build --provider dashscope --region beijing s/a"
    assert remedy.price is not None


def test_history(place: Workspace) -> None:
    """Each earlier image of an output says how its request differed from the one before."""
    declare(place, "a blue ball")
    load(place.root).build()
    history = explained(place).history
    assert history_changes(history) == ["prompt changed: -red +blue", ""]


def test_too_many(place: Workspace) -> None:
    """At most twenty cells are explained at once."""
    place.write({"specs/s.toml": '[image.a]\nprompt = "a"\nmatrix.seed = { start = 1, count = 21 }\n'})
    with pytest.raises(UsageError) as caught:
        load(place.root).explain()
    assert caught.value.claim == "21 cells are selected; at most 20 are explained at once"


def test_json(place: Workspace) -> None:
    """`explain --json` prints one table for each output."""
    table = as_dict(explained(place))
    assert (table["event"], table["name"], table["path"], table["verdict"]) == (
        "explanation", "s/a", "s/a.png", "up_to_date",
    )  # fmt: skip
    assert table["remedy"] == {"command": None, "effect": "nothing: it is up to date", "price": None}
    assert [past["in_store"] for past in table["history"]] == [True]
