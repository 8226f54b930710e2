"""The Chinese README says what the English one says."""

from __future__ import annotations

import re
from pathlib import Path

from .pages import REPOSITORY, blocks, links, prose, read

ENGLISH, CHINESE = REPOSITORY / "README.md", REPOSITORY / "docs/README.zh.md"


def shape(page: Path) -> dict[str, list[object]]:
    """Return what does not depend on the language: headings, blocks, links, pictures, rows, items, numbers."""
    text = prose(page)
    targets = [to for _, to in links(page)] + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    told = re.sub(r"\]\([^)]*\)|<[^>]*>", " ", text)
    return {
        "headings": [*map(len, re.findall(r"^(#+) ", text, re.MULTILINE))],
        "blocks": [(it.language, it.text, it.reason, it.file) for it in blocks(page)],
        "links": sorted(
            to if to.startswith("https:") else (page.parent / to).resolve().relative_to(REPOSITORY).as_posix()
            for to in targets
            if (page.parent / to).resolve() not in (ENGLISH, CHINESE)
        ),
        "rows": [*map(len, re.findall(r"^(\|.*\|)$", re.sub(r"[^|\n]", "", text), re.MULTILINE))],
        "items": [*map(len, re.findall(r"^( *)- ", text, re.MULTILINE))],
        "numbers": sorted(re.findall(r"(?<![\w.])\d[\d,.]*\d|(?<![\w.])\d(?![\w.])", told)),
        "code": sorted(re.findall(r"`([^`\n]+)`", text)),
    }


def test_both_say_the_same() -> None:
    """Headings, blocks, links, pictures, rows, items, numbers and code are the same; only the words differ."""
    chinese = shape(CHINESE)
    for name, found in shape(ENGLISH).items():
        assert chinese[name] == found, name
        assert found


def test_each_leads_to_the_other() -> None:
    """Who reads the other language finds it at the top."""
    for page, other in ((ENGLISH, "docs/README.zh.md"), (CHINESE, "../README.md")):
        assert other in [to for _, to in links(page)][:1]


def test_it_is_in_chinese() -> None:
    """No heading and no cell of the tables is left in English, and no Latin punctuation stands between characters."""
    headings = re.findall(r"^##+ (.+)$", read(CHINESE), re.MULTILINE)
    assert [line for line in headings if not re.search(r"[一-鿿]", line)] == []
    assert re.findall(r"[一-鿿][,;:?!][一-鿿]", prose(CHINESE)) == []
