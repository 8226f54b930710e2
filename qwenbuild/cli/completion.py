"""What a shell completes: commands, options, and what the project's specs declare.

Invariants: quick, for it runs at every Tab: specs are read by the TOML parser alone, a data file only for the
values of its own axis; silent: whatever is wrong, there is nothing to complete; and what a spec
says is data: it reaches the command line quoted, or not at all.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete

from qwenbuild.specs import outline
from qwenbuild.specs.outline import ImageOutline

VARIABLE = "_QWENBUILD_COMPLETE"
"""The environment variable by which the scripts ask for completions."""

SHELLS = ("bash", "zsh", "fish")

_FIELDS = ("model", "size", "seed")  # may be asked for even where they are no axes
_OPEN = "open"  # a completion that goes on: no space after it


# --- the shells ---

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' line
    COMPREPLY=()
    while read -r line; do
        case $line in
            plain,*) COMPREPLY+=("${line#plain,}") ;;
            open,*) COMPREPLY+=("${line#open,}"); compopt -o nospace 2>/dev/null ;;
            dir,*) compopt -o dirnames 2>/dev/null ;;
            file,*) compopt -o default 2>/dev/null ;;
        esac
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null || complete -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a plain described unfinished response
    local type key descr
    response=("${(@f)$(COMP_WORDS="${words[1,CURRENT]}" COMP_CWORD=$((CURRENT-1)) \
%(complete_var)s=zsh_complete ${words[1]} 2>/dev/null)}")
    for type key descr in ${response}; do
        case $type in
            plain) if [[ $descr == _ ]]; then plain+=("$key"); else described+=("$key:$descr"); fi ;;
            open) unfinished+=("$key") ;;
            dir) _path_files -/ ;;
            file) _path_files -f ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U
    (( $#plain )) && compadd -U -V unsorted -a plain
    (( $#unfinished )) && compadd -U -S '' -V unsorted -a unfinished
    return 0
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH = """\
function %(complete_func)s
    for line in (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp | string collect) \
COMP_CWORD=(commandline -ct | string collect --allow-empty) %(prog_name)s 2>/dev/null)
        set -l parts (string split -m 1 "," -- $line)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain open
                echo $parts[2]
        end
    end
end
complete --no-files --command %(prog_name)s --keep-order --arguments "(%(complete_func)s)"
"""


class _Bash(BashComplete):
    """Reads the line itself: bash cuts words at `=` and `:`, and wants what comes after these alone."""

    source_template: ClassVar[str] = _BASH

    def source(self) -> str:
        return self.source_template % self.source_vars()  # bash 3.2 will do

    def get_completion_args(self) -> tuple[list[str], str]:
        words, self._quote, done = _scanned(os.environ["COMP_LINE"])
        option, equals, _ = words[-1].partition("=")
        of_option = len(option + equals) if equals and option.startswith("--") else 0
        self._done = max(0, done - of_option)  # click completes what stands behind `--option=`
        return words[1:-1], words[-1]

    def format_completion(self, item: CompletionItem[Any]) -> str:
        value = item.value
        if item.type in ("plain", _OPEN):
            value = _quoted(value[self._done :], self._quote)
        return f"{item.type},{value}"


class _Zsh(ZshComplete):
    source_template: ClassVar[str] = _ZSH


class _Fish(FishComplete):
    source_template: ClassVar[str] = _FISH


_CLASSES: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def script(shell: str) -> str:
    """Return the script that makes `shell`, one of `SHELLS`, complete `qwenbuild`."""
    return _CLASSES[shell](click.Group(), {}, "qwenbuild", VARIABLE).source()


def answer(command: click.Command, asked: str) -> None:
    """Write the completions that a script asks for by `asked`, the value of `VARIABLE`; never raises."""
    with contextlib.suppress(Exception):
        shell, _, what = asked.partition("_")
        if what == "complete" and shell in _CLASSES:
            text = _CLASSES[shell](command, {}, "qwenbuild", VARIABLE).complete()
            sys.stdout.buffer.write(f"{text}\n".encode() if text else b"")
            sys.stdout.flush()


def _scanned(line: str) -> tuple[list[str], str, int]:
    """Return the words of a line that is being typed, without their quotes, the quote that is open, and how much of
    the last word bash takes for done: what stands before a break or a quote.
    """
    words, quote, done, inside = [""], "", 0, False
    characters = iter(line)
    for ch in characters:
        if quote:
            if ch == quote:
                quote, done = "", len(words[-1])
            else:
                words[-1] += next(characters, "") if ch == "\\" and quote == '"' else ch
        elif ch in "'\"":
            quote, done, inside = ch, len(words[-1]), True
        elif ch.isspace():
            if inside:
                words.append("")
                done, inside = 0, False
        else:
            words[-1] += next(characters, "") if ch == "\\" else ch
            inside = True
            if ch in "=:":
                done = len(words[-1])
    return words, quote, done


def _quoted(text: str, quote: str) -> str:
    """Return the text as bash reads it after the open `quote`, which may be none."""
    if quote == "'":
        return text.replace("'", "'\\''")
    special = r'([$`"\\])' if quote else r"([^\w@%+=:,./~-]|^~)"
    return re.sub(special, r"\\\1", text)


# --- what the command line asks for ---


def select(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Return names of specs and images that begin like `incomplete`, cells after a bracket, else files."""
    images = _declared(ctx)
    name, bracket, inner = incomplete.partition("[")
    if bracket:
        chosen = [image for image in images if image.full_name == name]
        done, comma, pair = inner.rpartition(",")
        head = f"{name}[{done}{comma}"
        named = [part.partition("=")[0] for part in done.split(",") if part]
        left = dict.fromkeys(axis for image in chosen for axis in image.matrix if axis not in named)
        pairs = [it.value for it in _pairs(chosen, pair, left)]
        if "=" not in pair:
            return [CompletionItem(head + value, type=_OPEN) for value in pairs]
        if left.keys() - {pair.partition("=")[0]}:
            return [CompletionItem(f"{head}{value},", type=_OPEN) for value in pairs]
        return [CompletionItem(f"{head}{value}]") for value in pairs]
    specs = dict.fromkeys(image.spec for image in images)
    found = _items([*specs, *(image.full_name for image in images)], incomplete)
    return found or [CompletionItem(incomplete, type="file")]


def where(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Return `axis=` for axes, and `axis=value` after that, of the images that are selected so far."""
    asked = [str(name).partition("[")[0] for name in ctx.params.get("select") or ()]
    images = _declared(ctx)
    chosen = [image for image in images if image.spec in asked or image.full_name in asked] or images
    axes = [*(axis for image in chosen for axis in image.matrix), *_FIELDS]
    return _pairs(chosen, incomplete, axes)


def one_of(*values: str) -> Any:
    """Return what completes these values."""
    return lambda ctx, param, incomplete: _items(values, incomplete)


def providers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Return the names of the providers that are installed."""
    from qwenbuild.providers.registry import installed

    return _items(installed(), incomplete)


def folders(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Return that the shell shall complete folders."""
    return [CompletionItem(incomplete, type="dir")]


def _declared(ctx: click.Context) -> list[ImageOutline]:
    return outline.images(ctx.find_root().params.get("project") or Path())


def _pairs(images: Iterable[ImageOutline], incomplete: str, axes: Iterable[str]) -> list[CompletionItem[Any]]:
    axis, equals, value = incomplete.partition("=")
    if not equals:
        return _items([f"{name}=" for name in axes], incomplete, _OPEN)
    values: dict[str, None] = {}
    for image in images:
        with contextlib.suppress(Exception):  # a data file that can't be read
            values.update(dict.fromkeys(image.labels(axis)))
    return [CompletionItem(f"{axis}={it.value}") for it in _items(values, value)]


def _items(values: Iterable[str], incomplete: str, kind: str = "plain") -> list[CompletionItem[Any]]:
    """Return completions of those values that begin like `incomplete` and that a terminal can show."""
    known = dict.fromkeys(values)
    return [CompletionItem(it, type=kind) for it in known if it.startswith(incomplete) and it.isprintable()]
