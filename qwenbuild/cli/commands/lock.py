"""Commands of the lock: lock, verify."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from qwenbuild.cli.arguments import engine_of, json_option
from qwenbuild.errors import LockError
from qwenbuild.terminal import console, style


@click.command(name="lock", short_help="Write what each output is made of, for others to get the same bytes.")
@click.option("--check", is_flag=True, help="Write nothing; fail where a build would change the lock.")
@click.pass_obj
def lock_command(project: Path, /, check: bool) -> None:
    """Write qwenbuild.lock from what is there, rendering nothing. Every build does it, too.

    \b
    qwenbuild lock             after a merge that left conflicts in it
    qwenbuild lock --check     in CI, and before a commit

    The lock pins each output to its bytes. Commit it: who builds then gets these bytes, or is told
    that nobody has them.
    """
    from qwenbuild.storage import lock

    engine = engine_of(project)
    if check:
        engine.check_lock()
        click.echo(f"up to date: {lock.NAME}")
    else:
        wrote, lacking = engine.write_lock()
        click.echo(f"{'wrote':>10}  {lock.NAME}" if wrote else f"up to date: {lock.NAME}")
        if lacking:
            click.echo(f"{style.outputs(lacking)} not pinned: no build has made what the specs ask for now", err=True)


@click.command()
@json_option
@click.pass_obj
def verify(project: Path, /, as_json: bool) -> None:
    """Compare the output folder with the lock, byte by byte.

    \b
    qwenbuild verify
    qwenbuild verify --json | jq -r .path

    Reads the lock and the images alone: no specs, no data, no store. Exits with 3 where an output
    is missing or differs; images that the lock does not know are named, and do no harm.
    """
    from qwenbuild.specs.project import find
    from qwenbuild.storage import lock
    from qwenbuild.storage import verify as verifying

    found = find(project)
    path = found.root / lock.NAME
    known = lock.read(path)
    if known.theirs is not None:
        raise LockError(f"{lock.NAME} holds conflicts of a merge", hint="`qwenbuild lock` resolves them")
    if not known.pins and not path.exists():
        raise LockError(f"no {lock.NAME} here", hint="`qwenbuild build` writes it")
    mismatches = list(verifying.compare(known.pins.values(), found.out))
    strangers = verifying.strangers(known.pins.values(), found.out)
    console.show_verified(len(known.pins), mismatches, strangers, as_json=as_json)
    sys.exit(LockError.exit_code if mismatches else 0)
