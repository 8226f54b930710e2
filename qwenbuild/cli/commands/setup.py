"""The commands that set up a machine and a project: doctor, init, schema, completion."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from ..arguments import PathFromProject, json_option, trust_option
from ..completion import SHELLS, script


@click.command(short_help="Check the environment, and say what to fix.")
@json_option
@trust_option
@click.pass_obj
def doctor(project: Path, /, as_json: bool) -> None:
    """Check what builds depend on: packages, fonts, store, disk, API key, service, clock, remote cache, project.

    \b
    qwenbuild doctor
    qwenbuild doctor --json | jq -r 'select(.level == "fail").hint'

    Changes nothing and spends nothing: it only asks the service for the account's tasks. Works without
    a project and without a network. Exits with 1 if something must be fixed.
    """
    from qwenbuild.engine.doctor import examine
    from qwenbuild.terminal import doctor_view

    sys.exit(doctor_view.show(examine(project, os.environ), as_json=as_json))


@click.command()
@click.argument("folder", type=PathFromProject(), default=Path())
def init(folder: Path) -> None:
    """Write a small project into FOLDER (default: here).

    \b
    qwenbuild init posters
    cd posters && qwenbuild build
    """
    from qwenbuild.engine import scaffold

    for name in scaffold.write(folder):
        click.echo(f"{'wrote':>10}  {folder / name}")
    into = "" if folder == Path() else f"cd {folder} && "
    click.echo(f"next: {into}qwenbuild build")


@click.command(short_help="Print the JSON Schema of specs, or of the config.")
@click.argument("which", type=click.Choice(["spec", "config"]), default="spec")
def schema(which: str) -> None:
    """Print the JSON Schema of the spec format (or of the config), for editors.

    \b
    qwenbuild schema > specs/spec.schema.json

    A spec that begins with `#:schema ./spec.schema.json` is completed by editors with Taplo or Tombi,
    such as VS Code (Even Better TOML) and Zed.
    """
    from qwenbuild.specs import project, spec

    table = spec.schema() if which == "spec" else project.schema()
    click.echo(json.dumps(table, indent=2, ensure_ascii=False))


@click.command(short_help="Print a script that completes commands, images and axes in a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that lets SHELL complete commands, options, specs, images, cells, axes and values.

    \b
    qwenbuild completion bash > ~/.local/share/bash-completion/completions/qwenbuild
    qwenbuild completion zsh > ~/.zfunc/_qwenbuild
    qwenbuild completion fish > ~/.config/fish/completions/qwenbuild.fish

    For bash, install the package bash-completion, or add `eval "$(qwenbuild completion bash)"` to
    ~/.bashrc. For zsh, ~/.zfunc must be in `fpath` before ~/.zshrc runs `compinit`.
    """
    click.echo(script(shell), nl=False)
