"""Workflows: what is accepted, what is refused with its place, and how holes are filled."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenbuild.errors import ProjectError, UsageError
from qwenbuild.providers.comfyui import workflow as workflows
from qwenbuild.providers.comfyui.workflow import Workflow, find, read
from tests.support.comfy_server import workflow

VALUES = {"prompt": "a cat", "negative_prompt": "", "seed": 7, "width": 64, "height": 32}


def written(folder: Path, content: Any) -> Workflow:
    path = folder / "w.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2), "utf-8")
    return read(path, "w.json")


def fault(folder: Path, content: Any) -> str:
    with pytest.raises(ProjectError) as caught:
        written(folder, content)
    return str(caught.value)


def test_holes_are_filled_with_values_of_their_types(tmp_path: Path) -> None:
    """A hole gets the value as it is, also within a table; links and all else stay as they are."""
    nodes = workflow(n6={"text": "$prompt", "lora": {"on": True, "name": "$model", "many": ["$seed", 1.5]}})
    found = written(tmp_path, nodes)
    assert found.holes == ("width", "height", "prompt", "model", "seed", "negative_prompt")
    filled = found.filled({**VALUES, "model": "m", "prompt": 'say "$seed"'})
    assert filled["6"]["inputs"] == {
        "text": 'say "$seed"', "clip": ["38", 0], "lora": {"on": True, "name": "m", "many": [7, 1.5]},
    }  # fmt: skip
    assert (filled["3"]["inputs"]["seed"], filled["58"]["inputs"]["width"]) == (7, 64)
    rest = {number: node for number, node in filled.items() if number not in ("3", "6", "7", "58")}
    assert rest == {number: nodes[number] for number in rest}


def test_the_digest_is_that_of_what_makes_pixels(tmp_path: Path) -> None:
    """Order, white space and titles do not count; any input and any class do."""
    nodes, digest = workflow(), written(tmp_path, workflow()).digest
    titled = {number: {**node, "_meta": {"title": "x"}} for number, node in reversed(nodes.items())}
    assert written(tmp_path, json.dumps(titled)).digest == digest
    other = copy.deepcopy(nodes)
    other["8"]["class_type"] = "VAEDecodeTiled"
    digests = {written(tmp_path, it).digest for it in (workflow(n3={"steps": 21}), workflow(n60={"x": None}), other)}
    assert len(digests | {digest}) == 4


def test_the_editors_own_form_is_refused_with_the_way_to_export(tmp_path: Path) -> None:
    """What the editor saves has layout and links in a list; a server can't run it."""
    saved = {"last_node_id": 9, "nodes": [{"id": 3, "type": "KSampler"}], "links": [[1, 4, 0, 3, 0, "MODEL"]]}
    assert fault(tmp_path, saved) == (
        "error: w.json is a workflow in the editor's own form, which no server runs\n"
        " --> w.json\n"
        '  = found: "nodes" and "links", as the editor saves them\n'
        "  = hint: in ComfyUI's editor, choose File > Export (API), and save that file here"
    )
    assert 'keep only what stands at "prompt"' in fault(tmp_path, {"prompt": workflow(), "client_id": "x"})


def test_a_mistyped_hole_is_shown_at_its_place(tmp_path: Path) -> None:
    """The caret stands under the hole that was probably meant."""
    assert fault(tmp_path, workflow(n6={"text": "$promt"})).splitlines()[:5] == [
        'error: the workflow has no "$prompt"',
        "  --> w.json:57:15",
        "   |",
        '57 |       "text": "$promt",',
        '   |               ^^^^^^^^ did you mean "$prompt"?',
    ]


def test_a_missing_hole_names_where_it_may_belong(tmp_path: Path) -> None:
    """A workflow as it was exported has none yet: the message shows the values that are probably meant."""
    exported = workflow(n6={"text": "a red fox" + "x" * 80}, n7={"text": "blurry"}, n3={"seed": 4711})
    assert fault(tmp_path, exported) == (
        'error: the workflow has no "$prompt"\n'
        " --> w.json\n"
        f"  = perhaps node 6 (CLIPTextEncode): text = 'a red fox{'x' * 51}…'\n"
        "  = perhaps node 7 (CLIPTextEncode): text = 'blurry'\n"
        '  = hint: write "$prompt" in place of the value that each image should have of its own\n\n'
        'error: the workflow has no "$seed"\n'
        " --> w.json\n"
        "  = perhaps node 3 (KSampler): seed = 4711\n"
        '  = hint: write "$seed" in place of the value that each image should have of its own'
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (workflow(n6={"text": "a photo of $prompt"}), '"$prompt" stands inside a longer text'),
        ('{"3": ', "w.json is not JSON: Expecting value"),
        ("[]", "not a workflow in API form"),
        ("{}", "not a workflow in API form"),
        ({**workflow(), "version": 0.4}, "no node: 'version'"),
        ({"3": {"class_type": "KSampler"}}, "node 3 has no class or no inputs"),
        (workflow(n8=None), "node 60 (SaveImage): images is a link to node 8, which is not in the workflow"),
        ('{"3": {"class_type": "A", "inputs": {"a": NaN}}}', "NaN is not JSON"),
        (workflow(n3={"cfg": 1e400}).__repr__().replace("'", '"').replace("inf", "1e999"), "w.json can't be read"),
        ('{"3": {"class_type": "A", "inputs": {"a": ' + "9" * 5000 + "}}}", "w.json can't be read"),
        ('{"3": {"class_type": "A", "inputs": {"a": ' + "[" * 20_000 + "]" * 20_000 + "}}}", "nested too deep"),
        (
            '{"3": {"class_type": "A", "inputs": {"a": ' + "[" * 51 + "]" * 51 + "}}}",
            "node 3 (A): a is nested too deep",
        ),
        (json.dumps(workflow(n6={"x": "!"})).replace("!", "\\ud800"), "unpaired surrogate"),
        ("x" * (workflows.MAX_BYTES + 1), "w.json is too large"),
    ],
)
def test_whatever_is_no_workflow_is_told(tmp_path: Path, content: Any, said: str) -> None:
    """Each mistake has a message that names the file; no file ends in a traceback."""
    assert said in fault(tmp_path, content)


@settings(max_examples=20)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda it: st.lists(it) | st.dictionaries(st.text(), it)
    )
)
def test_any_json_is_a_workflow_or_a_problem(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    """Nothing else comes of a stranger's file."""
    try:
        written(
            tmp_path_factory.getbasetemp(),
            {"1": {"class_type": "A", "inputs": {"a": content, "b": "$prompt", "c": "$seed"}}},
        )
        written(tmp_path_factory.getbasetemp(), content)
    except ProjectError:
        pass


def test_a_workflow_lies_in_the_project(tmp_path: Path) -> None:
    """A path that leads out is refused, also through a link."""
    (tmp_path / "project").mkdir()
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "project" / "link.json").symlink_to("../secret.json")
    assert find(tmp_path / "project", "a/b.json") == tmp_path / "project" / "a" / "b.json"
    absolute = str(tmp_path / "secret.json")
    for path in ("../secret.json", "../project/w.json", "a/../../project/w.json", "link.json", absolute, "a\0b"):
        with pytest.raises(UsageError) as caught:
            find(tmp_path / "project", path)
        assert caught.value.name == "outside-project"
