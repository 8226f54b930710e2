"""The options of one command: which cells it is about, and what it may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for; None means that the project's config decides.

    - `select` names specs, images, cells or outputs; `tags` are tags of images; `where` holds conditions such as
      `axis=glob`. Empty: all cells. `exclude` names what is left out. `picked` chooses only starred cells.
    - `shard` is (number, count): build only part `number` (from 1) of `count` equal parts.
    - `variables` are texts `name=value`: values of template variables. `profile` names a profile of the config.
    - `provider`, `region`, `interface` and `remote` replace the config's values of these names.
    - `executor` is where free images are made: `dask=ADDRESS`, `dask=local`, or `local` for this machine alone.
    - `jobs` is how many renders run at once; `max_renders` how many new ones a build may have.
    - `max_cost` is the most that a build may spend, in CNY.
    - `fail_fast` stops at the first image that fails.
    - `force` renders again even if the image exists; `overwrite` replaces edited files.
    - `resubmit` sends a request again although it may have been billed.
    - `retry_failed` sends a request again although the service's moderation refused it, or its image has another size.
    - `accept_size` takes images of another size than asked for.
    - `detach` leaves accepted requests at the service; a later build collects them. The sync interface accepts a
      request only by making its image, so nothing but the download is left.
    - `all_errors` tells all problems of an image in full, not only the first twenty.
    - `strict` fails if the plan has remarks about specs and templates.
    - `locked` fails if the lock would change; `relock` renders images that the lock pins and nobody has.
    """

    select: Sequence[str] = ()
    tags: Sequence[str] = ()
    where: Sequence[str] = ()
    exclude: Sequence[str] = ()
    picked: bool = False
    shard: tuple[int, int] | None = None
    variables: Sequence[str] = ()
    profile: str | None = None
    provider: str | None = None
    region: str | None = None
    interface: str | None = None
    executor: str | None = None
    jobs: int | None = None
    fail_fast: bool = False
    force: bool = False
    overwrite: bool = False
    resubmit: bool | None = None
    retry_failed: bool = False
    accept_size: bool = False
    detach: bool = False
    locked: bool = False
    relock: bool = False
    remote: str | None = None
    max_renders: int | None = None
    max_cost: Decimal | None = None
    all_errors: bool = False
    strict: bool = False

    @property
    def is_selecting(self) -> bool:
        """Whether these options choose cells by their names, tags, values or stars."""
        return bool(self.select or self.tags or self.where or self.exclude or self.picked)

    @property
    def is_partial(self) -> bool:
        """Whether these options select only some of the project's cells."""
        return self.is_selecting or self.shard is not None

    def or_else(self, **values: Any) -> Self:
        """Return these options with `values` in place of None and of empty texts."""
        return replace(self, **{name: value for name, value in values.items() if getattr(self, name) in (None, "")})
