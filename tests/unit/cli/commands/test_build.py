"""The commands build and clean; the e2e tests run watch."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from tests.unit.cli.conftest import Command


def test_options_reach_the_engine(command: Command) -> None:
    """Options of the command line have the effect of the API's options."""
    code, out, _ = command("build", "--json", "s/a", "-w", "seed=2", "-j", "1", "--fail-fast", "--max-cost", "0")
    assert (code, json.loads(out.splitlines()[-1])["rendered"]) == (0, 1)
    code, out, _ = command("plan", "--json", "--force", "-w", "seed=2")
    assert [json.loads(line).get("reason") for line in out.splitlines()] == ["forced", None]
    code, _, err = command("plan", "--provider", "draft", "--max-renders", "0")
    assert (code, err.startswith("error: 2 new renders; at most 0 are allowed")) == (2, True)


def test_clean(command: Command) -> None:
    """`clean` counts what it removes; `-n` lists it and removes nothing."""
    command("build")
    assert command("clean", "-n")[1] == "would remove  s/a-1.png\nwould remove  s/a-2.png\n"
    assert command("clean", "-w", "seed=1")[1] == "1 output removed\n"
    assert command("clean")[1] == "1 output removed\n"
    assert command("clean")[1] == "nothing to remove\n"


def test_clean_keeps_files_edited_by_hand(command: Command) -> None:
    """`clean` names each file that it keeps."""
    command("build")
    Path("out/s/a-1.png").write_bytes(b"edited")
    assert command("clean")[1] == "    edited  s/a-1.png  kept\n1 output removed\n"


def test_a_failed_build_writes_its_report(command: Command) -> None:
    """`--junit` writes the report also if the project is wrong."""
    Path("specs/s.toml").write_text("[image", "utf-8")
    assert command("build", "--junit", "report.xml")[0] == 2
    report = ElementTree.parse("report.xml").getroot()
    assert (report.get("tests"), report.get("errors")) == ("1", "1")


def test_a_watch_without_a_page_has_no_port(command: Command) -> None:
    """`--no-preview` excludes the options of the page."""
    code, _, err = command("watch", "--no-preview", "--port", "8000")
    assert (code, err.splitlines()[0]) == (2, "error: --no-preview serves no page, but --port needs one")
