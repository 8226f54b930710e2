"""A sweep over all of PartiPrompts: 1,632 prompts in five sizes with two seeds."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path

from tests.e2e.harness import Sandbox

PROMPTS = Path(__file__).parents[1] / "data/PartiPrompts.tsv"
SPEC = """\
[image.sweep]
prompt = "{{ row.Prompt }}"

[image.sweep.matrix]
row = { file = "data/PartiPrompts.tsv" }
size = ["16:9", "4:3", "1:1", "3:4", "9:16"]
seed = [1, 2]
"""


def test_parti_prompts(sandbox: Sandbox) -> None:
    """With `--max-renders`, all 16,320 requests are planned, and a sample of them is rendered."""
    sandbox.write({"specs/data/PartiPrompts.tsv": PROMPTS.read_text("utf-8"), "specs/parti.toml": SPEC})
    (sandbox.root / "specs/garden.toml").unlink()
    (sandbox.root / "specs/icons.toml").unlink()
    shutil.rmtree(sandbox.root / "templates")
    refused = sandbox.here("plan")
    assert refused.code == 2
    assert refused.err.startswith("error: 16,320 new renders; at most 10,000 are allowed\n")

    planned = sandbox.run("plan", "--json", "--max-renders", "20000")
    assert (planned.code, planned.err) == (0, "")
    steps = [event for event in planned.events if event["event"] == "step"]
    with PROMPTS.open(encoding="utf-8", newline="") as file:
        prompts = [row["Prompt"].strip() for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    assert len(prompts) == 1632
    assert len({step["path"] for step in steps}) == len({step["name"] for step in steps}) == 16_320
    assert len({step["key"] for step in steps}) == len(set(prompts)) * 10
    twins = 10 * (len(prompts) - len(set(prompts)))
    assert Counter(step["verdict"] for step in steps) == Counter(render=16_320 - twins, restore=twins)

    rows = sorted({step["cell"]["row"] for step in steps})[::100]
    sample = [argument for row in rows for argument in ("-w", f"row={row}")]
    finished = sandbox.build("--max-renders", "20000", "-w", "size=1:1", "-w", "seed=2", *sample)
    assert (finished["rendered"], len(sandbox.outputs())) == (17, 17)
