"""The pages of the documentation: README.md, docs/ and .github/, with their blocks, headings, links and paragraphs.

A comment directly before a fenced block says what the tests do with it:

- `<!-- file: PATH -->`: the block is a file of the page's project. It is written before the commands below it run.
- `<!-- not run: REASON -->`: nothing is done with it.

A comment at the top of a page says where its commands start. `<!-- starts in: clone -->` is a copy of this
repository's project. `<!-- starts in: posters -->` is the project that `qwenbuild init` writes. Without a comment it
is an empty folder.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
INSTALL = "python -m pip install"
"""What a command of an installation begins with; the tests leave it out."""

_FENCE = re.compile(r"^((?:<!-- [^>]+ -->\n)*)^(`{3,})(\S*)\n(.*?)^\2$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- (file|not run|starts in): ([^>]+?) -->")
_ANY_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_INLINE_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of `page` that begins at `line`. `reason` says why it is not run; `file` is the path it has."""

    page: Path
    line: int
    language: str
    text: str
    reason: str = ""
    file: str = ""

    @property
    def place(self) -> str:
        """Where the block is."""
        return f"{shown(self.page)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of a console block, without those of an installation."""
        lines = [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
        parts = [[part for part in line.split(" && ") if not part.startswith(INSTALL)] for line in lines]
        return [" && ".join(part) for part in parts if part]

    @property
    def output(self) -> str:
        """What the commands of a console block print; `…` stands for any text."""
        return "".join(f"{line}\n" for line in self.text.splitlines() if not line.startswith("$ "))


def pages() -> list[Path]:
    """Return every page that people read; `index.md` is only for the generator."""
    found = sorted((REPOSITORY / "docs").rglob("*.md"))
    about = [REPOSITORY / ".github" / name for name in ("CONTRIBUTING.md", "SECURITY.md")]
    return [REPOSITORY / "README.md", *(page for page in found if page.name != "index.md"), *about]


def shown(page: Path) -> str:
    """Return the path of a page, relative to the repository."""
    return page.relative_to(REPOSITORY).as_posix()


@functools.cache
def read(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text("utf-8")


def start_of(page: Path) -> str:
    """Return where the commands of a page start: `clone`, `posters`, or an empty text for an empty folder."""
    found = re.search(r"^<!-- starts in: (\w+) -->$", read(page), re.MULTILINE)
    return found[1] if found else ""


def blocks(page: Path) -> list[Block]:
    """Return every fenced block of a page."""
    found = []
    for match in _FENCE.finditer(read(page)):
        said = dict(_COMMENT.findall(match[1]))
        line = read(page).count("\n", 0, match.start(2)) + 1
        found.append(Block(page, line, match[3], match[4], said.get("not run", ""), said.get("file", "")))
    return found


def every_block(*languages: str) -> list[Block]:
    """Return the blocks of all pages in these languages, apart from those that are not run."""
    found = [block for page in pages() for block in blocks(page)]
    return [block for block in found if block.language in languages and not block.reason]


def block_of(path: str, page: str) -> Block:
    """Return the only block of a page that is the file `path`."""
    (found,) = [block for block in blocks(REPOSITORY / page) if block.file == path]
    return found


def prose(page: Path) -> str:
    """Return the text of a page without its blocks and comments; line numbers stay."""
    text = _FENCE.sub(_emptied, read(page))
    return _ANY_COMMENT.sub(_emptied, text)


def _emptied(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} (.+)$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip()).lower()
        slug = re.sub(r"[^\w\- ]", "", text.replace("`", "")).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def links(page: Path) -> list[tuple[int, str]]:
    """Return (line, target) of each link and image of a page."""
    text = _INLINE_CODE.sub(lambda found: " " * len(found[0]), prose(page))
    return [(text.count("\n", 0, found.start()) + 1, found[1]) for found in _LINK.finditer(text)]


def paragraphs(page: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each paragraph, item of a list, and cell of a table; headings are left out."""
    start, lines = 0, list[str]()
    for number, line in enumerate([*prose(page).split("\n"), ""], start=1):
        text = line.strip()
        is_item = re.match(r"(?:[-*]|\d+\.) ", text)
        if lines and (not text or is_item or text.startswith(("#", "|"))):
            yield start, "\n".join(lines)
            lines = []
        if text.startswith("|"):
            yield from ((number, cell.strip()) for cell in re.split(r"(?<!\\)\|", text)[1:-1])
        elif text and not text.startswith("#"):
            start = start if lines else number
            lines.append(re.sub(r"^(?:[-*]|\d+\.) |^> ?", "", text))


def sentences(paragraph: str) -> list[str]:
    """Return the sentences of a paragraph. A span of code counts as one word, and a link as its text."""
    text = _INLINE_CODE.sub("code", paragraph.replace("\n", " "))
    text = re.sub(r"!?\[((?:[^\]\[]|\[[^\]]*\])*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\*\*|<[^>]+>", "", text)
    return [part for part in re.split(r"(?<=[.!?:])[)”\"]? +", text) if part.strip()]


def words(sentence: str) -> int:
    """Return the number of words of a sentence: what stands between white space and holds a letter or a digit."""
    return sum(any(map(str.isalnum, part)) for part in sentence.split())
