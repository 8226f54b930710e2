"""The commands of the lock: lock, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from qwenbuild.errors import LockError
from qwenbuild.noop_answers import LOCK_UP_TO_DATE
from qwenbuild.terminal import style

from ..arguments import engine_of, given, json_option, trust_option


@click.command(short_help="Pin each output to its bytes, so that others get the same images.")
@click.option("--check", is_flag=True, help="Write nothing; fail if a build would change the lock.")
@given
@trust_option
@click.pass_obj
def lock(project: Path, /, check: bool, **choices: Any) -> None:
    """Write qwenbuild.lock from the images that are there, without rendering. Every build writes it, too.

    \b
    qwenbuild lock             after a merge that left conflicts in the lock
    qwenbuild lock --check     in CI, and before a commit

    The lock pins each output to its bytes. Commit it: others then build exactly these bytes, or get an
    error if nobody has them.
    """
    from qwenbuild.storage.lock import NAME

    engine = engine_of(project, **choices)
    if check:
        engine.check_lock()
        click.echo(LOCK_UP_TO_DATE)
    else:
        wrote, lacking = engine.write_lock()
        click.echo(f"{'wrote':>10}  {NAME}" if wrote else LOCK_UP_TO_DATE)
        if lacking:
            click.echo(f"{style.outputs(lacking)} not pinned: no build has made what the specs declare now", err=True)


@click.command()
@json_option
@trust_option
@click.pass_obj
def verify(project: Path, /, as_json: bool) -> None:
    """Compare the output folder with the lock, byte by byte.

    \b
    qwenbuild verify
    qwenbuild verify --json | jq -r .path

    Reads only the lock and the images: no specs, no data, no store. Exits with 3 if an output is missing
    or differs. Images that the lock does not pin are listed, but are no error.
    """
    from qwenbuild.specs.project import find
    from qwenbuild.storage import verify as verification
    from qwenbuild.storage.lock import NAME, read
    from qwenbuild.terminal import verify_view

    found = find(project)
    path = found.root / NAME
    known = read(path)
    if known.theirs is not None:
        raise LockError(
            f"{NAME} holds conflicts of a merge", hint="`qwenbuild lock` resolves them", name="merge-conflict"
        )
    if not known.pins and not path.exists():
        raise LockError(f"no {NAME} here", hint="`qwenbuild build` writes it", name="no-lock")
    mismatches = list(verification.compare(known.pins.values(), found.out))
    strangers = verification.unpinned_images(known.pins.values(), found.out)
    emulated = sum(pin.emulated_by != "" for pin in known.pins.values())
    verify_view.show(len(known.pins), mismatches, strangers, as_json=as_json, emulated=emulated)
    sys.exit(LockError.exit_code if mismatches else 0)
