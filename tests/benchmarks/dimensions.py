"""The dimensions in which a project can grow: for each one, a project with N of its things and a command about it.

The inputs are those that people have: rows of a table with an id, prompts of 300 to 800 characters, some in Chinese.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from qwenbuild import load
from qwenbuild.digest import sha256
from qwenbuild.storage import action_result
from qwenbuild.storage.claims import Intent
from qwenbuild.storage.ledger import Ledger

from .places import TEMPLATE, Project, csv_text, recorded, rows

_MATRIX = '[image.poster]\ntemplate = "poster.j2"\n[image.poster.matrix]\n'
_HEAD = f'seed = 1\nsize = "1:1"\n{_MATRIX}'
Row = dict[str, str]


@dataclass(frozen=True)
class Dimension:
    """One dimension: `write` makes a project with N things, `arguments` are the command, `exits` is its exit code.

    `share` of the usual numbers is measured: things of which nobody has thousands, or that take long to make.
    """

    write: Callable[[Project, int], None]
    arguments: Sequence[str] | Callable[[int], Sequence[str]] = ("plan",)
    exits: int = 0
    share: float = 1.0

    def command(self, count: int) -> list[str]:
        """Return the arguments of `qwenbuild` for a project of this size."""
        arguments = self.arguments(count) if callable(self.arguments) else self.arguments
        return [*arguments]


# --- cells ---


def write(place: Project, spec: str, files: Mapping[str, str] | None = None) -> None:
    """Write a project with one spec and the usual template."""
    config = 'provider = "null"\nmax_renders = 1_000_000\n'
    place.write({"qwenbuild.toml": config, "templates/poster.j2": TEMPLATE, "specs/poster.toml": spec, **(files or {})})


def _table(form: Callable[[Sequence[Row]], str], suffix: str, columns: int = 0, *, with_id: bool = True,
           newline: bool = False) -> Callable[[Project, int], None]:  # fmt: skip
    def made(place: Project, count: int) -> None:
        text = form([*rows(count, columns, with_id=with_id, newline=newline)])
        write(place, f'{_HEAD}row = {{ file = "../data/rows{suffix}" }}\n', {f"data/rows{suffix}": text})

    return made


def _tsv(table: Sequence[Row]) -> str:
    return csv_text(table, "\t")


def _json_lines(table: Sequence[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table)


def _toml(table: Sequence[Row]) -> str:
    return "".join("[[row]]\n" + "".join(f"{name} = {json.dumps(text, ensure_ascii=False)}\n"
                                         for name, text in row.items()) for row in table)  # fmt: skip


def _inline(row: Row) -> str:
    return "{ " + ", ".join(f"{name} = {json.dumps(text, ensure_ascii=False)}" for name, text in row.items()) + " }"


def _range(place: Project, count: int) -> None:
    spec = f'[image.poster]\nprompt = "{_text(0)}, number {{{{ number }}}}"\n[image.poster.matrix]\n'
    write(place, f'seed = 1\nsize = "1:1"\n{spec}number = {{ start = 1, count = {count} }}\n')


def _list(place: Project, count: int) -> None:
    texts = ", ".join(json.dumps(row["text"], ensure_ascii=False) for row in rows(count))
    write(place, f'size = "1:1"\n[image.poster]\nprompt = "{{{{ row }}}}"\n[image.poster.matrix]\nrow = [{texts}]\n')


def _inline_tables(place: Project, count: int) -> None:
    write(place, f"{_HEAD}row = [\n{''.join(f'  {_inline(row)},' + chr(10) for row in rows(count))}]\n")


def _text(number: int) -> str:
    return next(iter(rows(1)))["text"] + f" {number}"


def _seeds(place: Project, count: int, more: str = "") -> None:
    """Write a project with two styles of N seeds."""
    spec = '[image.poster]\nprompt = "{{ style }}"\n[image.poster.matrix]\n'
    styles = f'style = ["{_text(1)}", "{_text(2)}"]\n'
    write(place, f'size = "1:1"\n{spec}{styles}seed = {{ start = 1, count = {max(1, count // 2)} }}\n{more}')


def _includes(place: Project, count: int) -> None:
    spec = f'{_HEAD}row = [{{ title = "first", text = "text", style = "style" }}]\n'
    write(place, spec + "".join(f"[[image.poster.include]]\nrow = {_inline(row)}\n" for row in rows(count)))


def _excludes(place: Project, count: int) -> None:
    half = max(1, count // 2)
    _seeds(place, count, "".join(f'[[image.poster.exclude]]\nstyle = "{_text(1)}"\nseed = {seed}\n'
                                 for seed in range(2, half + 1)))  # fmt: skip


def _partial_excludes(place: Project, count: int) -> None:
    _seeds(place, count, "".join(f"[[image.poster.exclude]]\nseed = {seed}\n" for seed in range(2, count // 2 + 1)))


def _only(place: Project, count: int) -> None:
    """Of N cells, the half that as many entries of `only` name."""
    half = max(1, count // 2)
    _seeds(place, count, "".join(f'[[image.poster.only]]\nstyle = "{_text(1)}"\nseed = {seed}\n'
                                 for seed in range(1, half + 1)))  # fmt: skip


# --- files and tables ---


def _images(place: Project, count: int) -> None:
    images = "".join(f'[image.poster{number}]\nprompt = "{_text(number)}"\n' for number in range(count))
    write(place, f'size = "1:1"\n{images}')


def _specs(place: Project, count: int) -> None:
    specs = {f"specs/s{number}.toml": f'[image.poster]\nprompt = "{_text(number)}"\n'
             for number in range(count)}  # fmt: skip
    write(place, '[image.poster]\nprompt = "one"\n', specs)


def _templates(place: Project, count: int) -> None:
    images = "".join(f'[image.poster{number}]\ntemplate = "t{number}.j2"\n' for number in range(count))
    files = {f"templates/t{number}.j2": _text(number) for number in range(count)}
    write(place, f'size = "1:1"\n{images}', files)


def _data_files(place: Project, count: int) -> None:
    """Each image has a table of its own, all of them in one folder."""
    spec = "".join(f'[image.poster{number}]\ntemplate = "poster.j2"\nmatrix.row.file = "../data/rows{number}.csv"\n'
                   for number in range(count))  # fmt: skip
    table = csv_text(rows(1))
    write(place, f'size = "1:1"\n{spec}', {f"data/rows{number}.csv": table for number in range(count)})


def _variables(place: Project, count: int) -> None:
    names = "".join(f'name{number} = "{_text(number)}"\n' for number in range(count))
    write(place, f'[vars]\n{names}[image.poster]\nprompt = "{{{{ name0 }}}}"\n')


def _remarks(place: Project, count: int) -> None:
    """Every row holds a template, and every variable and template file but one is unused."""
    table = [{**row, "text": f"{row['text']} {{{{ name }}}}"} for row in rows(count)]
    names = "".join(f'name{number} = "{_text(number)}"\n' for number in range(count))
    files = {f"templates/t{number}.j2": _text(number) for number in range(count // 4)}
    spec = f'[vars]\n{names}{_MATRIX}row = {{ file = "../data/rows.csv" }}\n'
    write(place, spec, {"data/rows.csv": csv_text(table), **files})


def _idle_axes(place: Project, count: int) -> None:
    """N cells of which half are duplicates, because no template reads an axis."""
    _seeds(place, count)
    path = place.root / "specs/poster.toml"
    path.write_text(path.read_text("utf-8").replace("{{ style }}", "one"), "utf-8")


# --- errors ---


def _undefined(place: Project, count: int) -> None:
    """Every row lacks what the template reads."""
    _table(csv_text, ".csv")(place, count)
    (place.root / "templates/poster.j2").write_text(TEMPLATE + " {{ row.titel }}", "utf-8")


def _too_long(place: Project, count: int) -> None:
    """Every prompt is longer than the model takes."""
    _table(csv_text, ".csv")(place, count)
    (place.root / "templates/poster.j2").write_text(TEMPLATE + " {{ row.text * 5 }}", "utf-8")


def _unknown_keys(place: Project, count: int) -> None:
    images = "".join(f'[image.poster{number}]\nprompt = "one"\nmodle = "x"\n' for number in range(count))
    write(place, images)


def _wrong_sizes(place: Project, count: int) -> None:
    images = "".join(f'[image.poster{number}]\nprompt = "one"\nsize = "17:9"\n' for number in range(count))
    write(place, images)


def _same_paths(place: Project, count: int) -> None:
    """All cells of a matrix have the same output path."""
    _table(csv_text, ".csv")(place, count)
    path = place.root / "specs/poster.toml"
    path.write_text(path.read_text("utf-8").replace(_MATRIX, f'[image.poster]\noutput = "one.png"\n{_MATRIX[15:]}'))


def _short_rows(place: Project, count: int) -> None:
    """Every row of a table has a cell too many."""
    _table(csv_text, ".csv")(place, count)
    path = place.root / "data/rows.csv"
    head, *lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([head, *(f"{line},too,many" for line in lines)]), "utf-8")


def _wrong_includes(place: Project, count: int) -> None:
    """Every include names an axis that there is not."""
    includes = (f"[[image.poster.include]]\ncolour = {number}\n" for number in range(count))
    write(place, f"{_HEAD}row = [{{ title = 'a', text = 'b', style = 'c' }}]\n{''.join(includes)}")


def _wrong_excludes(place: Project, count: int) -> None:
    """Every exclude names a value that no cell has."""
    _seeds(place, 2, "".join(f"[[image.poster.exclude]]\nseed = {number + 100}\n" for number in range(count)))


# --- what is there ---


def _outputs(place: Project, count: int) -> None:
    """All outputs are there, on record, and pinned."""
    _table(csv_text, ".csv")(place, count)
    recorded(place)


def _orphans(place: Project, count: int) -> None:
    """All outputs are there, but the specs declare none of them."""
    _outputs(place, count)
    write(place, '[image.other]\nprompt = "one"\n')


def _records(place: Project, count: int) -> None:
    """A clone without images: only the lock knows the outputs."""
    _outputs(place, count)
    for name in ("out", ".qwenbuild"):
        (place.root / name).rename(place.root / f"{name}-before")


def _strangers(place: Project, count: int) -> None:
    """The output folder has N files that nobody knows."""
    _table(csv_text, ".csv")(place, 10)
    recorded(place)
    for number in range(count):
        (place.root / "out" / f"mine{number}.png").write_bytes(b"")


def _submissions(place: Project, count: int) -> None:
    """Tasks of all cells are in flight."""
    _table(csv_text, ".csv")(place, count)
    config = '[providers.dashscope]\ninterface = "async"\n'
    (place.root / "qwenbuild.toml").write_text(f"max_renders = 1_000_000\n{config}", "utf-8")
    ledger = Ledger(place.store / "ledger")
    with closing(ledger):
        ledger.prepare()
        with ledger.durably():
            for number, step in enumerate(load(place.root, max_renders=10**9).plan().steps):
                it = step.action
                claim = ledger.intend(Intent(it.key, it.request, "dashscope", str(place.root.resolve()), it.name))
                ledger.accepted(str(getattr(claim, "uid", claim)), f"task-{number}")


def _entries(place: Project, count: int) -> None:
    """The store holds N results of other projects."""
    _table(csv_text, ".csv")(place, 10)
    image, provenance = b"image", b"{}"
    blobs = {sha256(it): it for it in (image, provenance)}
    for digest, content in blobs.items():
        _blob(place.store / "cas", digest, content)
    result = action_result.render({action_result.IMAGE: (sha256(image), len(image)),
                                   action_result.PROVENANCE: (sha256(provenance), len(provenance))})  # fmt: skip
    for number in range(count):
        _blob(place.store / "ac", sha256(str(number).encode()), result)


def _blob(folder: Path, name: str, content: bytes) -> None:
    path = folder / name[:2] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _selected(count: int) -> list[str]:
    """Return a plan of N cells that are named one by one."""
    return ["plan", *(f"poster/poster[row=r{number:06}]" for number in range(count))]


def _where(count: int) -> list[str]:
    return ["plan", *(part for number in range(count) for part in ("-w", f"row=r{number:06}"))]


def _alternatives(count: int) -> list[str]:
    return ["plan", "-w", "row=" + ",".join(f"r{number:06}" for number in range(count))]


def _where_not(count: int) -> list[str]:
    return ["plan", *(part for number in range(1, count) for part in ("-w", f"row!=r{number:06}"))]


def _excluded(count: int) -> list[str]:
    rows_ = (f"poster/poster[row=r{number:06}]" for number in range(1, count))
    return ["plan", *(part for row in rows_ for part in ("--exclude", row))]


def _tagged(place: Project, count: int) -> None:
    tags = ", ".join(f'"t{number}"' for number in range(count))
    images = "".join(f'[image.poster{number}]\nprompt = "{_text(number)}"\ntags = ["web", "t{number}"]\n'
                     for number in range(count))  # fmt: skip
    write(place, f'size = "1:1"\n{images}[image.all]\nprompt = "one"\ntags = [{tags}]\n')


def _tags(count: int) -> list[str]:
    return ["plan", *(part for number in range(count) for part in ("--tag", f"t{number}"))]


DIMENSIONS: Mapping[str, Dimension] = {
    "range": Dimension(_range),
    "list": Dimension(_list),
    "inline-tables": Dimension(_inline_tables),
    "csv": Dimension(_table(csv_text, ".csv")),
    "csv-no-id": Dimension(_table(csv_text, ".csv", with_id=False)),
    "csv-newlines": Dimension(_table(csv_text, ".csv", newline=True)),
    "csv-50-columns": Dimension(_table(csv_text, ".csv", 46)),
    "tsv": Dimension(_table(_tsv, ".tsv")),
    "json-lines": Dimension(_table(_json_lines, ".jsonl")),
    "json-lines-no-id": Dimension(_table(_json_lines, ".jsonl", with_id=False)),
    "toml-rows": Dimension(_table(_toml, ".toml")),
    "includes": Dimension(_includes),
    "excludes": Dimension(_excludes),
    "partial-excludes": Dimension(_partial_excludes),
    "only": Dimension(_only),
    "images": Dimension(_images),
    "specs": Dimension(_specs, share=0.25),
    "templates": Dimension(_templates, share=0.25),
    "data-files": Dimension(_data_files, share=0.25),
    "variables": Dimension(_variables),
    "lint": Dimension(_table(csv_text, ".csv"), ("lint",)),
    "lint-remarks": Dimension(_remarks, ("lint",)),
    "lint-idle-axes": Dimension(_idle_axes, ("lint",)),
    "lint-images": Dimension(_images, ("lint",)),
    "errors-undefined": Dimension(_undefined, exits=2),
    "errors-too-long": Dimension(_too_long, exits=2),
    "errors-unknown-keys": Dimension(_unknown_keys, exits=2),
    "errors-wrong-sizes": Dimension(_wrong_sizes, exits=2),
    "errors-includes": Dimension(_wrong_includes, exits=2),
    "errors-excludes": Dimension(_wrong_excludes, exits=2),
    "errors-same-paths": Dimension(_same_paths, exits=2),
    "errors-rows": Dimension(_short_rows, exits=2),
    "selected-names": Dimension(_table(csv_text, ".csv"), _selected, share=0.25),  # systems limit a command line
    "excluded-names": Dimension(_table(csv_text, ".csv"), _excluded, share=0.25),
    "conditions": Dimension(_table(csv_text, ".csv"), _where, share=0.25),
    "conditions-not": Dimension(_table(csv_text, ".csv"), _where_not, share=0.25),
    "alternatives": Dimension(_table(csv_text, ".csv"), _alternatives, share=0.25),
    "tags": Dimension(_tagged, _tags, share=0.25),
    "outputs": Dimension(_outputs),
    "status": Dimension(_outputs, ("status",)),
    "verify": Dimension(_outputs, ("verify",)),
    "lock-check": Dimension(_outputs, ("lock", "--check")),
    "json": Dimension(_outputs, ("plan", "--json")),
    "orphans": Dimension(_orphans),
    "lock-records": Dimension(_records),
    "strangers": Dimension(_strangers, ("verify",)),
    "submissions": Dimension(_submissions),
    "store-entries": Dimension(_entries, ("gc", "--dry-run")),
}
