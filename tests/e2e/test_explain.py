"""`explain`: what changed, where each value comes from, and which command brings the output up to date."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

from tests.e2e.harness import Sandbox
from tests.e2e.test_views import on_terminal

ROSE = "garden/flower[flower=rose]"


def explained(sandbox: Sandbox, *arguments: str) -> dict[str, Any]:
    """Return the one explanation that `explain --json` prints."""
    ran = sandbox.here("explain", "--json", *arguments)
    assert (ran.code, ran.err) == (0, "")
    (table,) = ran.events
    return table


def test_in_a_pipe(sandbox: Sandbox) -> None:
    """It shows each field with its source, changes word by word, the prompt's variables, and earlier images."""
    sandbox.build_here("garden/flower")
    sandbox.edit("specs/garden.toml", "blurry", "blurry text")
    sandbox.edit("specs/data/flowers.csv", "red rose", "dark red rose")
    ran = sandbox.here("explain", "out/garden/flower-rose.png")
    assert ran.code == 0
    assert (
        re.sub(r"\d{4}-.*?[+-]\d\d:\d\d  [0-9a-f]{12}", "WHEN", ran.out)
        == """\
garden/flower[flower=rose]
    render  prompt changed: +dark; negative prompt changed: +text
    output  garden/flower-rose.png  default pattern
    remedy  render it
            qwenbuild build 'garden/flower[flower=rose]'

compared with the present image
        provider  null-1           qwenbuild.toml:1
           model  qwen-image-plus  default
*negative prompt  blurry{+ text+}  specs/garden.toml:1
            size  1328*1328        specs/garden.toml:15
            seed  1947674240       derived from the name garden/flower
   prompt extend  false            default
       watermark  false            default

*         prompt  specs/garden.toml:14
  A{+ dark+} red rose in a cheerful garden

          flower  dark red rose  axis flower, specs/data/flowers.csv:2
            mood  cheerful  specs/garden.toml:4

earlier images of this output, newest first
  WHEN  in the store
"""
    )
    difference = explained(sandbox, ROSE)["fields"][2]["difference"]
    assert [part["sign"] + part["text"] for part in difference] == [" A", "+ dark", "  red rose in a cheerful garden"]


def test_on_a_terminal(sandbox: Sandbox) -> None:
    """Removed words are struck through. With NO_COLOR the text is the same as in a pipe."""
    sandbox.build_here("icons")
    sandbox.edit("specs/icons.toml", "the sun", "the star")
    _, written = on_terminal(sandbox, "explain", "icons/sun")
    assert "Icon of the \x1b[31m\x1b[9msun\x1b[0m\x1b[32m\x1b[1mstar\x1b[0m\r\n" in written
    _, plain = on_terminal(sandbox, "explain", "icons/sun", NO_COLOR="1")
    assert plain.replace("\r\n", "\n") == sandbox.here("explain", "icons/sun").out


def test_each_verdict(sandbox: Sandbox) -> None:
    """Each verdict has its remedy, and the suggested command works."""
    assert explained(sandbox, ROSE)["remedy"]["effect"] == "render it"
    sandbox.build_here()
    assert explained(sandbox, ROSE)["remedy"] == {
        "command": None, "effect": "nothing: it is up to date", "price": None
    }  # fmt: skip
    path = sandbox.root / "out/garden/flower-rose.png"
    path.unlink()
    assert explained(sandbox, ROSE)["remedy"]["effect"] == "restore its image from the store"
    path.write_bytes(b"mine")
    table = explained(sandbox, ROSE)
    assert (table["verdict"], table["remedy"]["command"]) == ("edited", f"qwenbuild build --overwrite '{ROSE}'")
    assert sandbox.here("build", "--overwrite", ROSE).code == 0
    assert explained(sandbox, ROSE)["verdict"] == "up_to_date"
    path.unlink()
    path.mkdir()
    assert explained(sandbox, ROSE)["remedy"]["effect"] == "move the file or folder in its place away, then build"


def test_what_it_costs(sandbox: Sandbox) -> None:
    """The price is that of this output alone, and the command repeats the given options."""
    table = explained(sandbox, ROSE, "--provider", "dashscope", "--region", "beijing")
    assert table["remedy"] == {
        "command": f"qwenbuild build --provider dashscope --region beijing '{ROSE}'", "effect": "render it",
        "price": {"amount": "0.20", "currency": "CNY"},
    }  # fmt: skip
    assert table["fields"][0] == {
        "name": "family", "value": "dashscope",
        "source": {"kind": "option", "words": "--provider", "file": None, "line": None},
    }  # fmt: skip


def test_equal_requests(sandbox: Sandbox) -> None:
    """Two outputs of one request each show the price of building that output alone."""
    image = 'prompt = "x"\nseed = 1\n'
    sandbox.write({"specs/two.toml": f"[image.a]\n{image}[image.b]\n{image}"})
    tables = sandbox.here("explain", "--json", "two", "--provider", "dashscope", "--region", "beijing").events
    assert [(table["verdict"], table["remedy"]["price"]["amount"]) for table in tables] == [
        ("render", "0.20"),
        ("restore", "0.20"),
    ]


def test_without_a_state(sandbox: Sandbox) -> None:
    """Without the state, the provenance in the image is compared. Without that, nothing is compared."""
    sandbox.build_here("icons")
    sandbox.edit("specs/icons.toml", "the sun", "the star")
    shutil.rmtree(sandbox.root / ".qwenbuild")
    table = explained(sandbox, "icons/sun")
    assert table["compared_with"] == "the present image, by its own provenance"
    assert table["fields"][2]["before"] == "Icon of the sun"
    assert table["history"] == []
    (sandbox.root / "out/icons/sun.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert explained(sandbox, "icons/sun")["compared_with"] is None


def test_the_history(sandbox: Sandbox) -> None:
    """The history lists every image of the output. An up-to-date output is compared with the previous image."""
    sandbox.build_here("icons")
    sandbox.edit("specs/icons.toml", "the sun", "the star")
    sandbox.build_here("icons/sun")
    table = explained(sandbox, "icons/sun")
    assert table["compared_with"] == "the previous image"
    assert [past["request"]["prompt"] for past in table["history"]] == ["Icon of the star", "Icon of the sun"]
    assert [past["in_store"] for past in table["history"]] == [True, True]
    assert sandbox.here("explain", "icons/sun").out.splitlines()[-2].endswith("  prompt changed: -sun +star")
    shutil.rmtree(sandbox.store / "cas")
    assert [past["in_store"] for past in explained(sandbox, "icons/sun")["history"]] == [False, False]


def test_too_many(sandbox: Sandbox) -> None:
    """More than 20 cells are refused, and so is an unknown name."""
    sandbox.write({"specs/many.toml": '[image.x]\nprompt = "{{ n }}"\nmatrix = { n = { start = 1, count = 30 } }\n'})
    ran = sandbox.here("explain", "many")
    assert (ran.code, ran.out) == (2, "")
    assert "30 cells are selected; at most 20 are explained at once" in ran.err
    assert sandbox.here("explain", "many", "-w", "n=1?").out.count("remedy") == 10
    assert sandbox.here("explain", "nosuch").code == 2


SWEEP = """\
[image.poster]
prompt = "{{ mood }}"
matrix = { mood = ["C", "C++", "C#"], seed = { start = 1, count = 100 } }
[[image.poster.exclude]]
seed = 7
"""
ONLY = """\
[[image.poster.only]]
mood = "C++"
seed = 3
[[image.poster.only]]
mood = "C"
seed = 4
"""


def test_what_is_left_out(sandbox: Sandbox) -> None:
    """The reason of a cell's absence is the answer, by its name and by its path, for `build`, too."""
    sandbox.write({"specs/sweep.toml": SWEEP + ONLY})
    ran = sandbox.here("explain", "sweep/poster[mood=C,seed=7]")
    assert (ran.code, ran.out) == (2, "")
    assert (
        ran.err
        == """\
error: sweep/poster[mood=C,seed=7] is left out: this `exclude` entry matches it
 --> specs/sweep.toml:4:3
  |
4 | [[image.poster.exclude]]
  |   ^^^^^^^^^^^^^^^^^^^^

`qwenbuild explain-error left-out` says more about it
"""
    )
    reason = "is left out: none of the 2 `only` entries matches it\n --> specs/sweep.toml:6:3\n"
    for command in (["explain"], ["explain", "--json"], ["build"], ["plan"]):
        ran = sandbox.here(*command, "sweep/poster[mood=C,seed=5]")
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(f"error: sweep/poster[mood=C,seed=5] {reason}")
    told = sandbox.here("explain", "out/sweep/poster-c-5.png").err
    assert told.startswith(f"error: out/sweep/poster-c-5.png (sweep/poster[mood=C,seed=5]) {reason}")
    assert (
        'nothing is named "sweep/poster[mood=C,seed=500]"'
        in sandbox.here("explain", "sweep/poster[mood=C,seed=500]").err
    )


def test_what_only_keeps_stays_up_to_date(sandbox: Sandbox) -> None:
    """Also a cell whose path has a digest. Its images are not rendered again, and the others come back for free."""
    sandbox.write({"specs/sweep.toml": SWEEP})
    sandbox.build_here("sweep")
    before = {path.name for path in (sandbox.root / "out/sweep").iterdir()}
    sandbox.write({"specs/sweep.toml": SWEEP + ONLY})
    ran = sandbox.here("plan", "--json", "sweep")
    assert [step["verdict"] for step in ran.events[:-1]] == ["up_to_date"] * 2
    shutil.rmtree(sandbox.root / ".qwenbuild")
    (sandbox.root / "qwenbuild.lock").unlink()
    sandbox.build_here("sweep")
    assert {path.name for path in (sandbox.root / "out/sweep").iterdir()} == before
    assert [step["verdict"] for step in sandbox.here("plan", "--json", "sweep").events[:-1]] == ["up_to_date"] * 2
    sandbox.write({"specs/sweep.toml": SWEEP})
    assert {step["verdict"] for step in sandbox.here("plan", "--json", "sweep").events[:-1]} <= {
        "up_to_date",
        "restore",
    }


def test_hostile_text(sandbox: Sandbox) -> None:
    """Control characters of prompts, names and provenance never reach the terminal."""
    text = json.dumps("owned \u202eeert \u2066")
    sandbox.write({"specs/bad.toml": f"[image.x]\nprompt = '{{{{ word }}}}'\nmatrix = {{ word = [{text}] }}\n"})
    sandbox.build_here("bad")
    shutil.rmtree(sandbox.root / ".qwenbuild")
    sandbox.edit("specs/bad.toml", "owned", "taken")
    path = next((sandbox.root / "out/bad").iterdir())
    sandbox.edit("specs/bad.toml", "[image.x]", f'[image.x]\noutput = "bad/{path.name}"')
    out = sandbox.here("explain", "bad").out
    assert "by its own provenance" in out
    assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2066]", out) == []
