"""Same images: notices that a server makes the same picture for different seeds, and tells it once.

Then the seed does not reach the model, and a sweep over seeds is a row of copies.
"""

from __future__ import annotations

from collections.abc import Sequence

from qwenbuild.digest import sha256
from qwenbuild.files.png_chunks import chunks
from qwenbuild.problems import Problem
from qwenbuild.request import Request


def pixels_of(png: bytes) -> str:
    """Return a digest of a PNG's pixel data, which no text chunk changes. Raises BadImage."""
    return sha256(b"".join(chunk.body for chunk in chunks(png) if chunk.kind in (b"PLTE", b"IDAT")))


class SameImages:
    """The pictures of one session. `maker` is who makes them, and `hint` says what may be wrong there."""

    def __init__(self, maker: str, hint: str) -> None:
        self._maker, self._hint = maker, hint
        self._seen: dict[str, tuple[int, str]] = {}  # (seed, pixels) by the key of the request without its seed
        self._is_told = False

    def warnings(self, request: Request, pixels: str) -> Sequence[Problem]:
        """Return a warning if another seed of the same request gave the same `pixels`; only once."""
        seed, before = self._seen.setdefault(request._replace(seed=0).key, (request.seed, pixels))
        if self._is_told or seed == request.seed or pixels != before:
            return []
        self._is_told = True
        return [
            Problem(
                f"{self._maker} made the same image for different seeds",
                facts=[f"seeds: {seed} and {request.seed}", f"model: {request.model}"],
                hint=self._hint,
                name="same-image",
            )
        ]
