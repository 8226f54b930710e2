"""The commands doctor, init, schema, completion and help."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from qwenbuild.error_entries import GROUPS
from tests.unit.cli.conftest import Command


def test_doctor_ends_with_counts(command: Command) -> None:
    """The exit code is 1 exactly if a finding must be fixed."""
    code, out, _ = command("doctor", "--json")
    *findings, examined = [json.loads(line) for line in out.splitlines()]
    levels = [finding["level"] for finding in findings]
    assert examined == {"event": "examined", **{level: levels.count(level) for level in ("ok", "warn", "fail")}}
    assert code == (1 if "fail" in levels else 0)


def test_explain_error(command: Command) -> None:
    """Names have entries, groups have lists, and an unknown name gets the nearest one."""
    code, out, _ = command("explain-error", "no-image", "emulator")
    assert (code, out.splitlines()[0]) == (0, "no-image: the spec declares no image")
    assert "\nThe emulator (emulator)\n  not-a-fault " in out
    assert command("explain-error")[1].count("\n\n") == len(GROUPS)
    code, _, err = command("explain-error", "no-imag")
    assert (code, err.splitlines()[:2]) == (
        2,
        ['error: no error is called "no-imag"', '  = hint: did you mean "no-image"?'],
    )
    assert "`qwenbuild explain-error` lists all names" in command("explain-error", "\x1b")[2]


def test_init_writes_a_project(command: Command) -> None:
    """The new project can be planned; a second `init` into the same folder is an error."""
    code, out, _ = command("init", "posters")
    assert (code, out.splitlines()[-1]) == (0, "next: cd posters && qwenbuild build")
    assert command("-C", "posters", "plan")[0] == 0
    assert command("init", "posters")[0] == 2


def test_init_writes_a_first_spec_where_there_is_a_config(command: Command) -> None:
    """The message about missing specs says so, and it is true in each folder of the project."""
    Path("bare/inner").mkdir(parents=True)
    Path("bare/qwenbuild.toml").write_text('provider = "draft"\n')
    assert "`qwenbuild init` writes a first spec" in command("-C", "bare/inner", "plan")[2]
    assert command("init", "bare", "--images", "git")[0] == 2
    code, out, _ = command("-C", "bare/inner", "init")
    assert (code, out.splitlines()) == (0, [
        "     wrote  bare/specs/poster.toml", "     wrote  bare/specs/spec.schema.json",
        "     wrote  bare/templates/poster.j2", "next: qwenbuild plan",
    ])  # fmt: skip
    assert command("-C", "bare", "plan")[1].splitlines()[-1] == "11 to render"
    assert command("init", "bare")[0] == 2


def test_schema_describes_specs_or_the_config(command: Command) -> None:
    """Specs are the default."""
    assert command("schema") == command("schema", "spec")
    assert json.loads(command("schema", "config")[1])["title"] == "qwenbuild config"


def test_completion_prints_a_script(command: Command) -> None:
    """Each shell has a script of its own."""
    scripts = [command("completion", shell)[1] for shell in ("bash", "zsh", "fish")]
    assert ["complete" in script for script in scripts] == [True, True, True]
    assert len(set(scripts)) == 3


def test_init_takes_where_images_live(command: Command) -> None:
    """Git LFS needs one more command on each machine."""
    code, out, _ = command("init", "posters", "--images", "lfs")
    assert (code, out.splitlines()[-2]) == (0, "once on each machine: git lfs install")
    assert command("init", "other", "--images", "disk")[0] == 2


def test_init_tells_of_a_rule_that_it_can_not_answer(command: Command) -> None:
    """A rule for a folder above the project ignores everything below."""
    subprocess.run(["git", "init", "-q", "."], check=True)
    Path(".gitignore").write_text("/posters/\n")
    code, _, err = command("init", "posters")
    assert code == 0
    assert "git still ignores qwenbuild.toml, " in err
    assert "qwenbuild.lock, the images: `git check-ignore -v posters/qwenbuild.toml` names the rule" in err
    assert command("init", "other", "--images", "store")[2] == ""
