"""What is given from outside: the variables of `--var`, and the name of a profile.

A value is TOML. Text that is no TOML value is taken as it is, as a shell hands on `--var who=Anna`. What is likely a
mistake is refused: an open quote or bracket, and a number that templates would print differently, such as `1.10`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

from qwenbuild.digest import sha256
from qwenbuild.errors import ProjectError, UsageError
from qwenbuild.files.text import nfc
from qwenbuild.files.toml import TomlFile
from qwenbuild.options import Options
from qwenbuild.problems import plain

from . import declared_names
from .declared_names import FIELDS, SET

_OPENS = ("'", '"', "[", "{")
_LONGEST = 1000  # characters of a value that locks and images repeat; a longer one is recorded by its digest


@dataclass(frozen=True, slots=True)
class Given:
    """The values of the variables by name, and the profile's name; empty for none."""

    variables: Mapping[str, Any] = field(default_factory=dict)
    profile: str = ""

    @classmethod
    def of(cls, options: Options) -> Given:
        """Return what the options give; of two values for one variable, the last. Raises UsageError."""
        if options.profile == "":
            raise UsageError(
                "--profile names no profile", hint="without the option, no profile is used", name="unknown-profile"
            )
        return cls(dict(map(_variable, options.variables)), options.profile or "")

    def written(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return variables as `name=value`, sorted: what plans, locks and images say of them."""
        return tuple([f"{name}={_written(self.variables[name])}" for name in sorted(names)])


def field_hint(name: str) -> str | None:
    """Return what to do instead of `--var`, if `name` is that of a request field."""
    if name not in FIELDS:
        return None
    return f'-w {name}=VALUE selects cells of an axis; a spec may read a variable, as in {name} = "{{{{ my_{name} }}}}"'


def _variable(text: str) -> tuple[str, Any]:
    """Return the name and the value of a text `name=value`."""
    name, equals, value = text.partition("=")
    name = nfc(name.strip())
    if text != text.encode("utf-8", "ignore").decode():  # Python hands on other bytes as surrogates
        raise UsageError(f"--var {name}: not valid UTF-8", name="wrong-var")
    if not equals:
        raise UsageError(f"--var {text}: a value is missing", hint=f"--var {text or 'name'}=value", name="wrong-var")
    if name in SET:
        raise UsageError(
            f"--var {name}: qwenbuild sets {name}, and --var sets variables only",
            hint=field_hint(name),
            name="wrong-name",
        )
    if why := declared_names.variable_fault(name):
        raise UsageError(f'--var {text}: "{name}" is no name of a variable', facts=[why], name="wrong-var")
    return name, _value(name, value)


def _value(name: str, text: str) -> Any:
    """Return the value that a text of the command line stands for. Raises UsageError."""
    try:
        value = _toml(text)
    except ProjectError as error:
        if text.lstrip().startswith(_OPENS):
            raise UsageError(
                f"--var {name}: {error.problems[0].claim}",
                facts=[f"value: {text}"],
                hint=f"a text in quotes of TOML, which the shell must not take away: --var '{name}=\"…\"'",
                name="wrong-var",
            ) from None
        return text
    if isinstance(value, float) and not math.isfinite(value):  # `nan` and `inf` are words, too
        return text
    if not isinstance(value, str | list | dict) and plain(value) != text.strip():
        raise UsageError(
            f"--var {name}={text} is a value that templates print as {plain(value)}",
            hint=f"--var {quote(f'{name}={plain(value)}')}, or for the text as written: --var '{name}=\"{text}\"'",
            name="wrong-var",
        )
    return value


def _toml(text: str) -> Any:
    """Return the value of a text that is exactly one TOML value without a comment. Raises ProjectError."""
    table = TomlFile.parse("--var", f"value = {text}").table
    alone = TomlFile.parse("--var", f"value = [{text}]").table  # a comment would hide the bracket
    if table.keys() != {"value"} or alone.keys() != {"value"}:
        raise ProjectError([])
    return table["value"]


def _written(value: Any) -> str:
    """Return a value as `--var` takes it, on one line; a long one as its digest."""
    text = _quoted(value) if not isinstance(value, str) or not _is_plain(value) else value
    return text if len(text) <= _LONGEST else f"sha256:{sha256(text.encode('utf-8', 'replace'))}"


def _is_plain(text: str) -> bool:
    try:
        return text.isprintable() and _value("name", text) == text
    except UsageError:
        return False


def _quoted(value: Any) -> str:
    import tomli_w

    if isinstance(value, dict):
        return f"{{{', '.join(f'{_quoted(name)} = {_quoted(item)}' for name, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_quoted, value))}]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")
