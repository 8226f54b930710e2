"""Answers: what ComfyUI's JSON says about a run: why it was refused, why it failed, and which images it made.

All of it is a stranger's: any value may have another type, and is then taken for none.

Source: ComfyUI's `server.py` and `execution.py` of 2026-11.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from qwenbuild.errors import BadImage, ModelRefused, ProviderError, Refused

from .workflow import Workflow

_LONGEST: Final = 400  # characters of a text of the server
_MOST: Final = 10  # errors of nodes that a message shows
_OF_WORKFLOW: Final = ("missing_node_type", "prompt_no_outputs")
_MODELS: Final = "`qwenbuild doctor` compares the workflow with the nodes and files of the server"
_OTHER_FORMATS: Final = (
    (b"\xff\xd8\xff", "a JPEG"), (b"RIFF", "a WebP"), (b"GIF8", "a GIF"), (b"\0\0\0", "an AVIF image or a video"),
)  # fmt: skip


class Interrupted(Refused):
    """Somebody interrupted the run at the server."""

    name = "run-interrupted"


@dataclass(frozen=True, slots=True)
class Picture:
    """A file that a run made: the node that made it, and the query that fetches it."""

    node: str
    name: str
    subfolder: str
    kind: str  # "output" for a saved image, "temp" for a preview

    @property
    def query(self) -> Mapping[str, str]:
        """What `/view` is asked."""
        return {"filename": self.name, "subfolder": self.subfolder, "type": self.kind}


def node_errors(body: Any, workflow: Workflow) -> list[str]:
    """Return what the server says against single nodes, with the node, its class and the message."""
    found = []
    for number, error in _node_errors(body):
        message, details = (_text(error.get(name)) for name in ("message", "details"))
        found.append(f"{workflow.node(number)}: {': '.join(filter(None, (message, details)))}")
    over = len(found) - _MOST
    return found if over <= 0 else [*found[:_MOST], f"and {over} more"]


def refusal(body: Any, workflow: Workflow) -> Refused | None:
    """Return the error that an answer to a workflow means; None if the answer is not ComfyUI's.

    It is a ModelRefused if it does not depend on what fills the holes: each image would be refused.
    """
    error = _table(body).get("error")
    if isinstance(error, str):  # servers in front of ComfyUI, and old versions
        error = {"message": error}
    message, details, kind = (_text(_table(error).get(name)) for name in ("message", "details", "type"))
    if not message:
        return None
    facts = node_errors(body, workflow)
    if not facts:
        number = _text(_table(_table(error).get("extra_info")).get("node_id"))
        facts = [
            fact for fact in (": ".join(filter(None, (workflow.node(number) if number else "", details))),) if fact
        ]
    inputs = [(number, _text(_table(it.get("extra_info")).get("input_name"))) for number, it in _node_errors(body)]
    is_for_all = kind in _OF_WORKFLOW or (bool(inputs) and not any(workflow.is_filled(*each) for each in inputs))
    refused = ModelRefused if is_for_all else Refused
    return refused(
        f"ComfyUI refuses the workflow: {message}", facts=facts, hint=_MODELS, code=kind, name="workflow-refused"
    )


def _node_errors(body: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, said in _table(_table(body).get("node_errors")).items():
        for error in _list(_table(said).get("errors")):
            yield number, _table(error)


def failure(entry: Any, workflow: Workflow) -> ProviderError | None:
    """Return why a finished run failed, by its entry in the history; None if it did not."""
    status = _table(_table(entry).get("status"))
    for message in reversed(_list(status.get("messages"))):
        name, told = (*message, None, None)[:2] if isinstance(message, list) else (None, None)
        where = workflow.node(_text(_table(told).get("node_id")))
        if name == "execution_interrupted":
            return Interrupted(
                "the run was interrupted at ComfyUI", facts=[f"at {where}"], hint="build again to run it"
            )
        if name == "execution_error":
            kind, said = (_text(_table(told).get(key)) for key in ("exception_type", "exception_message"))
            hint = "a smaller size, or fewer models at once, need less memory" if "OutOfMemory" in kind else None
            return Refused(
                f"ComfyUI failed at {where}",
                facts=[f"{kind}: {said}"],
                hint=hint or _MODELS,
                code=kind,
                name="run-failed",
            )
    if status.get("status_str") == "error":
        return Refused("ComfyUI failed, and does not say why", hint="ComfyUI's own log says more", name="run-failed")
    return None


def picture(entry: Any, workflow: Workflow, output_node: str) -> Picture:
    """Return the one image of a finished run: that of `output_node`, or if it is empty the only one that was saved.

    Previews count only if nothing was saved. Raises Refused if there is no image, or if there are several.
    """
    every = [it for it in _pictures(entry) if not output_node or it.node == output_node]
    found = [it for it in every if it.kind == "output"] or every
    if len(found) == 1:
        return found[0]
    where = f" at {workflow.node(output_node)}" if output_node else ""
    if not found:
        raise Refused(
            f"the run made no image{where}",
            facts=[
                f"images are at {workflow.node(number)}" for number in dict.fromkeys(it.node for it in _pictures(entry))
            ],
            hint="the workflow needs a node that saves the image, such as SaveImage",
            name="not-one-image",
        )
    counts = {number: sum(it.node == number for it in found) for number in dict.fromkeys(it.node for it in found)}
    one = next(iter(counts))
    hint = "set its batch_size to 1: each image of a spec is one image"
    if len(counts) > 1:
        hint = f'name the node that saves the image: output_node = "{one}" under [providers.comfyui]'
    raise Refused(
        f"the run made {len(found)} images{where}, but one was asked for",
        facts=[f"{workflow.node(number)}: {count}" for number, count in counts.items()],
        hint=hint,
        name="not-one-image",
    )


def check_format(image: bytes, found: Picture, workflow: Workflow) -> None:
    """Raise BadImage if a file is in another format than PNG: what qwenbuild stores is never encoded again."""
    if kind := next((what for start, what in _OTHER_FORMATS if image.startswith(start)), ""):
        raise NotPng(
            f"the workflow saves {kind}, not a PNG",
            facts=[f"{workflow.node(found.node)}: {found.name}"],
            hint="save it with the node SaveImage, which writes PNG: qwenbuild keeps pixels as they were made",
        )


class NotPng(BadImage):
    """The image has another format. Another run would give the same format."""

    name = "not-png"
    retryable = False


def _pictures(entry: Any) -> Iterator[Picture]:
    for number, made in _table(_table(entry).get("outputs")).items():
        for image in _list(_table(made).get("images")):
            name, subfolder, kind = (_table(image).get(key) for key in ("filename", "subfolder", "type"))
            if isinstance(name, str) and name:
                yield Picture(number, name, subfolder if isinstance(subfolder, str) else "", str(kind or "output"))


def queued(body: Any) -> Mapping[str, str]:
    """Return the runs in an answer of `/queue`, by id: "running" or "pending"."""
    found: dict[str, str] = {}
    for place in ("pending", "running"):
        for item in _list(_table(body).get(f"queue_{place}")):
            if isinstance(item, list) and len(item) > 1 and isinstance(item[1], str):
                found[item[1]] = place
    return found


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _text(value: object) -> str:
    text = " ".join(str(value).split()) if isinstance(value, str | int) else ""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
