"""The editor: opens a file at a line in the editor that `$VISUAL` or `$EDITOR` names.

Only editors with a window of their own are started. An editor of the terminal can't be: the terminal is in use.
No shell takes part. A file's path is absolute, so it is no option.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final

from qwenbuild.errors import UsageError

_Syntax = Callable[[str, int], list[str]]


def _plus(file: str, line: int) -> list[str]:
    return [f"+{line}", file]


def _goto(file: str, line: int) -> list[str]:
    return ["-g", f"{file}:{line}"]


def _colon(file: str, line: int) -> list[str]:
    return [f"{file}:{line}"]


def _long(file: str, line: int) -> list[str]:
    return ["--line", str(line), file]


def _bare(file: str, line: int) -> list[str]:
    return [file]


_JETBRAINS = ("idea", "pycharm", "webstorm", "phpstorm", "goland", "rubymine", "clion", "rider", "rustrover")
_SYNTAXES: Final[Mapping[str, _Syntax]] = {
    **dict.fromkeys(("code", "code-insiders", "codium", "vscodium", "cursor", "windsurf", "positron"), _goto),
    **dict.fromkeys(("subl", "sublime_text", "zed", "zeditor", "atom", "lapce"), _colon),
    **dict.fromkeys((*_JETBRAINS, *(f"{name}64" for name in _JETBRAINS), "kate", "kwrite", "mate"), _long),
    **dict.fromkeys(("gvim", "mvim", "gedit", "xed", "gnome-text-editor", "bbedit", "emacs", "emacsclient"), _plus),
    **dict.fromkeys(("notepad", "textedit", "open"), _bare),
}
_IN_TERMINAL = {"emacs": ("-nw", "--no-window-system", "-t", "--tty"), "emacsclient": ("-nw", "-t", "--tty")}
_ENDINGS = (".exe", ".cmd", ".bat", ".sh", ".app")


def command(file: Path, line: int, environ: Mapping[str, str]) -> list[str]:
    """Return the command that opens `file` at `line` (from 1) in an editor with a window; empty if there is none.

    Raises UsageError if the variable is no command line.
    """
    name = "VISUAL" if environ.get("VISUAL", "").strip() else "EDITOR"
    words = _words(name, environ.get(name, ""))
    editor = _name(words[0]) if words else ""
    syntax = _SYNTAXES.get(editor)
    if syntax is None or any(word in _IN_TERMINAL.get(editor, ()) for word in words[1:]):
        return []
    if editor == "emacs" and sys.platform == "linux" and not (environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")):
        return []
    if editor == "emacsclient" and not {"-n", "--no-wait", "-c", "--create-frame"} & set(words[1:]):
        return []  # it asks a server that may have no window
    return [*words, *syntax(str(file), line)]


def start(words: Sequence[str], folder: Path) -> None:
    """Start an editor, and do not wait for it. It outlives this process. Raises UsageError if it can't be started."""
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command
            [shutil.which(words[0]) or words[0], *words[1:]], cwd=folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "set VISUAL or EDITOR to a command that opens files"
        raise UsageError(
            f"the editor can't be started: {words[0]}: {reason}", hint=hint, name="editor-failed"
        ) from None
    threading.Thread(target=process.wait, daemon=True).start()  # leaves no dead process behind


def _words(name: str, text: str) -> list[str]:
    try:
        if sys.platform == "win32":  # pragma: no cover - backslashes stand in paths there
            return [word.strip('"') for word in shlex.split(text, posix=False)]
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(
            f"{name} is no command line: {error}", facts=[f"{name}={text}"], name="editor-failed"
        ) from None


def _name(word: str) -> str:
    name = PurePath(word.replace("\\", "/") if os.name == "nt" else word).name.lower()
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return name
