"""A request is exactly what changes pixels; its action key is the content hash that everything else hangs on.

Invariants: a request is frozen; two requests have the same key exactly when they are equal; the
key of a given request never changes within a key schema (golden keys are tested).

What was rendered under an earlier key schema is found as ever: a request also knows the keys that
earlier schemas gave it, and keeps the one that it is on record by (see `plan.with_known_keys`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring as _text  # a string as canonical JSON has it
from typing import Any, NamedTuple

from .digest import sha256

KEY_SCHEMA = 1

SEED_MAX = 2_147_483_647
"""Largest seed of the service (qwen-image API reference, 2026-02: `seed`)."""

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
        """The size as the service wants it: `1328*1328`."""
        return f"{self.width}*{self.height}"

    @property
    def ratio(self) -> str:
        """The reduced aspect ratio, such as `1:1` or `52:29`."""
        divisor = math.gcd(self.width, self.height)
        return f"{self.width // divisor}:{self.height // divisor}"

    @classmethod
    def parse(cls, text: str) -> Size | None:
        """Return the size written as `1328*1328` or `1328x1328`, None where `text` is neither."""
        match = _SIZE.fullmatch(text)
        return cls(int(match[1]), int(match[2])) if match else None


class Request(NamedTuple):
    """One concrete text-to-image request.

    `family` is the provider family that makes the pixels ("dashscope", "draft-1"), `seed` is 0 to
    `SEED_MAX`, `negative_prompt` is empty for none. `label` is text that the provider draws into
    the image beside the prompt's own (drafts show their cell's name); it is empty, and no part of
    the key, for every provider that draws none.
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

    def as_dict(self) -> dict[str, Any]:
        """Return the request as JSON-ready fields, as keys, provenance and state hold it."""
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
        return fields

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Request:
        """Return the request that `as_dict` gave; raises ValueError or KeyError for anything else."""
        size = Size.parse(str(fields["size"]))
        if size is None:
            raise ValueError(f"not a size: {fields['size']!r}")
        try:
            return cls(**{**fields, "size": size})
        except TypeError as error:
            raise ValueError(f"not a request: {error}") from None

    @property
    def key(self) -> str:
        """The action key: SHA-256 of the canonical JSON of schema and fields, 64 hex digits.

        Raises UnicodeEncodeError where a text holds unpaired surrogates.
        """
        # `canonical_json({"schema": KEY_SCHEMA, **self.as_dict()})`, eight times as fast: plans make 100,000 of them.
        family, model, prompt, negative_prompt, size, seed, prompt_extend, watermark, label = self
        before, after = _around(KEY_SCHEMA, family, model, negative_prompt, size, prompt_extend, watermark, label)
        return sha256(b"".join((before, _inside(prompt), after % seed)))

    @property
    def older_keys(self) -> list[str]:
        """The keys that earlier schemas gave this request, the latest first."""
        return [key for make in OLDER_KEYS if (key := make(self))]


@lru_cache(maxsize=64)  # most cells of an image have these fields in common
def _around(
    schema: int, family: str, model: str, negative_prompt: str, size: Size, prompt_extend: bool, watermark: bool,
    label: str,
) -> tuple[bytes, bytes]:  # fmt: skip
    """Return the canonical JSON before and after the prompt's own characters; `%d` stands for the seed."""
    labelled = f'"label":{_text(label)},' if label else ""
    before = (
        f'{{"family":{_text(family)},{labelled}"model":{_text(model)},'
        f'"negative_prompt":{_text(negative_prompt)},"prompt":"'
    )
    after = (
        f'","prompt_extend":{"true" if prompt_extend else "false"},"schema":{schema},"seed":%d,'
        f'"size":"{size.wire}","watermark":{"true" if watermark else "false"}}}'
    )
    return before.encode(), after.encode()


def _inside(text: str) -> bytes:
    """Return what `_text` does between its quotes, encoded: three passes in C take half of the time of its one."""
    content = text.encode()
    if len(content.translate(None, _CONTROL)) < len(content):
        return _text(text)[1:-1].encode()
    return content.replace(b"\\", rb"\\").replace(b'"', rb"\"").replace(b"\n", rb"\n")


OLDER_KEYS: Sequence[Callable[[Request], str | None]] = ()
"""How earlier key schemas made keys, the latest first; None for a request that a schema could not express.

A new schema adds the function of the one before, and its golden keys stay tested. This one is the first.
"""


@dataclass(frozen=True, slots=True)
class Submission:
    """A request that was, or was about to be, sent: what the journal holds of it.

    `handle` is what the provider can collect the image by (a task's id, a result's address),
    empty while nobody knows whether the service accepted the request. `context` is JSON-ready
    and the provider's own. `intended_at_s` is in seconds since the epoch. `forced` says that it
    is to replace an image that is there.
    """

    id: int
    key: str
    request: Request
    provider: str
    handle: str
    context: Mapping[str, Any]
    intended_at_s: float
    forced: bool = False


def derived_seed(name: str) -> int:
    """Return the seed of an image that states none: stable while its prompt is edited.

    `name` is the image's name, `spec/image`.
    """
    return int(sha256(name.encode())[:8], 16) & SEED_MAX
