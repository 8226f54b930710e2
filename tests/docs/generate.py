"""Writes the generated parts of the reference from the code: schema, help, events, errors, docstrings.

`python -m tests.docs.generate` replaces what stands in docs/reference/ between `<!-- generated: NAME -->` and
`<!-- end of NAME -->`. A test compares these parts with the code.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import types
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import qwenbuild
from qwenbuild import errors, events, own_servers, provider
from qwenbuild.catalogue import builtin
from qwenbuild.cli.main import main
from qwenbuild.model_tables import AreaPrice, ModelTable
from qwenbuild.plan.plan import Verdict
from qwenbuild.providers.dashscope.provider import DashScopeProvider
from qwenbuild.specs import lint_rules, sandbox
from qwenbuild.specs.fields import DataFile, Fields, Range
from qwenbuild.specs.profiles import Profile
from qwenbuild.specs.project import Config
from qwenbuild.specs.spec import Image, SpecFile
from qwenbuild.specs.user_config import Approved, OwnProvider
from qwenbuild.storage.lock_format import Pin

REFERENCE = Path(__file__).parents[2] / "docs/reference"
_PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)
_COMMON = 5  # an option of so many commands is explained once, for all of them


def generated(text: str) -> str:
    """Return the text of a page with its generated parts as the code has them."""
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]().strip()}\n\n{found[3]}", text)


def parts(text: str) -> list[str]:
    """Return the names of the generated parts of a page."""
    return [found[2] for found in _PART.finditer(text)]


# --- tables ---


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in line)} |"
                     for line in lines)  # fmt: skip


def code(text: object) -> str:
    """Return a text as a span of code, an empty one as nothing."""
    return f"`{text}`" if str(text) else ""


def default_of(value: object) -> str:
    """Return how TOML writes a default, empty for none and for empty tables."""
    if value is None or value is PydanticUndefined or isinstance(value, BaseModel) or value in ({}, []):
        return ""
    return code(f'"{value}"' if isinstance(value, str) else str(value).lower())


def keys(model: type[BaseModel], *, without: Sequence[str] = ()) -> str:
    """Return the keys of a table of TOML, with their meanings and defaults."""
    rows = [
        [code(name), field.description or "", default_of(field.get_default(call_default_factory=True))]
        for name, field in model.model_fields.items()
        if name not in without
    ]
    has_defaults = any(row[2] for row in rows)
    return table(["key", "meaning", *["default"] * has_defaults], [row[: 2 + has_defaults] for row in rows])


def spec_keys() -> str:
    """Return the keys of specs, with the places where each may stand."""
    places: dict[str, type[BaseModel]] = {"config": Fields, "file": SpecFile, "image": Image}
    found: dict[str, tuple[str, list[str]]] = {}
    for place, model in places.items():
        for name, field in model.model_fields.items():
            if not (place == "file" and name == "image"):
                found.setdefault(name, (field.description or "", []))[1].append(place)
    found["axes"][1][:0] = ["config"]
    return table(["key", "where", "meaning"], [[code(it), ", ".join(at), text] for it, (text, at) in found.items()])


def config_keys() -> str:
    """Return the keys of the config, table by table."""
    fields = {name: field.get_default(call_default_factory=True) for name, field in Config.model_fields.items()}
    nested = {name: type(value) for name, value in fields.items() if isinstance(value, BaseModel)}
    tables = {name: Config.model_fields[name].description or "" for name, value in fields.items() if value == {}}
    shown: list[tuple[str, type[BaseModel]]] = [
        (f"`[{it}]`", kind) for it, kind in nested.items() if kind is not Fields
    ]
    shown += [("`[profiles.NAME]`", Profile), ('`[models."NAME"]`', ModelTable), ("A price by area", AreaPrice)]
    text = [f"### At the top\n\n{keys(Config, without=[*nested, *tables])}"]
    text += [f"### {head}\n\n{keys(kind)}" for head, kind in shown]
    tables["defaults"] = "the [fields of specs](specs.md#keys), for the images of all specs"
    rows = [[code(f"[{name}]"), meaning] for name, meaning in tables.items()]
    return "\n\n".join([*text, f"### Other tables\n\n{table(['table', 'meaning'], rows)}"])


def user_keys() -> str:
    """Return the keys of the user's own config."""
    return f'### `[providers.NAME]`\n\n{keys(OwnProvider)}\n\n### `[trust."FOLDER"]`\n\n{keys(Approved)}'


def bullets(owner: type) -> list[tuple[str, str]]:
    """Return the (name, meaning) of a docstring's list, whose items begin with a name in backticks."""
    text = inspect.getdoc(owner) or ""
    items = re.findall(r"^- `(\w+)`: (.*(?:\n  .*)*)", text, re.MULTILINE)
    return [(name, " ".join(meaning.split())) for name, meaning in items]


def dashscope_keys() -> str:
    """Return the keys of `[providers.dashscope]`."""
    return table(["key", "meaning"], [[code(name), meaning] for name, meaning in bullets(DashScopeProvider)])


def models() -> str:
    """Return the models of the catalogue."""
    rows = []
    for model in builtin().models.values():
        sizes = "five" if model.sizes else f"{model.pixels[0]:,} to {model.pixels[1]:,} pixels"
        prices = "; ".join(f"{region} {_prices(steps)}" for region, steps in model.price_cny.items())
        about = "about " if model.price_about and prices else ""
        rows.append([code(model.name), ", ".join(model.interfaces), sizes, f"{about}{prices}" or "unknown"])
    return table(["model", "interfaces", "sizes", "CNY an image"], rows)


def _prices(steps: Sequence[AreaPrice]) -> str:
    """Return the prices of one region, the smallest area first."""
    return ", ".join(f"{step.price}" + (f" up to {step.up_to_pixels:,} pixels" if step.up_to_pixels else "")
                     for step in steps)  # fmt: skip


# --- templates and lint ---


def filters() -> str:
    """Return qwenbuild's own filters of templates."""
    rows = []
    for name in ("quoted", "typographic", "oneline", "listed", "slug"):
        signature = inspect.signature(getattr(sandbox, name))
        more = ", ".join(f"{it.name}={it.default!r}" for it in [*signature.parameters.values()][1:])
        says = re.sub(r"^Return ", "", (inspect.getdoc(getattr(sandbox, name)) or "").split("\n")[0])
        rows.append([code(f"{name}({more})" if more else name), says])
    return table(["filter", "result"], rows)


def lint() -> str:
    """Return the rules of lint."""
    return table(["rule", "finds"], [[code(name), meaning] for name, meaning in lint_rules.RULES.items()])


# --- commands ---


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield (name, command) of each command and of those below it."""
    for name, command in main.commands.items():
        yield name, command
        for below, sub in command.commands.items() if isinstance(command, click.Group) else ():
            yield f"{name} {below}", sub


def _context(command: click.Command) -> click.Context:
    """Return a context of the command. Its settings are the real ones, because Click keeps the option `--help`."""
    return click.Context(command, **main.context_settings)


def _options(command: click.Command) -> list[tuple[str, str]]:
    """Return (names, help) of the options of a command, as its help shows them."""
    ctx = _context(command)
    shown = [it.get_help_record(ctx) for it in command.params if isinstance(it, click.Option)]
    return [record for record in shown if record and not record[0].startswith("--color")]


def common() -> Counter[tuple[str, str]]:
    """Return the options that many commands have."""
    return Counter(option for _, command in commands() for option in _options(command))


def common_options() -> str:
    """Return the options of many commands."""
    shared = [option for option, count in common().items() if count >= _COMMON]
    top = [(names, text) for names, text in _options(main) if not names.startswith("-h")]
    color = next(it.get_help_record(_context(main)) for it in main.params if it.name == "color")
    return table(["option", "meaning"], [[code(it), text] for it, text in [*top, *([color] if color else []), *shared]])


def command_pages() -> str:
    """Return each command with its usage, its text and its options."""
    shared = {option for option, count in common().items() if count >= _COMMON}
    return "\n\n".join(_command(name, command, shared) for name, command in commands())


def _command(name: str, command: click.Command, shared: set[tuple[str, str]]) -> str:
    usage = " ".join(command.collect_usage_pieces(_context(command)))
    options = [option for option in _options(command) if not option[0].startswith(("-h", "--help"))]
    own = [option for option in options if option not in shared]
    also = [option[0].split(" ")[0].rstrip(",") for option in options if option in shared]
    text = [f"{'####' if ' ' in name else '###'} {name}", _text(command.help or "")]
    text.insert(1, f"`qwenbuild {name} {usage}`")
    if own:
        text.append(table(["option", "meaning"], [[code(it), says] for it, says in own]))
    if also:
        which = "all" if len(also) == len(shared) else ", ".join(map(code, also))
        text.append(f"[Common options](#common-options): {which}.")
    return "\n\n".join(text)


def _text(text: str) -> str:
    """Return the text of a help as Markdown: what click keeps as it is, is code."""
    found = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b\n"):
            found.append(f"<!-- not run: examples of the help -->\n```text\n{paragraph[2:]}\n```")
        else:
            found.append(paragraph)
    return "\n\n".join(found)


# --- events and exit codes ---


def event_list() -> str:
    """Return the events of a build, with their fields."""
    found = []
    for kind in typing.get_args(events.Event):
        rows = [[code(it.name), code(_type(it.type))] for it in dataclasses.fields(kind)]
        found.append(f"### `{kind.event}`\n\n{_flat(kind)}\n\n{table(['field', 'type'], rows)}")
    return "\n\n".join(found)


def outcomes() -> str:
    """Return the outcomes of one output."""
    return ", ".join(code(it.value) for it in events.Outcome)


def verdicts() -> str:
    """Return the names of the verdicts."""
    return ", ".join(code(it.value) for it in Verdict)


def error_list() -> str:
    """Return the errors with their exit codes."""
    rows = []
    kinds = [it for it in vars(errors).values() if inspect.isclass(it) and issubclass(it, errors.QwenbuildError)]
    for kind in kinds:
        marks = [name for name, is_set in (("retryable", kind.retryable), ("stops the run", kind.stops_run),
                                           ("final", kind.is_final)) if is_set]  # fmt: skip
        rows.append([code(kind.__name__), str(kind.exit_code), ", ".join(marks), _flat(kind)])
    return table(["error", "exit code", "it is", "meaning"], rows)


def _type(text: object) -> str:
    return str(text).replace("Sequence[Problem]", "list of texts").replace("Mapping", "dict")


def _flat(owner: object) -> str:
    """Return a docstring on one line."""
    return " ".join((inspect.getdoc(owner) or "").split())


# --- files ---


def commented(kind: type) -> str:
    """Return the fields of a class whose source explains them in comments."""
    rows = re.findall(r"^    (\w+): ([^=#\n]+?)(?: = \S+)?(?:  # (.+))?$", inspect.getsource(kind), re.MULTILINE)
    return table(["field", "type", "meaning"], [[code(name), code(of), meaning] for name, of, meaning in rows])


# --- Python ---


def api() -> str:
    """Return the names of the package, with signatures and docstrings."""
    found = []
    for name in sorted(qwenbuild.__all__, key=lambda it: (it != "load", it != "Engine", it.lower())):
        thing = getattr(qwenbuild, name)
        if name == "__version__":
            found.append("## `__version__`\n\nThe version, as a text.")
        elif isinstance(thing, types.UnionType):
            kinds = ", ".join(code(kind.__name__) for kind in typing.get_args(thing))
            found.append(f"## `{name}`\n\nOne of the [events](json.md#events): {kinds}.")
        else:
            found.append(_thing(name, thing))
    return "\n\n".join(found)


def contract() -> str:
    """Return the provider contract."""
    found = [(it, module) for module in (provider, own_servers) for it in vars(module).values()]
    kinds = [it for it, module in found if inspect.isclass(it) and it.__module__ == module.__name__]
    attributes: list[Any] = [
        own_servers.serves_any_model, own_servers.default_model, own_servers.is_repeatable,
        own_servers.settings_of_environment,
    ]  # fmt: skip
    return "\n\n".join(_thing(it.__name__, it) for it in [*kinds, *attributes])


def _thing(name: str, thing: Any) -> str:
    if inspect.isfunction(thing):
        return f"## `{name}`\n\n{_signed(name, thing)}\n\n{_doc(thing)}"
    text = [f"## `{name}`", _doc(thing)]
    if isinstance(thing, type) and issubclass(thing, Enum):
        text.append(f"Its values: {', '.join(code(it.value) for it in thing)}.")
    for member, value in vars(thing).items():
        if member.startswith("_"):
            continue
        if isinstance(value, property):
            text.append(f"*Property* `{member}`: {_doc(value)}")
        elif inspect.isfunction(value) and inspect.getdoc(value):
            text.append(f"{_signed(member, value)}\n\n{_doc(value)}")
    return "\n\n".join(text)


class _Annotation:
    """An annotation as its source has it, without quotes."""

    def __init__(self, text: object) -> None:
        self._text = text if isinstance(text, str) else getattr(text, "__name__", str(text))

    def __repr__(self) -> str:
        return self._text


def _signed(name: str, function: Callable[..., Any]) -> str:
    """Return the signature of a function as a block."""
    said = inspect.signature(function)
    own = [
        it if it.annotation is it.empty else it.replace(annotation=_Annotation(it.annotation))
        for it in said.parameters.values()
        if it.name != "self"
    ]
    text = f"{name}{inspect.Signature(own)} -> {_Annotation(said.return_annotation)}"
    if function.__code__.co_flags & inspect.CO_COROUTINE:
        text = f"async {text}"
    return f"<!-- not run: a signature -->\n```python\n{text}\n```"


def _doc(owner: object) -> str:
    return inspect.getdoc(owner) or ""


PARTS: Mapping[str, Callable[[], str]] = {
    "spec-keys": spec_keys, "range-keys": lambda: keys(Range), "file-keys": lambda: keys(DataFile),
    "config-keys": config_keys, "user-keys": user_keys, "dashscope-keys": dashscope_keys, "models": models,
    "filters": filters, "lint-rules": lint, "common-options": common_options, "commands": command_pages,
    "events": event_list, "outcomes": outcomes, "verdict-names": verdicts, "errors": error_list,
    "lock-fields": lambda: commented(Pin), "api": api, "contract": contract,
}  # fmt: skip
"""The generated parts by name."""


def pages() -> list[Path]:
    """Return the pages that may have generated parts."""
    return sorted(REFERENCE.glob("*.md"))


if __name__ == "__main__":
    for path in pages():
        before = path.read_text("utf-8")
        after = generated(before)
        if before != after:
            path.write_text(after, "utf-8")
            sys.stdout.write(f"wrote {path.name}\n")
