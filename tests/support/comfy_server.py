"""A ComfyUI without models: the real server's routes, queue, history and validation, on loopback.

Each question about a run takes the queue one step further, so that no test waits. What is validated, and the form of
each answer, follow ComfyUI's `server.py` and `execution.py` of 2026-11.

    with Comfy().running() as comfy:
        comfy.is_held = True  # runs that were begun do not end
"""

from __future__ import annotations

import contextlib
import io
import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from qwenbuild.digest import canonical_json, sha256

UNET = "qwen_image_fp8_e4m3fn.safetensors"
SEED = {"default": 0, "min": 0, "max": 0xFFFFFFFFFFFFFFFF}
SIDE = {"default": 1024, "min": 16, "max": 16384, "step": 16}


def _node(output: bool = False, **inputs: Any) -> dict[str, Any]:
    return {"input": {"required": inputs}, "output_node": output}


NODES: dict[str, Any] = {
    "UNETLoader": _node(unet_name=[[UNET, "qwen_image_2512_bf16.safetensors"]], weight_dtype=[["default"]]),
    "CLIPLoader": _node(clip_name=["COMBO", {"options": ["qwen_2.5_vl_7b_fp8_scaled.safetensors"]}],
                        type=[["stable_diffusion", "qwen_image"]]),
    "VAELoader": _node(vae_name=[["qwen_image_vae.safetensors"]]),
    "CLIPTextEncode": _node(text=["STRING", {"multiline": True}], clip=["CLIP"]),
    "EmptySD3LatentImage": _node(width=["INT", SIDE], height=["INT", SIDE], batch_size=["INT", {"min": 1}]),
    "ModelSamplingAuraFlow": _node(model=["MODEL"], shift=["FLOAT", {"min": 0.0, "max": 100.0}]),
    "KSampler": _node(model=["MODEL"], seed=["INT", SEED], steps=["INT", {"min": 1, "max": 10000}],
                      cfg=["FLOAT", {"min": 0.0, "max": 100.0}], sampler_name=[["euler", "res_multistep"]],
                      scheduler=[["simple", "beta"]], positive=["CONDITIONING"], negative=["CONDITIONING"],
                      latent_image=["LATENT"], denoise=["FLOAT", {"min": 0.0, "max": 1.0}]),
    "VAEDecode": _node(samples=["LATENT"], vae=["VAE"]),
    "SaveImage": _node(True, images=["IMAGE"], filename_prefix=["STRING", {}]),
    "PreviewImage": _node(True, images=["IMAGE"]),
}  # fmt: skip
"""What `/object_info` says: the nodes of a text-to-image workflow of Qwen-Image."""

_TYPES = {"INT": int, "FLOAT": float, "STRING": str}


def workflow(**changes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a text-to-image workflow of Qwen-Image in API form, with holes.

    A change such as `n3={"steps": "$steps"}` replaces inputs of node 3; None removes the node.
    """
    nodes: dict[str, Any] = {
        "37": _as("UNETLoader", unet_name=UNET, weight_dtype="default"),
        "38": _as("CLIPLoader", clip_name="qwen_2.5_vl_7b_fp8_scaled.safetensors", type="qwen_image"),
        "39": _as("VAELoader", vae_name="qwen_image_vae.safetensors"),
        "66": _as("ModelSamplingAuraFlow", model=["37", 0], shift=3.1),
        "58": _as("EmptySD3LatentImage", width="$width", height="$height", batch_size=1),
        "6": _as("CLIPTextEncode", text="$prompt", clip=["38", 0]),
        "7": _as("CLIPTextEncode", text="$negative_prompt", clip=["38", 0]),
        "3": _as("KSampler", seed="$seed", steps=20, cfg=2.5, sampler_name="euler", scheduler="simple", denoise=1,
                 model=["66", 0], positive=["6", 0], negative=["7", 0], latent_image=["58", 0]),
        "8": _as("VAEDecode", samples=["3", 0], vae=["39", 0]),
        "60": _as("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
    }  # fmt: skip
    for name, change in changes.items():
        number = name.removeprefix("n")
        if change is None:
            del nodes[number]
        else:
            nodes[number]["inputs"].update(change)
    return nodes


def _as(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"inputs": inputs, "class_type": kind, "_meta": {"title": kind}}


class Comfy:
    """A server. `prompts` are the bodies that were queued, `calls` counts the requests by method and path.

    `is_held`: a run that was begun does not end. `is_old`: the version chooses the ids of runs itself. `is_warning`: it
    accepts a workflow of which a part can't run. `is_same`: all images look alike. `failure` is what a run raises
    instead of making an image. `lost` has paths whose next answer never comes, although the work is done. `page` is a
    web page that is answered to everything, `image_format` that of saved images.
    """

    def __init__(self) -> None:
        self.url, self.nodes = "", dict(NODES)
        self.prompts: list[dict[str, Any]] = []
        self.calls: Counter[str] = Counter()
        self.is_held = self.is_old = self.is_warning = self.is_same = False
        self.failure: dict[str, Any] | None = None
        self.lost: list[str] = []
        self.page, self.status, self.image_format = "", 200, "PNG"
        self.interrupted: list[str] = []
        self.files: dict[str, bytes] = {}
        self._lock = threading.Condition()
        self.restart()

    def restart(self) -> None:
        """Forget queue and history, as a restart does. The files stay."""
        with self._lock:
            self.pending: list[str] = []
            self.now: list[str] = []
            self.graphs: dict[str, dict[str, Any]] = {}
            self.history: dict[str, Any] = {}

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds that requests may change. Fails after a minute."""
        with self._lock:
            assert self._lock.wait_for(condition, 60)

    @contextlib.contextmanager
    def running(self) -> Iterator[Comfy]:
        """Serve on loopback while the context lasts."""
        comfy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                parts = urlsplit(self.path)
                with comfy._lock:
                    comfy.calls[f"{self.command} {parts.path}"] += 1
                    status, kind, body = comfy._answer(self.command, parts.path, parts.query, content)
                    comfy._lock.notify_all()
                    if parts.path in comfy.lost:
                        comfy.lost.remove(parts.path)
                        self.close_connection = True
                        return
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815  # the names that the library calls

            def log_message(self, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _answer(self, method: str, path: str, query: str, content: bytes) -> tuple[int, str, bytes]:
        if self.page:
            return self.status, "text/html", self.page.encode()
        if self.status != 200:
            return self.status, "text/plain", b"busy"
        body = json.loads(content) if content else {}
        if path == "/view":
            asked = {name: value[0] for name, value in parse_qs(query, keep_blank_values=True).items()}
            file = self.files.get(asked["filename"])
            return (404, "text/plain", b"") if file is None else (200, "image/png", file)
        match method, path:
            case "GET", "/system_stats":
                said: Any = {"system": {"comfyui_version": "0.12.3"}, "devices": [{"name": "cpu", "type": "cpu"}]}
            case "GET", "/object_info":
                said = self.nodes
            case "GET", "/queue":
                self._step()
                said = {f"queue_{name}": [[0, run, self.graphs[run], {}, []] for run in runs]
                        for name, runs in (("running", self.now), ("pending", self.pending))}  # fmt: skip
            case "GET", _ if path.startswith("/history/"):
                run = path.removeprefix("/history/")
                said = {run: self.history[run]} if run in self.history else {}
            case "POST", "/prompt":
                status, said = self._queued(body)
                return status, "application/json", json.dumps(said).encode()
            case "POST", "/queue":
                self.pending = [run for run in self.pending if run not in body["delete"]]
                return 200, "text/plain", b""
            case "POST", "/interrupt":
                meant = self.now if self.is_old else [run for run in self.now if run == body["prompt_id"]]
                for run in list(meant):
                    self.interrupted.append(run)
                    self._end(run, {}, ["execution_interrupted", {"prompt_id": run, "node_id": "3"}])
                return 200, "text/plain", b""
            case _:
                return 404, "text/plain", b"404: Not Found"
        return 200, "application/json", json.dumps(said).encode()

    # --- the queue ---

    def _queued(self, body: dict[str, Any]) -> tuple[int, Any]:
        run, graph = body.get("prompt_id"), body["prompt"]
        if run is None or self.is_old:
            run = str(uuid.uuid4())
        elif str(uuid.UUID(run)) != run:
            return 400, {"error": {"type": "invalid_prompt_id", "message": "prompt_id must be a valid UUID"}}
        error, node_errors = self._faults(graph)
        if error and not (self.is_warning and node_errors):
            return 400, {"error": {**error, "extra_info": error.get("extra_info", {})}, "node_errors": node_errors}
        self.prompts.append(body)
        self.graphs[run] = graph
        self.pending.append(run)
        return 200, {"prompt_id": run, "number": len(self.prompts), "node_errors": node_errors}

    def _faults(self, graph: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the error of a workflow and those of its nodes, as `validate_prompt` does; empty for none."""
        for number, node in graph.items():
            if node["class_type"] not in self.nodes:
                title, info = node["_meta"]["title"], {"node_id": number, "class_type": node["class_type"]}
                claim = f"Node '{title}' not found. The custom node may not be installed."
                details = {"type": "missing_node_type", "message": claim, "details": f"Node ID '#{number}'"}
                return {**details, "extra_info": info}, {}
        if not any(self.nodes[node["class_type"]]["output_node"] for node in graph.values()):
            return {"type": "prompt_no_outputs", "message": "Prompt has no outputs", "details": ""}, {}
        found: dict[str, Any] = {}
        for number, node in graph.items():
            if errors := [*_input_errors(self.nodes[node["class_type"]], node["inputs"])]:
                found[number] = {"errors": errors, "dependent_outputs": ["60"], "class_type": node["class_type"]}
        if not found:
            return {}, {}
        return {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"}, found

    def _step(self) -> None:
        """Take the queue one step further: the running run ends, or the next one begins."""
        if self.is_held and self.now:
            return
        if self.now:
            run = self.now[0]
            if self.failure:
                self._end(run, {}, ["execution_error", {"prompt_id": run, **self.failure}])
            else:
                self._end(run, self._made(self.graphs[run]), ["execution_success", {"prompt_id": run}])
        elif self.pending:
            self.now.append(self.pending.pop(0))

    def _end(self, run: str, outputs: dict[str, Any], message: list[Any]) -> None:
        self.now.remove(run)
        is_good = message[0] == "execution_success"
        status = {"status_str": "success" if is_good else "error", "completed": is_good,
                  "messages": [["execution_start", {"prompt_id": run}], message]}  # fmt: skip
        self.history[run] = {"prompt": [0, run, self.graphs[run], {}, []], "outputs": outputs, "status": status}

    def _made(self, graph: dict[str, Any]) -> dict[str, Any]:
        """Save the images of a workflow; return what the history says about them."""
        [latent] = [node["inputs"] for node in graph.values() if node["class_type"] == "EmptySD3LatentImage"]
        outputs: dict[str, Any] = {}
        for number, node in graph.items():
            if not self.nodes[node["class_type"]]["output_node"]:
                continue
            kind = "output" if node["class_type"] == "SaveImage" else "temp"
            for index in range(int(latent["batch_size"])):
                name = f"{number}_{len(self.files) + 1:05}_.png"
                self.files[name] = self._encoded(graph, (int(latent["width"]), int(latent["height"])), index)
                found = {"filename": name, "subfolder": "", "type": kind}
                outputs.setdefault(number, {"images": []})["images"].append(found)
        return outputs

    def _encoded(self, graph: dict[str, Any], size: tuple[int, int], index: int) -> bytes:
        colour = (1, 2, 3) if self.is_same else tuple(bytes.fromhex(sha256(canonical_json([graph, index]))[:6]))
        about, buffer = PngInfo(), io.BytesIO()
        about.add_text("prompt", json.dumps(graph))
        extra = {"pnginfo": about, "compress_level": 4} if self.image_format == "PNG" else {}
        Image.new("RGB", size, colour).save(buffer, self.image_format, **extra)
        return buffer.getvalue()


def _input_errors(node: Mapping[str, Any], inputs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the errors of a node's inputs, as `validate_inputs` does."""
    for name, spec in node["input"]["required"].items():
        about = spec[1] if len(spec) > 1 else {}
        choices = spec[0] if isinstance(spec[0], list) else about.get("options")
        if name not in inputs:
            yield _error("required_input_missing", "Required input is missing", name, name)
            continue
        value = inputs[name]
        if isinstance(value, list):
            continue
        if kind := _TYPES.get(str(spec[0])):
            try:
                value = kind(value)
            except ValueError as error:
                message = f"Failed to convert an input value to a {spec[0]} value"
                yield _error("invalid_input_type", message, f"{name}, {value}, {error}", name)
                continue
        if choices and value not in choices:
            yield _error("value_not_in_list", "Value not in list", f"{name}: {value!r} not in {choices}", name)
        elif "min" in about and value < about["min"]:
            yield _error("value_smaller_than_min", f"Value {value} smaller than min of {about['min']}", name, name)


def _error(kind: str, message: str, details: str, name: str) -> dict[str, Any]:
    return {"type": kind, "message": message, "details": details, "extra_info": {"input_name": name}}
