"""The command `trust`: shows what a project asks for, and records what the user approves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from qwenbuild.errors import UsageError


@click.command(short_help="Approve what this project asks for: servers, secrets, links, prices.")
@click.option("--yes", is_flag=True, help="Approve everything without a question.")
@click.option("--revoke", is_flag=True, help="Take all approvals of this project back.")
@click.pass_obj
def trust(project: Path, /, yes: bool, revoke: bool) -> None:
    """Show what this project asks for that only you may allow, and approve it.

    \b
    qwenbuild trust
    qwenbuild trust --yes

    That are servers that get a secret, remote caches, links out of the project, prices below the catalogue's, and
    folders of other users. The approval is kept in your own config, for this folder. Only what is new or changed
    asks again. In CI, set QWENBUILD_TRUST_PROJECT=1 or give --trust-project.
    """
    from qwenbuild.engine.trusting import wishes
    from qwenbuild.specs import approvals
    from qwenbuild.terminal import trust_view

    found = wishes(project, os.environ)
    if revoke:
        path = approvals.revoke(found.root)
        click.echo(f"{'revoked':>10}  all approvals of {found.root}, in {path}")
        return
    trust_view.show(found.root, found.approved, found.new)
    if not found.new:
        return
    if not yes:
        if not (sys.stdin and sys.stdin.isatty()):
            raise UsageError(
                "nobody can be asked: standard input is no terminal",
                hint="`qwenbuild trust --yes` approves all of this; --trust-project allows it for one command",
                name="nobody-to-ask",
            )
        if not click.confirm("Approve this?", err=True):
            click.echo("nothing was approved", err=True)
            sys.exit(1)
    path = approvals.record(found.root, found.new)
    click.echo(f"{'approved':>10}  {len(found.new)} more, in {path}")
