"""`plan --base` and `--markdown` for reviewers, and JUnit reports for CI."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from qwenbuild.storage import lock, lock_format

from .harness import Ran, Sandbox

HOSTILE = "```\n</details>\n@everyone ~~~~ ````` <img src=x> | [x](javascript:y)\n# Title\u202e"


def git(sandbox: Sandbox, *arguments: str) -> None:
    identity = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    names = {f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(
        ["git", *arguments], cwd=sandbox.root, check=True, capture_output=True, env={**os.environ, **identity, **names}
    )


@pytest.fixture
def repository(sandbox: Sandbox) -> Sandbox:
    """The project, built and committed to git."""
    sandbox.write({".gitignore": ".qwenbuild/\nout/\n"})
    git(sandbox, "init", "-q", "-b", "main")
    sandbox.build_here()
    git(sandbox, "add", ".")
    git(sandbox, "commit", "-q", "-m", "images")
    return sandbox


def edit(sandbox: Sandbox) -> None:
    """Change one prompt, remove an image, and add another."""
    sandbox.edit("specs/icons.toml", "Icon of the sun", "Icon of the star")
    sandbox.edit(
        "specs/icons.toml", '[image.moon]\nprompt = "Icon of the moon"', '[image.sea]\nprompt = "Icon of a sea"'
    )


def test_a_plan_against_a_revision(repository: Sandbox) -> None:
    """`--base` lists what is added, changed and dropped since that revision's lock, before and after a build."""
    assert repository.here("plan", "--base", "main").out.startswith("0 outputs differ from main\n")
    edit(repository)
    expected = {
        "icons/sun": ("changed", "prompt changed: -sun +star"),
        "icons/sea": ("added", "added"),
        "icons/moon": ("dropped", "dropped"),
    }
    for _ in range(2):
        events = repository.here("plan", "--json", "--base", "HEAD").events
        assert {
            event["name"]: (event["kind"], event["reason"]) for event in events if event["event"] == "change"
        } == expected
        repository.here("build")
    out = repository.here("plan", "--base", "main").out
    assert out.splitlines()[:4] == [
        "   changed  icons/sun  prompt changed: -sun +star", "     added  icons/sea  added",
        "   dropped  icons/moon  dropped", "3 outputs differ from main",
    ]  # fmt: skip


def test_other_bytes_of_the_same_request(repository: Sandbox) -> None:
    """If the lock pins other bytes for the same request, the output counts as repinned."""
    path = repository.root / lock.NAME
    pins = dict(lock.read(path).pins)
    pins["icons/sun.png"] = pins["icons/sun.png"]._replace(image="0" * 64)
    path.write_text(lock_format.render(pins.values()), "utf-8")
    events = repository.here("plan", "--json", "--base", "main").events
    changes = [event for event in events if event["event"] == "change"]
    assert [(change["kind"], change["name"], change["reason"]) for change in changes] == [
        ("repinned", "icons/sun", "the lock pins other bytes")
    ]


def test_a_project_in_a_subfolder(sandbox: Sandbox) -> None:
    """The plan is compared with the lock that lies beside the config."""
    outer = Sandbox(sandbox.root.parent, sandbox.store)
    sandbox.build_here()
    git(outer, "init", "-q", "-b", "main")
    git(outer, "add", "project/qwenbuild.lock", "project/specs")
    git(outer, "commit", "-q", "-m", "images")
    assert sandbox.here("plan", "--base", "main").out.startswith("0 outputs differ from main\n")


def test_a_wrong_base(sandbox: Sandbox) -> None:
    """Outside git, or for an unknown revision, `--base` is an error. A revision without a lock gives a warning."""
    outside = sandbox.here("plan", "--base", "main")
    assert outside.code == 2
    assert "is in no git repository" in outside.err
    git(sandbox, "init", "-q", "-b", "main")
    git(sandbox, "commit", "-q", "--allow-empty", "-m", "nothing")
    for revision in ("nosuch", "--help", "", "main:specs", "\x1b[31m"):
        ran = sandbox.here("plan", f"--base={revision}")
        assert (ran.code, ran.err.startswith('error: no revision "')) == (2, True), revision
        assert "\x1b" not in ran.err
    without = sandbox.here("plan", "--base", "main")
    assert without.code == 0
    assert "warning: main has no qwenbuild.lock: every declared output counts as added" in without.err
    assert "8 outputs differ from main" in without.out
    sandbox.extra["PATH"] = str(sandbox.root)
    assert "error: git is not installed" in sandbox.here("plan", "--base", "main").err
    other = sandbox.here("plan", "--base", "main", "--provider", "draft")
    assert (other.code, "the lock pins what the provider" in other.err) == (2, True)
    assert sandbox.here("plan", "--json", "--markdown").code == 2


def test_a_damaged_lock_of_a_revision(repository: Sandbox) -> None:
    """The error names the revision, the file and the line."""
    (repository.root / lock.NAME).write_text("version = 1\n<<<<<<< HEAD\n", "utf-8")
    git(repository, "commit", "-qam", "damage")
    (repository.root / lock.NAME).unlink()
    ran = repository.here("plan", "--base", "main")
    assert ran.code == 2
    assert "--> main:qwenbuild.lock:2" in ran.err


def test_markdown(repository: Sandbox) -> None:
    """`--markdown` starts with counts. Changes, renders and orphans follow in folded sections."""
    edit(repository)
    text = repository.here("plan", "--markdown", "--base", "main").out
    assert text.startswith("### qwenbuild plan\n\n**2 to render** · 6 up to date · 1 no longer declared\n")
    assert re.findall("<summary>(.*)</summary>", text) == [
        "1 changed against the base", "1 added against the base", "1 dropped against the base", "2 to render",
        "1 no longer declared",
    ]  # fmt: skip
    assert "- `icons/sun`\n\n  ```diff\n    Icon of the\n  - sun\n  + star\n  ```\n" in text
    assert "- `icons/sun`: `prompt changed: -sun +star`\n" in text


def test_markdown_with_prices(sandbox: Sandbox) -> None:
    """A table shows the number of renders and the price for each model."""
    sandbox.edit("specs/icons.toml", 'size = "1:1"', 'size = "1:1"\nmodel = "qwen-image"')
    text = sandbox.here("plan", "--markdown", "--provider", "dashscope").out
    assert re.search(r"\| `qwen-image-plus` \| 6 \| [0-9.]+ CNY \| \*\*[0-9.]+ CNY\*\* \|\n", text)
    assert re.search(r"\| `qwen-image` \| 2 \| [0-9.]+ CNY \| \*\*[0-9.]+ CNY\*\* \|\n", text)


def test_texts_of_a_project_stay_inside_code(repository: Sandbox) -> None:
    """Prompts and names can't leave their code spans and fences, so they make no mention, tag or heading."""
    hostile = json.dumps(HOSTILE)
    repository.write({"specs/bad.toml": f"[image.x]\nprompt = {hostile}\nmatrix = {{ word = [{hostile}] }}\n"})
    repository.edit("specs/icons.toml", '"Icon of the sun"', json.dumps(f"Icon {HOSTILE} sun"))
    text = repository.here("plan", "--markdown", "--base", "main").out
    assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text) == []
    bare = re.sub(r"^  (`{3,})(?:diff|text)\n.*?^  \1$", "", text, flags=re.MULTILINE | re.DOTALL)
    bare = re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", bare)
    assert "@everyone" in text
    for part in ("@everyone", "<img", "javascript", "Title", "`"):
        assert part not in bare
    assert bare.count("</details>") == bare.count("<details>") == 3


def test_a_comment_fits(repository: Sandbox) -> None:
    """With many changes, the comment stays below GitHub's limit and counts what it leaves out."""
    repository.write({
        "specs/many.toml": '[image.x]\nprompt = "{{ \'😀 word \' * 80 }} {{ n }}"\n'
        "matrix = { n = { start = 1, count = 3000 } }\n",
    })  # fmt: skip
    text = repository.here("plan", "--markdown", "--base", "main").out
    assert 50_000 < len(text.encode("utf-16-le")) / 2 < 65_536
    assert re.search(r"\nand 2,[0-9]{3} more\n", text)
    assert text.count("<details>") == text.count("</details>")


def junit(sandbox: Sandbox, ran: Ran, code: int) -> ElementTree.Element:
    assert ran.code == code, ran.err
    return ElementTree.fromstring((sandbox.root / "report/junit.xml").read_bytes())


def outcomes(root: ElementTree.Element) -> dict[str, str]:
    """Return the outcome of each case: the tag inside it, or "passed"."""
    return {case.get("name", ""): case[0].tag if len(case) else "passed" for case in root.iter("testcase")}


def test_junit(sandbox: Sandbox) -> None:
    """Each cell is a test case in the suite of its image, also if it was up to date."""
    for _ in range(2):
        root = junit(sandbox, sandbox.run("build", "--junit", "report/junit.xml"), 0)
        assert [suite.get("name") for suite in root] == ["garden/flower", "garden/poster", "icons/moon", "icons/sun"]
        assert list(outcomes(root).values()) == ["passed"] * 8
        assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
            "tests": "8", "failures": "0", "errors": "0", "skipped": "0"
        }  # fmt: skip
        (sandbox.root / "report/junit.xml").unlink()


def test_junit_leaves_other_files_alone(sandbox: Sandbox) -> None:
    """A file that is not XML is not replaced. Links are followed, and the report can go to a pipe."""
    for name in ("specs/icons.toml", "qwenbuild.toml"):
        before = (sandbox.root / name).read_bytes()
        ran = sandbox.run("build", "--junit", name)
        assert (ran.code, ran.err.startswith("error: ")) == (2, True)
        assert (sandbox.root / name).read_bytes() == before
    (sandbox.root / "report").mkdir()
    (sandbox.root / "link.xml").symlink_to("report/junit.xml")
    for _ in range(2):
        assert outcomes(junit(sandbox, sandbox.run("build", "--junit", "link.xml"), 0))
    assert (sandbox.root / "link.xml").is_symlink()
    ran = sandbox.run("build", "--junit", "/dev/stdout")
    assert (ran.code, outcomes(ElementTree.fromstring(ran.out))["icons/sun"]) == (0, "passed")


def test_junit_of_failures(sandbox: Sandbox) -> None:
    """A failure has the text of the error, without characters that XML forbids. Edited files are skipped."""
    sandbox.write({"specs/bad.toml": '[image.x]\nprompt = "x"\nmatrix = { word = ["a\\uFFFE<&]]>"] }\n'})
    sandbox.write({"out/icons/sun.png": "mine", "out/garden": "a file where a folder must be"})
    root = junit(sandbox, sandbox.here("build", "--junit", "report/junit.xml"), 1)
    found = outcomes(root)
    assert found["icons/sun"] == "skipped"
    assert found["garden/flower[flower=rose]"] == "failure"
    failure = next(iter(root.iter("failure")))
    assert failure.text is not None
    assert failure.text.startswith("error: ")
    assert (root.get("failures"), root.get("skipped")) == ("6", "1")


def test_junit_of_a_broken_project(sandbox: Sandbox) -> None:
    """The report has one case, `build`, with the error."""
    sandbox.edit("specs/icons.toml", "Icon of the sun", "Icon of the {{ sum }}")
    root = junit(sandbox, sandbox.here("build", "--junit", "report/junit.xml"), 2)
    assert outcomes(root) == {"build": "error"}
    assert "undefined variable" in next(iter(root.iter("error"))).get("message", "")


def test_junit_of_an_interrupted_build(sandbox: Sandbox) -> None:
    """After Ctrl-C the report is written, too. Cells that were not started are skipped."""
    sandbox.write({"qwenbuild.toml": 'provider = "null"\n[providers.null]\nlatency_s = 1.0\n'})
    process = sandbox.popen("build", "--json", "-j1", "--junit", "report/junit.xml")
    assert process.stdout is not None
    for line in process.stdout:
        if "image_started" in line:
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=60)
    root = junit(sandbox, Ran(process.returncode, out, err), 130)
    found = list(outcomes(root).values())
    assert (found.count("error"), found.count("passed"), found.count("skipped")) == (1, 1, 7)


def test_junit_that_can_not_be_written(sandbox: Sandbox) -> None:
    """The error comes before anything is rendered."""
    sandbox.write({"file": ""})
    for path, why in (("file/junit.xml", "can't be written"), ("specs", "is a directory")):
        ran = sandbox.here("build", "--junit", path)
        assert (ran.code, why in ran.err) == (2, True), path
        assert not Path(sandbox.root / "out").exists()
