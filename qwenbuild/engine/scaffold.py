"""Scaffold: the files of a new project, as `qwenbuild init` writes them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from qwenbuild.errors import UsageError
from qwenbuild.files import regular
from qwenbuild.specs import discovery, project
from qwenbuild.specs.project import Project
from qwenbuild.specs.spec import schema
from qwenbuild.storage.lock import NAME

from .custody import asked

CONFIG = """\
# A qwenbuild project. `qwenbuild build` renders specs/*.toml into out/.

provider = "draft"       # typeset drafts: no account, no network. "dashscope" renders real images
"""

SPEC = """\
#:schema ./spec.schema.json
# The images of this project. `qwenbuild plan` shows what a build would do.

model = "qwen-image-plus"
negative_prompt = "blurry, distorted text"

[vars]
brand = "Come Play Ball!"

[image.poster]
template = "poster.j2"               # in templates/
vars = { mood = "cheerful" }

[image.poster.matrix]                # every combination is one image
size = ["16:9", "1:1"]
palette = ["fresh greens and blues", "sunset oranges"]
seed = { start = 1, count = 2 }

[image.icon]
prompt = "Flat icon of a {{ thing }}, thick outlines, centred on a plain background"
size = "1:1"
matrix = { thing = ["ball", "puppy", "star"] }
"""

TEMPLATE = """\
{# Qwen-Image writes the text in “quotation marks” into the picture; the filter `quoted` adds the marks. #}
Hand-drawn {{ mood }} poster of three puppies playing with a ball on lush green grass.
The main title {{ brand | quoted }} is at the top in bold cartoon letters.
Below it, the subtitle {{ "Show off your skills" | quoted }} in a smaller font.
The colour palette is {{ palette }}.
"""


class Images(StrEnum):
    """Where the images of a project live, besides the store of each machine."""

    GIT = "git"  # committed
    LFS = "lfs"  # committed with Git LFS: the repository stays small
    STORE = "store"  # nowhere: git ignores them, and a remote cache may share them


IMAGE: Final = "out/image.png"
"""A path that an image of a new project may have."""

_NOT_IGNORED: Final = {IMAGE: ["!/out/", "!/out/**/", "!/out/**/*.png"]}
_LOCK: Final = "qwenbuild.lock text eol=lf linguist-generated=true"
_IGNORED: Final = {Images.STORE: [".qwenbuild/", "/out/"]}
_ATTRIBUTES: Final = {
    Images.GIT: [_LOCK, "out/**/*.png binary"],
    Images.LFS: [_LOCK, "out/**/*.png filter=lfs diff=lfs merge=lfs -text"],
}


def files(images: Images = Images.GIT) -> dict[str, str]:
    """Return the files of a new project: their text by path."""
    return {
        "qwenbuild.toml": CONFIG,
        "specs/poster.toml": SPEC,
        "specs/spec.schema.json": _schema(),
        "templates/poster.j2": TEMPLATE,
        **{name: "".join(f"{line}\n" for line in lines) for name, lines in _for_git(images).items()},
    }


def _schema() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _for_git(images: Images) -> dict[str, list[str]]:
    """Return the lines that tell git about a project, by file."""
    ignored, attributes = _IGNORED.get(images, [".qwenbuild/"]), _ATTRIBUTES.get(images, [_LOCK])
    return {".gitignore": ignored, ".gitattributes": attributes}


def write(folder: Path, images: Images = Images.GIT) -> list[str]:
    """Write a new project into `folder`, and return the paths of the files written.

    Existing files `.gitignore` and `.gitattributes` get the lines that they lack. If git would still ignore what is
    to be committed, because of another rule, `.gitignore` gets lines against that rule.

    Raises UsageError if any other file exists already, or if a file can't be written.
    """
    new, for_git = files(images), _for_git(images)
    taken = [name for name in new if os.path.lexists(folder / name) and name not in for_git]
    taken += [name for name in for_git if (folder / name).is_symlink()]
    if taken:
        raise UsageError(
            f"{folder} has these files already: {', '.join(taken)}",
            hint="`init` overwrites nothing; name a new folder: qwenbuild init FOLDER",
            name="file-in-the-way",
        )
    written = []
    for name, text in new.items():
        lines = for_git.get(name)
        if _write(folder / name, text) if lines is None else _extend(folder / name, lines):
            written.append(name)
    answers = [line for path in ignored(folder, images) for line in _answer(path)]
    if answers and _extend(folder / ".gitignore", answers):
        written = [*dict.fromkeys([*written, ".gitignore"])]
    return written


def without_specs(folder: Path, *, around: bool) -> Project | None:
    """Return the project of `folder` if it has no spec yet; with `around` also that of a folder above.

    Raises ProjectError if its config is wrong.
    """
    with contextlib.suppress(UsageError):
        root = discovery.find_config(folder).root
        if around or root == Path(os.path.abspath(folder)):
            found = project.find(folder)
            return None if found.spec_paths() else found
    return None


def write_first_spec(of: Project) -> list[Path]:
    """Write a first spec where the config of a project looks for specs, and its template; return their paths.

    Raises UsageError if one of the files exists already, can't be written, or if no path for the spec is certain.
    """
    glob = of.config.specs
    if set(glob) & set("?[]{}"):
        raise UsageError(
            f"no spec was written: the config wants a path that matches {glob}", hint="write one there", name="no-specs"
        )
    parts = [part.replace("*", "poster", 1).replace("*", "") for part in glob.split("/") if part != "**"]
    spec = of.root.joinpath(*parts)
    first, _, rest = SPEC.partition("\n")
    new = {spec: SPEC, spec.with_name(first.rpartition("/")[2]): _schema()} if spec.suffix == ".toml" else {spec: rest}
    new[of.templates / "poster.j2"] = TEMPLATE
    if taken := [str(path) for path in new if os.path.lexists(path) and path.suffix != ".json"]:
        raise UsageError(
            f"these files exist already: {', '.join(taken)}", hint="`init` overwrites nothing", name="file-in-the-way"
        )
    return [path for path, text in new.items() if not os.path.lexists(path) and _write(path, text)]


def ignored(folder: Path, images: Images) -> list[str]:
    """Return what git ignores, though it is to be committed: files of the project in `folder`, the lock, `IMAGE`."""
    names = [*files(images), NAME, *([] if images is Images.STORE else [IMAGE])]
    found = asked(folder, "check-ignore", "--no-index", "--stdin", "-z", given="\0".join(names))
    return found.split("\0")[:-1] if found else []


def _answer(path: str) -> list[str]:
    """Return the lines of `.gitignore` against a rule that ignores a path."""
    parent = path.rpartition("/")[0]
    return _NOT_IGNORED.get(path, [*([f"!/{parent}/"] if parent else []), f"!/{path}"])


def _write(path: Path, text: str) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", newline="\n")
    except OSError as error:
        raise _unwritable(path, error) from error
    return True


def _extend(path: Path, lines: Sequence[str]) -> bool:
    """Add to a file the lines that it lacks, in its own line ends; return False if it has all of them."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        present = regular.read(path, regular.MAX_TEXT_BYTES) if path.exists() else b""
        known = {line.strip() for line in present.splitlines()}
        added = [line.encode() for line in lines if line.encode() not in known]
        if added:
            end = b"\r\n" if b"\r\n" in present else b"\n"
            start = present if not present or present.endswith(b"\n") else present + end
            path.write_bytes(start + b"".join(line + end for line in added))
    except OSError as error:
        raise _unwritable(path, error) from error
    return bool(added)


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} can't be written: {error.strerror or error}", name="file-unwritable")
