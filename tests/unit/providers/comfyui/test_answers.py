"""Answers: what a stranger's JSON means, and that nothing in it ends in a traceback."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.errors import BadImage, ModelRefused, Refused
from qwenbuild.providers.comfyui import answers
from qwenbuild.providers.comfyui.answers import Picture, check_format, failure, node_errors, picture, queued, refusal
from qwenbuild.providers.comfyui.workflow import Workflow
from tests.support.comfy_server import workflow

FLOW = Workflow(workflow(), "d", ())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda it: st.lists(it, max_size=3) | st.dictionaries(
        st.sampled_from(["error", "node_errors", "errors", "message", "status", "messages", "outputs", "60", "images",
                         "filename", "queue_running", "extra_info", "node_id"]), it, max_size=3),
)  # fmt: skip


def saved(number: str, *names: str, kind: str = "output") -> dict[str, Any]:
    return {number: {"images": [{"filename": name, "subfolder": "s", "type": kind} for name in names]}}


def test_errors_of_nodes_are_quoted() -> None:
    """Node, class and message; the one that ComfyUI gives for a missing class, too."""
    body = {
        "error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"},
        "node_errors": {"37": {"errors": [{"message": "Value not in list", "details": "unet_name: 'x' not in ['y']"}]}},
    }
    assert str(refusal(body, FLOW)) == (
        "error: ComfyUI refuses the workflow: Prompt outputs failed validation\n"
        "  = node 37 (UNETLoader): Value not in list: unet_name: 'x' not in ['y']\n"
        "  = hint: `qwenbuild doctor` compares the workflow with the nodes and files of the server"
    )
    error = {"type": "missing_node_type", "message": "Node 'K' not found.", "details": "Node ID '#3'"}
    lacking = {"error": {**error, "extra_info": {"node_id": "3"}}, "node_errors": []}
    refused = refusal(lacking, FLOW)
    assert isinstance(refused, ModelRefused)  # each image would be refused
    assert refused.facts == ("node 3 (KSampler): Node ID '#3'",)
    many = {"node_errors": {"3": {"errors": [{"message": str(number)} for number in range(12)]}}}
    assert node_errors(many, FLOW)[-1] == "and 2 more"


@pytest.mark.parametrize(("number", "name", "kind"), [("37", "unet_name", ModelRefused), ("58", "width", Refused)])
def test_what_no_hole_can_change_is_refused_for_all_images(number: str, name: str, kind: type[Refused]) -> None:
    """A value that an image fills may suit another image."""
    error = {"message": "wrong", "extra_info": {"input_name": name}}
    body = {"error": {"message": "failed"}, "node_errors": {number: {"errors": [error]}}}
    assert type(refusal(body, FLOW)) is kind


def test_why_a_run_failed() -> None:
    """The node and the exception; memory gets a hint of its own."""
    told = {"node_id": "3", "exception_type": "torch.OutOfMemoryError", "exception_message": "Allocation on device\n"}
    failed = failure({"status": {"status_str": "error", "messages": [["execution_error", told]]}}, FLOW)
    assert str(failed) == (
        "error: ComfyUI failed at node 3 (KSampler)\n  = torch.OutOfMemoryError: Allocation on device\n"
        "  = hint: a smaller size, or fewer models at once, need less memory"
    )
    assert isinstance(
        failure({"status": {"messages": [["execution_interrupted", {"node_id": "8"}]]}}, FLOW), answers.Interrupted
    )
    assert failure({"status": {"status_str": "success", "messages": []}}, FLOW) is None


def test_the_only_saved_image_is_taken() -> None:
    """Previews do not count beside it; without a saved one, the only preview is taken."""
    outputs = {**saved("8", "p.png", kind="temp"), **saved("60", "a.png")}
    assert picture({"outputs": outputs}, FLOW, "") == Picture("60", "a.png", "s", "output")
    assert picture({"outputs": outputs}, FLOW, "8").query == {"filename": "p.png", "subfolder": "s", "type": "temp"}
    assert picture({"outputs": saved("8", "p.png", kind="temp")}, FLOW, "").name == "p.png"


@pytest.mark.parametrize(
    ("outputs", "node", "message"),
    [
        ({}, "", "error: the run made no image\n"
                 "  = hint: the workflow needs a node that saves the image, such as SaveImage"),
        (saved("60", "a.png"), "8", "error: the run made no image at node 8 (VAEDecode)\n"
                                    "  = images are at node 60 (SaveImage)\n"
                                    "  = hint: the workflow needs a node that saves the image, such as SaveImage"),
        (saved("60", "a.png", "b.png"), "", "error: the run made 2 images, but one was asked for\n"
                                            "  = node 60 (SaveImage): 2\n"
                                            "  = hint: set its batch_size to 1: each image of a spec is one image"),
        ({**saved("60", "a.png"), **saved("8", "b.png")}, "",
         "error: the run made 2 images, but one was asked for\n"
         "  = node 60 (SaveImage): 1\n  = node 8 (VAEDecode): 1\n"
         '  = hint: name the node that saves the image: output_node = "60" under [providers.comfyui]'),
    ],
)  # fmt: skip
def test_no_image_or_several_are_refused(outputs: dict[str, Any], node: str, message: str) -> None:
    """The message says which nodes made how many."""
    with pytest.raises(Refused) as caught:
        picture({"outputs": outputs}, FLOW, node)
    assert str(caught.value) == message


@pytest.mark.parametrize(("start", "kind"), [(b"\xff\xd8\xff", "a JPEG"), (b"RIFF0000WEBP", "a WebP")])
def test_another_format_is_refused(start: bytes, kind: str) -> None:
    """The message names the node and what to use instead."""
    with pytest.raises(BadImage) as caught:
        check_format(start, Picture("60", "a.jpg", "", "output"), FLOW)
    assert str(caught.value) == (
        f"error: the workflow saves {kind}, not a PNG\n  = node 60 (SaveImage): a.jpg\n"
        "  = hint: save it with the node SaveImage, which writes PNG: qwenbuild keeps pixels as they were made"
    )


@given(JSON)
def test_any_json_is_an_answer(body: Any) -> None:
    """Values of other types count as none."""
    node_errors(body, FLOW)
    refusal(body, FLOW)
    failure(body, FLOW)
    assert all(place in ("running", "pending") for place in queued(body).values())
    with contextlib.suppress(Refused):
        picture(body, FLOW, "")
