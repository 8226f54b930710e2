"""The pairs of a report: for each cell, the image of another build or revision beside the present one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qwenbuild.plan.comparison import Comparison
from qwenbuild.problems import Problem, listing, visible
from qwenbuild.storage.store import Store


@dataclass(frozen=True, slots=True)
class Pairs:
    """The earlier images by output path, ready for JSON, and the files that have them by digest.

    `label` says what the other side is, such as `build 12`; empty if a report compares nothing. `dropped` counts
    outputs that are only on the other side. `lacking` names the cells whose earlier image the store does not have.
    """

    label: str = ""
    earlier: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    files: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    dropped: int = 0
    lacking: Sequence[str] = ()

    @classmethod
    def of(cls, compared: Comparison, requests: Mapping[str, Mapping[str, Any] | None], store: Store) -> Pairs:
        """Return the pairs of a comparison; `requests` has the requests of the old side by key, None if unknown."""
        earlier: dict[str, Mapping[str, Any]] = {}
        files: dict[str, Sequence[Path]] = {}
        lacking = []
        for it in compared.differences:
            if it.old is None or it.new is None or it.old.image == it.new.image:
                continue
            place = store.blob_path(it.old.image)
            if not place.exists():
                lacking.append(it.name)
                continue
            files[it.old.image] = [place]
            earlier[it.path] = {
                "image": it.old.image, "key": it.old.key, "at_s": None, "request": requests.get(it.old.key),
                "label": compared.old.label,
            }  # fmt: skip
        return cls(compared.old.label, earlier, files, compared.counts["dropped"], lacking)

    def marked(self, model: dict[str, Any]) -> dict[str, Any]:
        """Return a gallery's model in which each cell with an earlier image names that one as `before`."""
        if not self.label:
            return model
        cells = [
            {**cell, "before": self.earlier[cell["path"]]["image"]} if cell["path"] in self.earlier else cell
            for cell in model["cells"]
        ]
        return {**model, "cells": cells, "compared": {"label": self.label, "dropped": self.dropped}}

    @property
    def warnings(self) -> list[Problem]:
        """Say which earlier images are not here."""
        if not self.lacking:
            return []
        is_one = len(self.lacking) == 1
        what, are, them = ("1 image", "is", "it") if is_one else (f"{len(self.lacking):,} images", "are", "them")
        claim = f"{what} of {visible(self.label)} {are} not in the store: the report does not show {them}"
        return [Problem(claim, facts=[listing(self.lacking)], name="image-not-here")]
