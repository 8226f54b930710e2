"""The nouns of the ledger: an intent, a row, and what may stand in the way of a claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, NamedTuple

from qwenbuild.request import Request

ENVIRON: Final = "QWENBUILD_LEDGER_DIR"
"""The environment variable that names the folder of the ledger."""

ASSUMED: Final = "price_assumed"
"""The name in a row's context that is true if nobody knows the price, and the row has an assumed one."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A request that is about to be sent, and that may cost money.

    `context` comes from the provider and is JSON-ready. Its `host`, `region` and `interface` have columns of their own.
    Its `account` differs between API keys; the ledger keeps only a keyed digest of it. `replaces` is the uid of
    the open submission that this one replaces, empty for none.
    """

    key: str
    request: Request
    provider: str
    project: str
    cell: str
    context: Mapping[str, Any] = field(default_factory=dict)
    forced: bool = False
    price: Decimal | None = None
    currency: str = ""
    replaces: str = ""


class Row(NamedTuple):
    """A submission on record. Times are in seconds since the epoch. An empty `price` is unknown."""

    id: int
    uid: str
    key: str
    request: str
    project: str
    cell: str
    provider: str
    account: str
    context: str
    claimant: str
    forced: int
    price: str
    currency: str
    handle: str
    intended_at_s: float
    settled_at_s: float | None
    outcome: str | None
    refusal: str | None
    search: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """A living process has claimed the key."""

    row: Row


@dataclass(frozen=True, slots=True)
class Left:
    """A process that died, or detached, left the key's submission open."""

    row: Row


@dataclass(frozen=True, slots=True)
class Stored:
    """The image is in the store: somebody else rendered it meanwhile."""


Claim = Row | Held | Left | Stored
"""What `Ledger.intend` returns: the new row, or what stands in the way."""
