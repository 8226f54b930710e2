"""Answers: the image that a server's answer holds, or the error that the answer means.

All of it is a stranger's: any value may have another type, and is then taken for none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from qwenbuild.errors import (
    AccountError,
    ModelRefused,
    ProviderError,
    Refused,
    ServiceFault,
    Throttled,
    Unreachable,
)

from ..server_client import Answer
from .dialects import Dialect

_LONGEST: Final = 400  # characters of what a server says
_DEEPEST: Final = 5  # tables within tables
_MOST: Final = 5  # faults of a request that a message shows
_NO_MODEL: Final = re.compile("mismatch|not found|not exist|unknown|no such", re.IGNORECASE)
_NO_ROUTE: Final = ("Not Found", "Not found", "404 page not found", "File Not Found")


class Stranger(Unreachable):
    """What answers is no server of the dialect. Another attempt at the same server changes nothing."""


class Reader:
    """Reads the answers of one server. `hide` masks the token in what it says."""

    def __init__(self, dialect: Dialect, origin: str, hide: Callable[[str], str]) -> None:
        self._dialect, self._origin, self._hide = dialect, origin, hide

    def image(self, answer: Answer, model: str) -> str:
        """Return the image in an answer to a request for one of a model, in base64. Raises ProviderError."""
        self.check(answer, model)
        for item in _list(_table(answer.body).get("data")):
            if isinstance(text := _table(item).get("b64_json"), str) and text:
                return text
            if _table(item).get("url"):
                raise Refused(
                    f"{self._origin} answered with a link, not with the image",
                    facts=["it was asked for b64_json, so that the image is part of the answer"],
                    hint=f'does it speak {self._dialect.title}? dialect = "…" under [providers.images] says what it is',
                    name="not-the-service",
                )
        raise self.without_image(answer)

    def without_image(self, answer: Answer) -> ProviderError:
        """Return the error that a success holds no image."""
        facts = [f"status {answer.status}", f"it says: {answer.excerpt}"] if answer.excerpt else ["the answer is empty"]
        return ServiceFault(f"{self._origin} answered without an image", facts=facts)

    def check(self, answer: Answer, model: str) -> None:
        """Raise the ProviderError that an answer means, unless it is a success."""
        status, said = answer.status, self.said(answer)
        facts = [f"status {status}", *([f"it says: {said}"] if said else [])]
        if answer.location and 300 <= status < 400:
            facts = [f"it leads to {answer.location}"]
            raise self._stranger(f"{self._origin} redirects to another address, which was not followed", facts)
        if answer.is_page:
            raise self._stranger(f"{self._origin} answers with a web page", [f"status {status}"])
        if 200 <= status < 300:
            if answer.body is None:
                raise self.without_image(answer)
            return
        if status in (404, 405) and (not said or said in _NO_ROUTE or status == 405):
            raise self._stranger(f"{self._origin} has no address for images", facts)
        raise self._refused(answer, model, said, facts)

    def _refused(self, answer: Answer, model: str, said: str, facts: list[str]) -> ProviderError:
        status, title = answer.status, self._dialect.title
        match status:
            case 401 | 403:
                claim = f"{self._origin} refuses the token"
                hint = "token_env under [providers.images] names the variable with the token"
                return AccountError(claim, facts=facts, hint=hint, name="api-key-refused")
            case 400 | 404 if model and model in said and _NO_MODEL.search(said):
                hint = "`qwenbuild doctor` shows which models it serves"
                claim = f'{self._origin} does not serve "{model}"'
                return ModelRefused(claim, facts=facts, hint=hint, name="model-not-offered")
            case 429:
                claim = f"{self._origin} has a full queue"
                return Throttled(claim, facts=facts, retry_after_s=answer.retry_after_s)
            case 503:
                claim = f"{self._origin} is busy, or still loads its model"
                return Throttled(claim, facts=facts, retry_after_s=answer.retry_after_s)
            case _ if status >= 500:
                advice = "the GPU has too little memory: a smaller size, or fewer requests at once, need less"
                is_full = "out of memory" in said.lower()
                return ServiceFault(f"{self._origin} failed", facts=facts, hint=advice if is_full else None)
        return Refused(f"{title} at {self._origin} refuses the request", facts=facts, name="request-refused")

    def _stranger(self, claim: str, facts: list[str]) -> Stranger:
        dialect = self._dialect
        hint = f"is base_url right, and does it speak {dialect.title}? Usual is {dialect.address}"
        return Stranger(claim, facts=facts, hint=hint, code="stranger", name="not-the-service")

    def said(self, answer: Answer) -> str:
        """Return what a server says about an error, in one line and masked; empty if it says nothing."""
        found = "; ".join(_words(answer.body)) or ("" if answer.body is not None else answer.excerpt)
        text = self._hide(" ".join(found.split()))
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _words(body: Any, depth: int = 0) -> Iterator[str]:
    """Yield what an error says: `detail`, `message` or `error`, in the forms of FastAPI and of OpenAI."""
    table = _table(body)
    for name in ("detail", "error", "message"):
        match table.get(name):
            case str() as text if text:
                yield text
            case dict() as inner if depth < _DEEPEST:
                yield from _words(inner, depth + 1)
            case list() as several:
                for each in several[:_MOST]:
                    where = ".".join(str(part) for part in _list(_table(each).get("loc")) if part != "body")
                    yield ": ".join(filter(None, (where, str(_table(each).get("msg") or ""))))


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
