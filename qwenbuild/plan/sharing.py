"""Sharing: what a plan asks a remote cache for, and which steps the cache's images change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from qwenbuild.storage.action_result import Entry

from .emulation import AddressOf, keys_of, nowhere
from .plan import Step, Verdict

_LACKING = (Verdict.RENDER, Verdict.MISSING, Verdict.UNKNOWN, Verdict.FAILED)


def wanted(steps: Iterable[Step], address_of: AddressOf = nowhere) -> tuple[set[str], set[str]]:
    """Return what to ask a remote cache for: the keys, and the pinned digests, of images that nobody here has.

    The images of an emulator at a step's address will do as well.
    """
    steps = [step for step in steps if step.verdict in _LACKING]
    keys = {key for it in steps if not it.pinned for key in _keys(it, address_of(it.action))}
    return keys, {it.pinned for it in steps if it.pinned}


def _keys(step: Step, address: str) -> tuple[str, ...]:
    """Return the keys under which a remote cache may have a step's image, the best first."""
    return (step.action.key,) if step.action.emulated else keys_of(step.action.key, address)


def with_shared(steps: Iterable[Step], found: Mapping[str, Entry], address_of: AddressOf = nowhere) -> Iterator[Step]:
    """Yield the steps; those whose image a remote cache has become RESTORE.

    `found` has the cache's entries by the keys and digests that `wanted` returned.
    """
    first: dict[str, str] = {}
    for step in steps:
        names = (step.pinned,) if step.pinned else _keys(step, address_of(step.action))
        entry = next((found[name] for name in names if name in found), None)
        if entry is None or step.verdict not in _LACKING:
            yield step
            continue
        if entry.key not in ("", step.action.key):
            step = step._replace(action=step.action.made_by(address_of(step.action)))
        if not step.pinned and step.action.key in first:
            yield step._replace(verdict=Verdict.RESTORE, cause=f"same request as {first[step.action.key]}", price=None)
        else:
            first.setdefault(step.action.key, step.action.name)
            yield step._replace(
                verdict=Verdict.RESTORE, cause="in the remote cache", shared=entry, price=None, submission=None
            )
