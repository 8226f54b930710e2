"""The `qwenbuild` command with all its sub-commands, and the texts and exit codes of errors.

Exit codes: 0 everything is there, 1 some images failed, 2 usage or spec error, or a finding of `lint --strict`, 3 a
lock or verification mismatch. 128 and the number of a signal: interrupted by it, such as 130 by Ctrl-C (SIGINT); 141
(SIGPIPE) if the reader of the output has left, 129 (SIGHUP) if the terminal was closed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from qwenbuild.errors import QwenbuildError, UsageError
from qwenbuild.problems import Problem
from qwenbuild.terminal import style
from qwenbuild.terminal.outlet import is_closed_terminal, mute
from qwenbuild.version import __version__

from .arguments import Commands, with_colour
from .commands import build, cache, choose, history, lock, look, service, setup, sheet, trust
from .completion import folders


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-C", "--project", type=click.Path(path_type=Path), default=Path(), metavar="DIR", shell_complete=folders,
              help="Use the project in DIR (default: the one around the current folder). "
                   "All paths on the command line start in DIR.")  # fmt: skip
@click.version_option(__version__, "-V", "--version", message="qwenbuild %(version)s")
@click.pass_context
def main(ctx: click.Context, project: Path) -> None:
    """make for images: specs in, Qwen-Image renders out, nothing rendered twice.

    \b
    qwenbuild                    build what is missing or out of date
    qwenbuild plan               show what a build would do, why, and what it costs
    qwenbuild build puppies      one spec; also spec/image, a cell's name, out/x.png
    qwenbuild build -w seed=1    only some cells
    qwenbuild init posters       create a project to start from

    Without a command, `build` runs.
    """
    ctx.obj = project


for _command in (  # in the order of the help: the daily commands first
    build.build, build.watch, look.plan, look.explain, look.lint, look.status, look.show, build.clean, look.report,
    sheet.sheet,
    history.list_outputs, history.log, history.diff, history.cost,
    choose.pick, choose.keep,
    lock.lock, lock.verify, cache.cache, cache.gc,
    setup.doctor, setup.explain_error, trust.trust, setup.init, setup.schema, setup.completion,
    service.tasks, service.emulator, setup.help_,
):  # fmt: skip
    main.add_command(_command)
with_colour(main)


def run(arguments: list[str] | None = None, made: list[object] | None = None) -> int:
    """Run a command line and return its exit code. Only this function turns errors into text.

    `made` receives the command's return value. So the caller can exit without freeing a large plan, which is slow.
    """
    stdout = sys.stdout
    try:
        returned = main.main(args=arguments, prog_name="qwenbuild", standalone_mode=False)
        if made is not None:
            made.append(returned)
    except QwenbuildError as error:
        _say(style.problems, error.problems)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        _say(click.echo, error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        problem = UsageError(
            re.sub(r"\s*\n\s*", " ", error.format_message()), hint=_help_hint(error), name="wrong-command-line"
        )
        _say(style.problems, problem.problems)
        return 2
    except (click.Abort, KeyboardInterrupt):
        _say(click.echo, "interrupted", err=True)
        return 130
    except SystemExit as leave:
        if sys.stdout is not stdout:  # click replaces stdout and exits with 1 when the reader has closed the pipe
            return _unwritable(BrokenPipeError())
        return leave.code if isinstance(leave.code, int) else 0
    except OSError as error:
        if error.filename is not None:  # the error of a file, not of a standard stream
            raise
        return _unwritable(error)
    return 0


def _unwritable(error: OSError) -> int:
    """Report that standard output can't be written, unless nobody is left to read it; return the exit code."""
    mute()
    if isinstance(error, BrokenPipeError):
        return 128 + 13  # the shell's code for a command that SIGPIPE ended
    if is_closed_terminal(error):
        return 128 + 1  # the shell's code for a command that SIGHUP ended
    _say(
        style.problems, [Problem(f"standard output can't be written: {error.strerror or error}", name="output-closed")]
    )
    return 1


def _say(write: Callable[..., None], *arguments: Any, **named: Any) -> None:
    """Call `write`, which writes to standard error. If that fails, only the exit code is left to say what happened."""
    try:
        write(*arguments, **named)
    except OSError:
        mute()


def _help_hint(error: click.ClickException) -> str | None:
    context = getattr(error, "ctx", None)
    return f"`{context.command_path} --help` lists the options and arguments" if context else None
