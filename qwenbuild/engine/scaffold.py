"""Scaffold: the files of a new project, as `qwenbuild init` writes them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from qwenbuild.errors import UsageError
from qwenbuild.files import regular
from qwenbuild.specs.spec import schema

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


def files() -> dict[str, str]:
    """Return the files of a new project: their text by path."""
    return {
        "qwenbuild.toml": CONFIG,
        "specs/poster.toml": SPEC,
        "specs/spec.schema.json": json.dumps(schema(), indent=2, ensure_ascii=False) + "\n",
        "templates/poster.j2": TEMPLATE,
        "out/.gitignore": "*\n!.gitignore\n",
        ".gitignore": ".qwenbuild/\n",
    }


def write(folder: Path) -> list[str]:
    """Write a new project into `folder`, and return the paths of the files written.

    An existing `.gitignore` gets the missing line. Raises UsageError if any other file exists already, or
    if a file can't be written.
    """
    new = files()
    taken = [name for name in new if os.path.lexists(folder / name) and name != ".gitignore"]
    if taken:
        raise UsageError(
            f"{folder} has these files already: {', '.join(taken)}",
            hint="`init` overwrites nothing; name a new folder: qwenbuild init FOLDER",
        )
    written = []
    for name, text in new.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            present = regular.read(path, regular.MAX_TEXT_BYTES) if path.exists() else b""
            if text.strip().encode() in present.split():
                continue
            if present and not present.endswith(b"\n"):
                present += b"\n"
            path.write_bytes(present + text.encode())
        except OSError as error:
            raise UsageError(f"{path} can't be written: {error.strerror or error}") from error
        written.append(name)
    return written
