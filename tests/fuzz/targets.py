"""All targets, by name."""

from __future__ import annotations

from . import answers, images, locks, pages, specs, templates

TARGETS = {
    target.name: target
    for target in (
        templates.TARGET, specs.SPEC_TARGET, specs.CONFIG_TARGET, locks.TARGET, images.TARGET, answers.TARGET,
        pages.REPORT_TARGET, pages.SERVER_TARGET,
    )
}  # fmt: skip
