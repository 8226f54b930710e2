"""Files that a stranger made to hang or stop the command: one short message each, with file, line and caret."""

from __future__ import annotations

import re

import pytest

from tests.e2e.harness import Sandbox

IMAGE = '[image.x]\nprompt = "A house {{ m }}"\n[image.x.matrix]\n'
DOTS = ".".join(["a"] * 20_000)
HEX = "0x" + "f" * 4000
RECORD = (
    f'version = 1\n[[output]]\npath = "s/x.png"\nname = "s/x"\nkey = "{"ab" * 32}"\nimage = "{"0" * 64}"\n'
    'model = "qwen-image"\nseed = {}\n'
)


@pytest.mark.parametrize(
    ("files", "claim", "place"),
    [
        ({"specs/s.toml": f"seed = {HEX}\n{IMAGE}m = 1\n"}, "a whole number has more than 64 bits", "specs/s.toml:1:8"),
        ({"specs/s.toml": f"{IMAGE}m = [{HEX}]\n"}, "a whole number has more than 64 bits", "specs/s.toml:4:6"),
        ({"specs/s.toml": f"{DOTS} = 1\n"}, "a key has more than 100 parts", "specs/s.toml:1:1"),
        ({"qwenbuild.toml": f"[{DOTS}]\n"}, "a key has more than 100 parts", "qwenbuild.toml:1:2"),
        ({"specs/s.toml": "x = " + "[" * 20_000}, "are nested more than 100 deep", "specs/s.toml:1:105"),
        ({"specs/s.toml": f"{IMAGE}prompt = ['x']\n"}, 'not an axis name: "prompt"', "specs/s.toml:4:1"),
        ({"qwenbuild.toml": f"max_renders = {10**18}\n"}, f"max_renders is {10**18}", "qwenbuild.toml:1:15"),
        (
            {"specs/s.toml": f'{IMAGE}m = {{ file = "d.jsonl" }}\n', "specs/d.jsonl": f'{{"id": {"9" * 10_000}}}\n'},
            "a number of 10,000 digits; at most 100",
            "specs/d.jsonl:1:1",
        ),
        ({"qwenbuild.lock": RECORD.format("9" * 10_000)}, "number has more than 64 bits", "qwenbuild.lock:8:8"),
        ({"qwenbuild.lock": f"version = 1\n{DOTS} = 1\n"}, "a key has more than 100 parts", "qwenbuild.lock:2:1"),
    ],
    ids=["seed", "axis", "key", "config", "depth", "name", "renders", "digits", "lock", "lock key"],
)  # fmt: skip
def test_a_hostile_file_is_told(sandbox: Sandbox, files: dict[str, str], claim: str, place: str) -> None:
    """The message names the place, and is short whatever the file holds."""
    sandbox.write(files)
    ran = sandbox.here("plan")
    assert (ran.code, "Traceback" in ran.err) == (2, False)
    assert claim in ran.err
    assert f"--> {place}" in ran.err
    assert re.search(r"^ +\| +\^", ran.err, re.MULTILINE)
    assert len(ran.err) < 3000


ENDLESS = "m = { start = 1, count = 1000000000000000000 }\n"


@pytest.mark.parametrize("axes", [ENDLESS, ENDLESS + "".join(ENDLESS.replace("m", f"a{n}") for n in range(1000))])
def test_a_matrix_without_an_end_is_counted_and_refused(sandbox: Sandbox, axes: str) -> None:
    """Nothing is expanded, and a number that Python can't print is not printed."""
    sandbox.write({"specs/s.toml": IMAGE + axes})
    ran = sandbox.here("plan")
    assert (ran.code, "Traceback" in ran.err) == (2, False)
    assert "new renders; at most 10,000 are allowed" in ran.err


def test_folders_whose_links_lead_back_are_told(sandbox: Sandbox) -> None:
    """A glob that follows two such links would look at a billion folders."""
    sandbox.write({"qwenbuild.toml": f'specs = "specs/{"*/" * 40}*.toml"\n'})
    (sandbox.root / "specs/a").symlink_to(".")
    (sandbox.root / "specs/b").symlink_to(".")
    ran = sandbox.here("plan")
    assert (ran.code, "Traceback" in ran.err) == (2, False)
    assert "looks at more than 20,000 files behind links" in ran.err
