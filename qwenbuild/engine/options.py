"""What one run of qwenbuild is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Options:
    """What one run of qwenbuild is asked for; None leaves the choice to the project's config.

    `select` names specs, images, cells or outputs; `where` holds `axis=glob` conditions, `shard` the
    number of a part of these, from 1, and how many parts there are. `jobs` is
    how many renders run at once, `max_cost` is in CNY. The rest are the command line's options of
    those names.
    """

    select: Sequence[str] = ()
    where: Sequence[str] = ()
    shard: tuple[int, int] | None = None
    provider: str | None = None
    region: str | None = None
    interface: str | None = None
    jobs: int | None = None
    fail_fast: bool = False
    force: bool = False
    overwrite: bool = False
    resubmit: bool | None = None
    detach: bool = False
    locked: bool = False
    relock: bool = False
    remote: str | None = None
    max_renders: int | None = None
    max_cost: Decimal | None = None
