"""The bodies of requests: the service's own validation, from JSON to an order for images.

- A prompt that is too long is cut silently, as the service does (API reference 2026-02: `text`,
  `negative_prompt`). All other errors are refused in the service's words.
- Fields that the service ignores are ignored, because the vendor's SDK sends some. Parameters that the API reference
  does not name are ignored, too, but the bill shows them.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qwenbuild.catalogue import Catalogue, Model
from qwenbuild.digest import canonical_json, sha256
from qwenbuild.parameters import as_text
from qwenbuild.request import SEED_MAX, Request, Size

from .vendor_errors import NO_ASYNC, NO_SYNC, Refusal

_KNOWN = ("size", "n", "seed", "negative_prompt", "prompt_extend", "watermark")  # parameters of the API reference
_REWRITE = (
    "Photorealistic composition: ",
    " Soft natural lighting, crisp focal point, harmonious palette, fine detail throughout, ultra-realistic style.",
)


@dataclass(frozen=True, slots=True)
class Order:
    """A valid request: `count` images of `size`, the first of them drawn from `seed`.

    `orig_prompt` is the prompt as the client sent it. `prompt` and `negative_prompt` are cut to the
    model's limits. `actual_prompt` is the rewritten prompt, or empty if `prompt_extend` is off.
    `seed_sent` is False if the seed was chosen here at random. `others` are the parameters that the API reference does
    not name.
    """

    interface: str
    model: str
    orig_prompt: str
    prompt: str
    actual_prompt: str
    negative_prompt: str
    size: Size
    seed: int
    seed_sent: bool
    prompt_extend: bool
    watermark: bool
    count: int
    others: Mapping[str, Any] = field(default_factory=dict)

    def wire(self) -> dict[str, Any]:
        """Return the order under the wire's field names. Equal requests give equal dicts."""
        return {
            "model": self.model,
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "size": self.size.wire,
            "seed": self.seed if self.seed_sent else None,
            "prompt_extend": self.prompt_extend,
            "watermark": self.watermark,
            "n": self.count,
            **({"parameters": self.others} if self.others else {}),
        }

    @property
    def digest(self) -> str:
        """SHA-256 of `wire()`. A request that is sent twice has the same digest both times."""
        return sha256(canonical_json(self.wire()))

    def request(self, family: str, index: int) -> Request:
        """Return the request that draws image `index` (from 0), for the provider family `family`."""
        return Request(
            family=family, model=self.model, prompt=self.actual_prompt or self.prompt,
            negative_prompt=self.negative_prompt, size=self.size, seed=(self.seed + index) % (SEED_MAX + 1),
            prompt_extend=self.prompt_extend, watermark=self.watermark, parameters=as_text(self.others),
        )  # fmt: skip


def json_body(content: bytes) -> Mapping[str, Any]:
    """Return the body of a POST; raises Refusal if it is not a JSON object."""
    try:
        body = json.loads(content)
        # Python's JSON has unpaired surrogates, NaN and infinities. UTF-8 and canonical JSON have none.
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise Refusal("BadRequest.IllegalInput") from None
    if not isinstance(body, dict):
        raise Refusal("BadRequest.IllegalInput")
    return body


def read_order(body: Mapping[str, Any], interface: str, catalogue: Catalogue) -> Order:
    """Return the order in `body`, sent to the "sync" or the "async" interface; raises Refusal."""
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise Refusal("BadRequest.EmptyModel")
    model = catalogue.models.get(name)
    if model is None:
        raise Refusal("ModelNotFound")
    if interface not in model.interfaces:
        raise Refusal("AccessDenied", NO_SYNC if interface == "sync" else NO_ASYNC)
    fields = body.get("input")
    if not isinstance(fields, dict) or not fields:
        raise Refusal("BadRequest.EmptyInput")
    parameters = body.get("parameters")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        raise Refusal("InvalidParameter", "parameters must be an object.")

    text = _message_text(fields) if interface == "sync" else _prompt(fields)
    negative = _negative_prompt(fields if interface == "async" else {}, parameters)
    extend = _flag(parameters, "prompt_extend", default=True)
    seed = _seed(parameters)
    prompt = text[: model.prompt_limit]
    return Order(
        interface=interface,
        model=name,
        orig_prompt=text,
        prompt=prompt,
        actual_prompt=f"{_REWRITE[0]}{prompt}{_REWRITE[1]}" if extend else "",
        negative_prompt=negative[: model.negative_prompt_limit],
        size=_size(parameters, model),
        seed=secrets.randbelow(SEED_MAX + 1) if seed is None else seed,
        seed_sent=seed is not None,
        prompt_extend=extend,
        watermark=_flag(parameters, "watermark", default=False),
        count=_count(parameters, model),
        others={name: value for name, value in parameters.items() if name not in _KNOWN},
    )


def _message_text(fields: Mapping[str, Any]) -> str:
    messages = fields.get("messages")
    if not isinstance(messages, list) or len(messages) != 1 or not isinstance(messages[0], dict):
        raise Refusal("InvalidParameter", "messages must contain exactly one message: only single-turn is supported.")
    if messages[0].get("role") != "user":
        raise Refusal("InvalidParameter", "Role must be user.")
    content = messages[0].get("content")
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise Refusal("InvalidParameter", "content must be a list of objects.")
    texts = [part["text"] for part in content if "text" in part]
    if len(texts) != 1 or len(content) != 1:
        raise Refusal("InvalidParameter", "content must contain exactly one text.")
    if not isinstance(texts[0], str) or not texts[0]:
        raise Refusal("InvalidParameter", "text must be a non-empty string.")
    return texts[0]


def _prompt(fields: Mapping[str, Any]) -> str:
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise Refusal("InvalidParameter", "prompt must be a non-empty string.")
    return prompt


def _negative_prompt(fields: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """Return the negative prompt, "" for none.

    For the async interface, the reference's table puts it into `input`, its curl example into `parameters`.
    """
    negative = fields.get("negative_prompt")
    if negative is None:
        negative = parameters.get("negative_prompt")
    if negative is None:
        return ""
    if not isinstance(negative, str):
        raise Refusal("InvalidParameter", "negative_prompt must be a string.")
    return negative


def _size(parameters: Mapping[str, Any], model: Model) -> Size:
    text = parameters.get("size")
    if text is None:
        return model.default_size
    # `1328x1328` and ratio names are qwenbuild's own notations. The wire knows only `width*height`.
    size = Size.parse(text) if isinstance(text, str) and "*" in text else None
    if size is None:
        raise Refusal("InvalidParameter", f'size must be in the format of "width*height", got {json.dumps(text)}.')
    if model.sizes and size not in model.sizes:
        known = ", ".join(known.wire for known in model.sizes)
        raise Refusal("InvalidParameter", f"size must be one of {known}.")
    low, high = model.pixels
    if not model.sizes and not low <= size.width * size.height <= high:
        raise Refusal("InvalidParameter", f"the total pixels of size must be between {low} and {high}.")
    if model.most_ratio and max(size.width, size.height) > model.most_ratio * min(size.width, size.height):
        most = model.most_ratio
        raise Refusal("InvalidParameter", f"the ratio of size must be between 1:{most} and {most}:1.")
    return size


def _seed(parameters: Mapping[str, Any]) -> int | None:
    seed = parameters.get("seed")
    if seed is None:
        return None
    if type(seed) is not int or not 0 <= seed <= SEED_MAX:
        raise Refusal("InvalidParameter", f"seed must be an integer between 0 and {SEED_MAX}.")
    return seed


def _count(parameters: Mapping[str, Any], model: Model) -> int:
    count = parameters.get("n")
    if count is None:
        return 1
    # These models draw up to six images a request (model pages, mid-2026; 3.0: third parties), all others one.
    most = 6 if model.name.startswith(("qwen-image-2.0", "qwen-image-3.0")) else 1
    if type(count) is not int or not 1 <= count <= most:
        raise Refusal(
            "InvalidParameter", "num_images_per_prompt must be 1" if most == 1 else f"n must be between 1 and {most}."
        )
    return count


def _flag(parameters: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = parameters.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise Refusal("InvalidParameter", f"{key} must be a boolean.")
    return value
