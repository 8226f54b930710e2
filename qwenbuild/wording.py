"""What a prompt wants written: its quoted texts, each with the part that it plays, in reading order.

A prompt without quotes has its own words as text: what it opens with as headline, the rest as body.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from .palette import Colour, colours


class Part(StrEnum):
    """The part that a text plays."""

    HEADLINE = "headline"
    SUBTITLE = "subtitle"
    BODY = "body"
    BUBBLE = "bubble"
    BADGE = "badge"
    FOOTER = "footer"


@dataclass(frozen=True, slots=True)
class Text:
    """A text to be written. `colour` is the one that the prompt gives it, `quoted` whether it stood in quotes."""

    text: str
    part: Part
    colour: Colour | None = None
    quoted: bool = True


_PAIRS = (("“", "”"), ("「", "」"), ("『", "』"), ("《", "》"), ("«", "»"), ("„", "“”"), ('"', '"'), ("＂", "＂"))
_QUOTED = re.compile(
    "|".join(f"{a}([^{a}{b}]+)[{b}]" for a, b in _PAIRS)
    # Single quotes are apostrophes too: only those around, not inside, words count.
    + r"|(?<!\w)‘([^‘’]+(?:’\w[^‘’]*)*)’(?!\w)|(?<!\w)'([^']+(?:'\w[^']*)*)'(?!\w)"
)

# The nearest cue before a text, within its sentence, else the first one behind it.
_CUES: tuple[tuple[Part, str], ...] = (
    (Part.SUBTITLE, r"subtitle|sub-title|subheading|tagline|slogan|strapline|second line|副标题|副標題|标语|口号"),
    (Part.BUBBLE, r"speech bubble|thought bubble|bubble|says|saying|对话框|气泡|说"),
    (Part.BADGE, r"badge|button|sticker|stamp|seal|tag|徽章|按钮|贴纸|印章|角标"),
    (Part.FOOTER, r"bottom|footer|supplementary|small (?:letters|print|text|font)|fine print|caption|credit"
                  r"|底部|下方小字|页脚|补充文字|小字|脚注"),
    (Part.HEADLINE, r"main title|headline|title|heading|banner text|lettering|logo|主标题|大标题|标题|題目|标语牌"),
)  # fmt: skip
_BEHIND = r"^[^.。!?！？;；]{0,60}?"
_MOST = 8  # texts; what a poster holds


def texts(prompt: str) -> list[Text]:
    """Return the texts of a prompt, at least one unless the prompt is blank, and exactly one headline."""
    found: list[Text] = []
    last = 0
    for match in _QUOTED.finditer(prompt):
        words = " ".join(next(group for group in match.groups() if group).split())
        if not words:
            continue
        before, behind = prompt[last : match.start()], prompt[match.end() : match.end() + 120]
        last = match.end()
        found.append(Text(words, _part(before, behind), _colour(words, before, behind)))
    if not found:
        return _own_words(prompt)
    if not any(text.part is Part.HEADLINE for text in found):
        first = next((i for i, text in enumerate(found) if text.part is not Part.BUBBLE), 0)
        found[first] = Text(found[first].text, Part.HEADLINE, found[first].colour)
    seen = False
    for index, text in enumerate(found):
        if text.part is Part.HEADLINE:
            if seen:
                found[index] = Text(text.text, Part.SUBTITLE, text.colour)
            seen = True
    return found[:_MOST]


def _part(before: str, behind: str) -> Part:
    sentence = re.split(r"[.。!?！？;；]\s*", before)[-1][-80:]
    nearest = (-1, Part.BODY)
    for part, cue in _CUES:
        at = max((m.end() for m in re.finditer(cue, sentence, re.IGNORECASE)), default=-1)
        if at > nearest[0]:
            nearest = (at, part)
    if nearest[0] >= 0:
        return nearest[1]
    for part, cue in _CUES:
        if re.search(_BEHIND + f"(?:{cue})", re.split(r"[“「『«\"]", behind)[0], re.IGNORECASE):
            return part
    return Part.BODY


def _colour(words: str, before: str, behind: str) -> Colour | None:
    """Return the colour that a text's own sentence gives its letters, behind it or before."""
    # A sentence may end inside the quotes: “Play ball!” The palette …
    ended = words[-1] in ".!?。！？" and re.match(r"\s+[A-Z]|整|$", behind)
    ending = "" if ended else re.split(r"[“「『«\"，；]|[.。;](?:\s|$)", behind)[0]
    opening = re.split(r"[.。!?！？;；，]\s*", before)[-1]
    for clause in (ending, opening):
        if re.search(r"font|letter|text|type|script|字", clause) and (named := colours(clause)):
            return named[0]
    return None


def _own_words(prompt: str) -> list[Text]:
    prompt = " ".join(prompt.split())
    if not prompt:
        return []
    match = re.match(r".{12,90}?(?=[,.;:，。；：](?:\s|$|[^\x00-\x7f]))", prompt)
    head = match[0] if match else prompt
    if len(head) > 90:
        head = prompt[:90].rsplit(" ", 1)[0]
    rest = prompt[len(head) :].lstrip(" ,.;:，。；：")
    out = [Text(head, Part.HEADLINE, quoted=False)]
    return [*out, Text(rest[:1].upper() + rest[1:], Part.BODY, quoted=False)] if rest else out
