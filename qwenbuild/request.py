"""Requests: everything that changes pixels, the action key, and submissions.

Two requests have the same key exactly if they are equal. Within one key schema, the key of a request never changes;
tests hold golden keys.

Images of earlier key schemas are still found: a request also computes its older keys, and a plan uses the key under
which an image is recorded.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring as _text  # writes a string as canonical JSON does
from typing import Any, NamedTuple

from .candidates import Search
from .digest import sha256
from .emulation import FACT, emulated_key
from .parameters import recorded

KEY_SCHEMA = 1

SEED_MAX = 2_147_483_647
"""Largest seed of the service (qwen-image API reference, 2026-02: `seed`)."""

RANDOM_SEED = -1
"""In a request: the seed is drawn when the request is sent. Until then, `label` is the name of the cell."""

_CONTROL = bytes({*range(32)} - {ord("\n")})
_SIZE = re.compile(r"([1-9][0-9]{0,5})[*xX×]([1-9][0-9]{0,5})", re.ASCII)


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        """Return the size as names and paths show it: `1328x1328`."""
        return f"{self.width}x{self.height}"

    @property
    def wire(self) -> str:
        """The size as the service writes it: `1328*1328`."""
        return f"{self.width}*{self.height}"

    @property
    def ratio(self) -> str:
        """The reduced aspect ratio, such as `1:1` or `52:29`."""
        divisor = math.gcd(self.width, self.height)
        return f"{self.width // divisor}:{self.height // divisor}"

    @classmethod
    def parse(cls, text: str) -> Size | None:
        """Return the size that is written as `1328*1328` or `1328x1328`; None for any other text."""
        match = _SIZE.fullmatch(text)
        return cls(int(match[1]), int(match[2])) if match else None


_KINDS = (str, str, str, str, Size, int, bool, bool, str, str)  # of the fields of a request


class Request(NamedTuple):
    """One concrete text-to-image request.

    `family` is the provider family, such as "dashscope" or "draft-1". `seed` is 0 to `SEED_MAX`. `negative_prompt` may
    be empty. `label` is a text that the provider draws into the image: drafts show the cell's name. Most providers draw
    none: then `label` is empty and not part of the key, unless the seed is `RANDOM_SEED`. `parameters` are the vendor
    parameters as canonical JSON (see `parameters`); without any it is empty and not part of the key.
    """

    family: str
    model: str
    prompt: str
    negative_prompt: str
    size: Size
    seed: int
    prompt_extend: bool
    watermark: bool
    label: str = ""
    parameters: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the request as a JSON-ready table, the form in keys, provenance and state."""
        fields: dict[str, Any] = {
            "family": self.family,
            "model": self.model,
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "size": self.size.wire,
            "seed": self.seed,
            "prompt_extend": self.prompt_extend,
            "watermark": self.watermark,
        }
        if self.label:
            fields["label"] = self.label
        if self.parameters:
            fields["parameters"] = json.loads(self.parameters)
        return fields

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Request:
        """Return the request of such a table; raises ValueError or KeyError for any other table."""
        size = Size.parse(str(fields["size"]))
        if size is None:
            raise ValueError(f"not a size: {fields['size']!r}")
        fields = {**fields, "size": size}
        if "parameters" in fields:
            fields["parameters"] = recorded(fields["parameters"])
        try:
            request = cls(**fields)
        except TypeError as error:
            raise ValueError(f"not a request: {error}") from None
        if wrong := [
            name for name, value, kind in zip(cls._fields, request, _KINDS, strict=True) if type(value) is not kind
        ]:
            raise ValueError(f"not a request: {wrong[0]} has the wrong type")
        return request

    @property
    def key(self) -> str:
        """The action key: SHA-256 of the canonical JSON of schema and fields, 64 hex digits.

        Raises UnicodeEncodeError if a text contains unpaired surrogates.
        """
        # Equals `sha256(canonical_json({"schema": KEY_SCHEMA, **self.as_dict()}))`. Row template-edit takes 15 % less.
        family, model, prompt, negative_prompt, size, seed, prompt_extend, watermark, label, parameters = self
        before, after = _around(
            KEY_SCHEMA, family, model, negative_prompt, size, prompt_extend, watermark, label, parameters
        )
        return sha256(b"".join((before, _inside(prompt), after % seed)))

    @property
    def older_keys(self) -> list[str]:
        """The keys of this request in earlier key schemas, the latest schema first."""
        return [key for make in OLDER_KEYS if (key := make(self))]


@lru_cache(maxsize=64)  # most cells of an image share these fields
def _around(
    schema: int, family: str, model: str, negative_prompt: str, size: Size, prompt_extend: bool, watermark: bool,
    label: str, parameters: str,
) -> tuple[bytes, bytes]:  # fmt: skip
    """Return the canonical JSON before and after the characters of the prompt; `%d` stands for the seed."""
    labelled = f'"label":{_text(label)},' if label else ""
    extra = f'"parameters":{parameters},' if parameters else ""
    before = (
        f'{{"family":{_text(family)},{labelled}"model":{_text(model)},'
        f'"negative_prompt":{_text(negative_prompt)},{extra}"prompt":"'
    )
    after = (
        f'","prompt_extend":{"true" if prompt_extend else "false"},"schema":{schema},"seed":%d,'
        f'"size":"{size.wire}","watermark":{"true" if watermark else "false"}}}'
    )
    return before.encode(), after.encode()


def _inside(text: str) -> bytes:
    """Return `_text(text)` without its quotes, encoded. Three passes in C take half as long as one pass of `_text`."""
    content = text.encode()
    if len(content.translate(None, _CONTROL)) < len(content):
        return _text(text)[1:-1].encode()
    return content.replace(b"\\", rb"\\").replace(b'"', rb"\"").replace(b"\n", rb"\n")


OLDER_KEYS: Sequence[Callable[[Request], str | None]] = ()
"""Functions that compute keys of earlier key schemas, the latest schema first.

A function returns None for a request that its schema could not express. Whoever adds a schema adds the previous
schema's function here, and keeps its golden keys. The present schema is the first.
"""


@dataclass(frozen=True, slots=True)
class Submission:
    """The record of a request that was sent or was about to be sent.

    With `handle` (such as a task id) the provider collects the image. `handle` is empty while it is unknown whether the
    service accepted the request. `context` is JSON-ready; only the provider reads it. `intended_at_s` is in seconds
    since the epoch. `forced`: the image replaces an existing one.

    `uid` names the submission in the ledger and in the project's state; it is empty if the submission costs nothing.
    `project` is the folder of the project that sent it, `cell` the name of the cell. `is_held`: a living process
    works on it. `elsewhere` names the account that made it, if the present account is another one. `search` is what the
    service's list of tasks said last about a lost answer. `expires_at_s` is when the service forgets the result, None
    if unknown.
    """

    id: int
    key: str
    request: Request
    provider: str
    handle: str
    context: Mapping[str, Any]
    intended_at_s: float
    forced: bool = False
    uid: str = ""
    project: str = ""
    cell: str = ""
    is_held: bool = False
    elsewhere: str = ""
    search: Search | None = None
    expires_at_s: float | None = None

    @property
    def task_id(self) -> str:
        """The id of the service's task; empty if it is unknown, or if the request made no task."""
        kind, _, name = self.handle.partition(":")
        return name if kind == "task" else ""

    @property
    def emulated_by(self) -> str:
        """The address of the emulator that accepted the request, empty if it was no emulator."""
        return str(self.context.get(FACT, ""))

    @property
    def image_keys(self) -> Sequence[str]:
        """The keys under which the store may have the image. If the answer was lost, an emulator may have made it."""
        if self.emulated_by:
            return [emulated_key(self.key, self.emulated_by)]
        return [self.key, *(emulated_key(self.key, f"{it}://{self.context.get('host')}") for it in ("http", "https"))]


def derived_seed(name: str) -> int:
    """Return the seed of an image that states no seed. It depends on the image's `name` (`spec/image`) alone."""
    return int(sha256(name.encode())[:8], 16) & SEED_MAX
