"""Edits of a project: of specs, templates, data, config, environment, outputs, state, store and snapshot.

This is a pytest plugin with the fixture `back_again`. PYTEST_DONT_REWRITE: it has no assertions, and tests import it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from qwenbuild import load, noop, noop_snapshot
from qwenbuild.errors import QwenbuildError
from qwenbuild.plan.plan import Verdict
from tests.support.workspace import Workspace

FILES = {
    "qwenbuild.toml": 'provider = "null"\n',
    "specs/a.toml": '[image.x]\ntemplate = "x.j2"\nmatrix = { seed = [1, 2], row = { file = "rows.csv" } }\n',
    "specs/b.toml": '[vars]\nword = "red"\n[image.y]\nprompt = "a {{ word }} ball"\n[image.z]\nprompt = "sky"\n',
    "specs/rows.csv": "id,what\none,sea\ntwo,sky\n",
    "templates/x.j2": '{% include "base.j2" %} {% include "extra.j2" ignore missing %} {{ row.what }}',
    "templates/base.j2": "poster of",
}
STARS = 'version = 1\n[[pick]]\ncell = "b/y"\n[[pick]]\ncell = "a/x[row=one,seed=1]"\n'
SETTLE_S = 0.07  # a snapshot is written only for inputs that are older than 50 ms when the build starts


@dataclass
class Place:
    """A project in `top/project`, and the command line that its builds use."""

    top: Path
    arguments: list[str]
    options: dict[str, Any]

    @property
    def root(self) -> Path:
        return self.top / "project"

    def build(self, settle_s: float = SETTLE_S) -> None:
        """Build as the command does."""
        time.sleep(settle_s)
        load(**self.options).build(arguments=self.arguments)

    def fast(self) -> int | None:
        """Return the number of outputs by the fast path, None if it does not answer."""
        found = noop.find(self.arguments)
        return found[1].count if found else None

    def slow(self) -> int | None:
        """Return the number of outputs if all are up to date, else None."""
        try:
            engine = load(**self.options)
            plan = engine.plan()
            if self.options.get("locked"):
                engine.check_lock()
        except QwenbuildError:
            return None
        return len(plan.steps) if plan.count(Verdict.UP_TO_DATE) == len(plan.steps) else None


def made(top: Path, arguments: Sequence[str] = (), *, settle_s: float = SETTLE_S, **options: Any) -> Place:
    """Make and build a project; its folder becomes the working directory."""
    (top / "project").mkdir(parents=True)
    Workspace(top / "project").write({**FILES, **({"picks.toml": STARS} if options.get("picked") else {})})
    os.chdir(top / "project")
    os.environ["QWENBUILD_CACHE_DIR"] = str(top / "store")
    place = Place(top, list(arguments), options)
    if options.get("locked"):  # a build with --locked writes no lock
        load().build()
    place.build(settle_s)
    return place


@pytest.fixture
def back_again() -> Iterator[None]:
    """Restore the working directory and the environment."""
    folder, environ = os.getcwd(), dict(os.environ)
    yield
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)


# --- edits ---

Edit = Callable[[Place, int], None]
EDITS: dict[str, Edit] = {}


def edit(function: Edit) -> Edit:
    """Register an edit. Its number chooses a variant."""
    EDITS[function.__name__] = function
    return function


def rewrite(path: Path, text: str, number: int) -> None:
    """Write a file in place or as a new file, with the present time, its earlier time, or a very old time."""
    if not path.parent.is_dir():
        return
    before = path.stat() if path.exists() else None
    if number % 2 and before:
        path.unlink()
    path.write_text(text, "utf-8")
    if number % 3 == 1 and before:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif number % 3 == 2:
        os.utime(path, ns=(10**18, 10**18))


def vary(path: Path, old: str, new: str, number: int) -> None:
    """Replace a word by another of the same length; if that was done already, undo it."""
    if path.is_file():
        text = path.read_text("utf-8")
        rewrite(path, text.replace(old, new) if old in text else text.replace(new, old), number)


def outputs(place: Place) -> list[Path]:
    """Return the existing outputs."""
    return sorted(path for path in place.root.glob("out/**/*.png") if path.is_file())


@edit
def word_of_a_template(place: Place, number: int) -> None:
    vary(place.root / "templates/base.j2", "poster", "banner", number)


@edit
def word_of_a_spec(place: Place, number: int) -> None:
    vary(place.root / "specs/b.toml", '"red"', '"tan"', number)


@edit
def value_of_a_row(place: Place, number: int) -> None:
    vary(place.root / "specs/rows.csv", "two,sky", "two,sun", number)


@edit
def row_of_a_table(place: Place, number: int) -> None:
    vary(place.root / "specs/rows.csv", "three,elm\n", "", number)


@edit
def config(place: Place, number: int) -> None:
    texts = ('provider = "null"\n', 'provider = "null" \n', 'out = "to"\nprovider = "null"\n', "resubmit = 1\n")
    rewrite(place.root / "qwenbuild.toml", texts[number % len(texts)], number)


@edit
def config_nearby(place: Place, number: int) -> None:
    where = (place.root, place.root / "specs", place.top)[number % 3]
    rewrite(where / "pyproject.toml", '[tool.qwenbuild]\nprovider = "null"\n', number)


@edit
def config_below(place: Place, number: int) -> None:
    rewrite(Path.cwd() / "qwenbuild.toml", FILES["qwenbuild.toml"], number)


@edit
def missing_template(place: Place, number: int) -> None:
    path = place.root / "templates/extra.j2"
    if number % 2 or not path.exists():
        rewrite(path, "with more", number)
    else:
        path.unlink()


@edit
def another_spec(place: Place, number: int) -> None:
    path = place.root / "specs/c.toml"
    if number % 2 or not path.exists():
        rewrite(path, '[image.c]\nprompt = "c"\n', number)
    else:
        path.unlink()


@edit
def renamed_spec(place: Place, number: int) -> None:
    for old, new in (("b.toml", "d.toml"), ("d.toml", "b.toml")):
        if (place.root / "specs" / old).exists():
            (place.root / "specs" / old).rename(place.root / "specs" / new)
            return


@edit
def file_behind_a_link(place: Place, number: int) -> None:
    names = ("specs/b.toml", "specs/rows.csv", "templates/base.j2", "qwenbuild.toml", "templates/extra.j2")
    path = place.root / names[number % len(names)]
    if path.exists() and not path.is_symlink():
        target = place.root / "elsewhere" / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
        path.symlink_to(target)


@edit
def folder_behind_a_link(place: Place, number: int) -> None:
    path = place.root / ("specs", "templates", "out", "out/a", ".qwenbuild")[number % 5]
    if path.is_dir() and not path.is_symlink():
        target = place.top / f"moved-{path.name}"
        shutil.rmtree(target, ignore_errors=True)
        path.rename(target)
        path.symlink_to(target)


@edit
def link_to_nothing(place: Place, number: int) -> None:
    path = place.root / "templates/extra.j2"
    if number % 2 and path.is_symlink():
        rewrite(place.root / "templates/later.j2", "later", number)
    elif not path.exists() and not path.is_symlink():
        path.symlink_to("later.j2")


@edit
def environment(place: Place, number: int) -> None:
    names = ("QWENBUILD_CACHE_DIR", "DASHSCOPE_HTTP_BASE_URL", "PYTHONPATH", "UNRELATED")
    os.environ[names[number % 4]] = str(place.top / f"store-{number % 2}")


@edit
def output_deleted(place: Place, number: int) -> None:
    for path in outputs(place)[number % 4 : number % 4 + 1]:
        path.unlink()


@edit
def output_edited(place: Place, number: int) -> None:
    for path in outputs(place)[number % 4 : number % 4 + 1]:
        status, content = path.stat(), bytearray(path.read_bytes())
        content[-1 - number % 8] ^= 1
        path.write_bytes(content)
        if number % 3:
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@edit
def output_touched(place: Place, number: int) -> None:
    for path in outputs(place)[number % 4 : number % 4 + 1]:
        if number % 2:
            os.utime(path, ns=(10**18, 10**18 + number))
        else:
            path.chmod((0o644, 0o600, 0o444)[number % 3])


@edit
def outputs_swapped(place: Place, number: int) -> None:
    found = outputs(place)
    if len(found) > 1:
        found[0].rename(place.root / "aside")
        found[1].rename(found[0])
        (place.root / "aside").rename(found[1])


@edit
def output_replaced(place: Place, number: int) -> None:
    for path in outputs(place)[number % 4 : number % 4 + 1]:
        copy = place.root / f"copy-{time.monotonic_ns()}"
        shutil.copy2(path, copy)
        path.unlink()
        match number % 4:
            case 0:
                path.symlink_to(copy)
            case 1:
                path.mkdir()
            case 2:
                os.link(copy, path)
            case _:
                os.mkfifo(path)


@edit
def state_deleted(place: Place, number: int) -> None:
    if number % 2:
        shutil.rmtree(place.root / ".qwenbuild", ignore_errors=True)
    else:
        (place.root / ".qwenbuild/state.sqlite3").unlink(missing_ok=True)


@edit
def store_deleted(place: Place, number: int) -> None:
    shutil.rmtree(place.top / "store", ignore_errors=True)


@edit
def snapshot_damaged(place: Place, number: int) -> None:
    path = place.root / noop_snapshot.NAME
    content = bytearray(path.read_bytes() if path.exists() else b"")
    if content:
        if number % 2:
            del content[number % len(content) :]
        else:
            content[number % len(content)] ^= 1 << number % 8
        path.write_bytes(content)


@edit
def snapshot_foreign(place: Place, number: int) -> None:
    source = place.root / noop_snapshot.NAME
    folder = Path.cwd() / ".qwenbuild"
    if source.exists() and folder != source.parent:
        folder.mkdir(exist_ok=True)
        shutil.copy(source, folder)


@edit
def built_otherwise(place: Place, number: int) -> None:
    choices: dict[str, Any] = ({"where": ["seed=2"]}, {"select": ["b"]}, {"force": True})[number % 3]
    try:
        load(**choices).build(arguments=["build", str(number)])
    except QwenbuildError:
        return


@edit
def cleaned(place: Place, number: int) -> None:
    try:
        load(**place.options).clean(orphans_only=number % 2 == 0)
    except QwenbuildError:
        return


@edit
def blob_damaged(place: Place, number: int) -> None:
    for path in sorted((place.top / "store/cas").rglob("*/*"))[number % 7 : number % 7 + 2]:
        if path.is_file():
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if number % 3 else content[number % 50 :])


@edit
def result_damaged(place: Place, number: int) -> None:
    for path in sorted((place.top / "store/ac").rglob("*/*"))[number % 5 : number % 5 + 2]:
        path.unlink()
        if number % 3:
            path.write_bytes((b"", b"{}", b'{"outputFiles": [1]}')[number % 3])


@edit
def folder_blocked(place: Place, number: int) -> None:
    path = place.root / ("out", "out/a", "out/b")[number % 3]
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.parent.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        match number % 4:
            case 0:
                path.write_bytes(b"in the way")
            case 1:
                path.symlink_to(place.top)
            case 2:
                path.symlink_to(path.name)


@edit
def twin(place: Place, number: int) -> None:
    text = '[image.t]\nprompt = "sky"\nseed = 7\nmatrix = { at = [1, 2, 3] }\n'
    rewrite(place.root / "specs/t.toml", text.replace("3", str(3 + number % 2)), number)


@edit
def lock_edited(place: Place, number: int) -> None:
    path = place.root / "qwenbuild.lock"
    if path.exists():
        text = path.read_text("utf-8")
        digits = text.replace("0", "1") if number % 4 else text.replace('image = "', 'image = "x', 1)
        rewrite(path, digits if number % 5 else text.rpartition("[[output]]")[0], number)


@edit
def lock_deleted(place: Place, number: int) -> None:
    (place.root / "qwenbuild.lock").unlink(missing_ok=True)


@edit
def lock_of_before(place: Place, number: int) -> None:
    path, kept = place.root / "qwenbuild.lock", place.top / "kept.lock"
    if number % 2 and kept.exists():
        shutil.copy2(kept, path) if number % 4 == 1 else rewrite(path, kept.read_text("utf-8"), number)
    elif path.exists():
        shutil.copy2(path, kept)


@edit
def star(place: Place, number: int) -> None:
    """Another cell is starred, a cell that no spec declares, or the file has a mistake or is gone."""
    texts = (STARS, STARS.replace("b/y", "b/z"), STARS.replace("b/y", "b/q"), STARS.replace("pick", "peck"), "")
    path = place.root / "picks.toml"
    if text := texts[number % len(texts)]:
        rewrite(path, text, number)
    else:
        path.unlink(missing_ok=True)


INPUTS = ("specs/b.toml", "specs/rows.csv", "templates/base.j2", "qwenbuild.toml", "specs", "templates")


@edit
def permissions(place: Place, number: int) -> None:
    path = place.root / INPUTS[number % len(INPUTS)]
    if path.exists():
        path.chmod((0o755, 0o700, 0o777)[number % 3])


@edit
def clock_that_was_ahead(place: Place, number: int) -> None:
    """A file that was saved before the clock was set back has a time in the future."""
    path = place.root / INPUTS[number % len(INPUTS)]
    if path.exists():
        ahead = time.time_ns() + (10**8, 10**12)[number % 2]
        os.utime(path, ns=(ahead, ahead))


@edit
def clock_that_was_behind(place: Place, number: int) -> None:
    """An edit that gives a file an earlier time."""
    path = place.root / INPUTS[number % 4]
    if path.is_file():
        before = path.stat().st_mtime_ns - 10**9 * (1 + number % 100)
        path.write_bytes(path.read_bytes().replace(b"red", b"tan").replace(b"sky", b"sea"))
        os.utime(path, ns=(before, before))


@edit
def equal_copy(place: Place, number: int) -> None:
    """Another file replaces an input; only the inode differs."""
    path = place.root / INPUTS[number % 4]
    if path.is_file() and not path.is_symlink():
        copy = path.with_name(f"{path.name}.copy")
        shutil.copy2(path, copy)
        copy.replace(path)


@edit
def hard_link(place: Place, number: int) -> None:
    """An input is edited through another hard link."""
    path, other = place.root / INPUTS[number % 4], place.top / f"other-{number % 4}"
    if other.exists():
        vary(other, "sky", "sea", 3 * number)
    elif path.is_file():
        os.link(path, other, follow_symlinks=True)


@edit
def at_once(place: Place, number: int) -> None:
    """A build, and directly after it an edit of the same size, often within the same tick of the clock."""
    try:
        place.build(settle_s=(0.0, SETTLE_S)[number % 2])
    except QwenbuildError:
        return
    path = place.root / INPUTS[number % 4]
    if path.is_file():
        content = path.read_bytes()
        path.write_bytes(content.replace(b"red", b"tan").replace(b"sky", b"sea").replace(b"of", b"on"))
