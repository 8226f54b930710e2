"""The texts that a prompt wants in the image: its quoted texts in reading order, each with its part.

If a prompt quotes nothing, its own words are the text: its opening is the headline, the rest the body.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from qwenbuild import quoted_texts

from .colour_words import colours
from .fonts import WIDE
from .oklch import Colour
from .positions import ANYWHERE, Spot, spot
from .wishes import has_title, is_textless


class Part(StrEnum):
    """The part of a text in the image."""

    HEADLINE = "headline"
    SUBTITLE = "subtitle"
    BODY = "body"
    BUBBLE = "bubble"
    BADGE = "badge"
    FOOTER = "footer"


@dataclass(frozen=True, slots=True)
class Text:
    """A text for the image.

    `colour` is the colour that the prompt asks for, `spot` the place. `quoted` is False for the prompt's own words.
    """

    text: str
    part: Part
    colour: Colour | None = None
    quoted: bool = True
    spot: Spot = ANYWHERE


_SENTENCE_END = re.compile(r"[.!?](?=\s)|[。！？]")

# Cue words for each part. The nearest cue before a text in its sentence wins, else the first cue after it.
_CUES: tuple[tuple[Part, str], ...] = (
    (Part.SUBTITLE, r"subtitle|sub-title|subheading|tagline|slogan|strapline|second line"
                    r"|副标题|副標題|标语|口号|副題|サブタイトル|부제"),
    (Part.BUBBLE, r"speech bubble|thought bubble|bubble|\bsays\b|\bsaying\b|对话框|气泡|说|吹き出し|말풍선"),
    (Part.BADGE, r"\bbadge|\bbutton|\bsticker|\bstamp\b|\bseal\b|\btag\b"
                 r"|徽章|按钮|贴纸|印章|角标|ボタン|バッジ|버튼|배지"),
    (Part.FOOTER, r"\bbottom\b|\bfooter|supplementary|small (?:letters|print|text|font)|fine print|\bcaption|\bcredit"
                  r"|底部|下方小字|页脚|补充文字|小字|脚注|下部|小さな字|하단"),
    (Part.HEADLINE, r"main title|headline|\btitled?\b|heading|banner text|lettering|\blogo\b"
                    r"|主标题|大标题|标题|題目|見出し|タイトル|제목"),
)  # fmt: skip
# A cue after a text counts only within its clause: in «“Tea”, at the bottom “Cake”» it belongs to “Cake”.
_AFTER = r"^[^.。!?！？;；,，、“「『《«„\"]{0,60}?"
_LIKELIEST = (
    Part.HEADLINE,
    Part.BODY,
    Part.SUBTITLE,
    Part.FOOTER,
    Part.BADGE,
    Part.BUBBLE,
)  # likeliest first
_MOST = 12  # texts; a poster has no room for more


def texts(prompt: str, negative_prompt: str = "") -> list[Text]:
    """Return the texts of a prompt. One is the headline, unless the prompt wants no title or no text, or is blank."""
    if is_textless(prompt, negative_prompt):
        return []
    found: list[Text] = []
    last = placed = 0
    for start, end, words in quoted_texts.find(prompt):
        before, after = prompt[last:start], prompt[end : end + 120]
        if found and re.match(r"\s*\+[^.。]*$", prompt[placed:start]):  # as in “Title” + “text”: both in one place
            where, used = found[-1].spot, 0
        else:
            where, used = spot(prompt[placed:start], "" if _ends_sentence(words, after) else after)
        last, placed = end, end + used  # what places one text does not place the next one
        found.append(Text(words, _part(before, after), _colour(words, before, after), spot=where))
    if not found:
        return _own_words(prompt)
    if not has_title(prompt) and all(text.part is not Part.HEADLINE for text in found):
        return found[:_MOST]
    headline = min(range(len(found)), key=lambda index: _LIKELIEST.index(found[index].part))
    for index, text in enumerate(found):
        if index == headline:
            found[index] = replace(text, part=Part.HEADLINE)
        elif text.part is Part.HEADLINE:
            found[index] = replace(text, part=Part.SUBTITLE)
    return found[:_MOST]


def picture_description(prompt: str) -> str:
    """Return what a prompt says about its picture.

    These are the sentences before the first quoted text. Without any, it is the first sentence.
    """
    prompt = " ".join(prompt.split())
    first = next(quoted_texts.find(prompt), None)
    ends = [match.end() for match in _SENTENCE_END.finditer(prompt)]
    before = [end for end in ends if first and end <= first.start]
    after = [end for end in ends if first and end >= first.end]
    return prompt[: before[-1] if before else after[0] if after else len(prompt)].strip()


def _part(before: str, after: str) -> Part:
    sentence = re.split(r"[.。!?！？;；]\s*", before)[-1][-80:]
    nearest = (-1, Part.BODY)
    for part, cue in _CUES:
        at = max((m.end() for m in re.finditer(cue, sentence, re.IGNORECASE)), default=-1)
        if at > nearest[0]:
            nearest = (at, part)
    if nearest[0] >= 0:
        return nearest[1]
    for part, cue in _CUES:
        if re.search(f"{_AFTER}(?:{cue})", after, re.IGNORECASE):
            return part
    return Part.BODY


def _ends_sentence(words: str, after: str) -> bool:
    """Return whether a sentence ends inside the quotes: “Play ball!” At the bottom …"""
    return words[-1] in ".!?。！？" and re.match(r"\s+[A-Z]|[整底顶左右上下]|$", after) is not None


def _colour(words: str, before: str, after: str) -> Colour | None:
    """Return the colour that the sentence gives to a text's letters: first after the text, then before it."""
    ending = "" if _ends_sentence(words, after) else re.split(r"[“「『«\"，；]|[.。;](?:\s|$)", after)[0]
    opening = re.split(r"[.。!?！？;；，]\s*", before)[-1]
    for clause, nearest in ((ending, 0), (opening, -1)):
        if re.search(r"font|letter|text|type|script|字", clause) and (named := colours(clause, themes=False)):
            return named[nearest]
    return None


def _own_words(prompt: str) -> list[Text]:
    prompt = " ".join(prompt.split())
    if not prompt:
        return []
    least, most = (5, 28) if WIDE.match(prompt) else (12, 90)
    match = re.match(rf".{{{least},{most}}}?(?=[,.;:](?:\s|$)|[，。；：])", prompt)
    head = match[0] if match else prompt
    if len(head) > most:
        head = prompt[:most].rpartition(" ")[0] or prompt[:most]
    rest = prompt[len(head) :].lstrip(" ,.;:，。；：")
    out = [Text(_capital(head), Part.HEADLINE, quoted=False)]
    return [*out, Text(_capital(rest), Part.BODY, quoted=False)] if rest else out


def _capital(text: str) -> str:
    """Return the text with a capital first letter, unless its first word has a capital elsewhere (iPhone)."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0].islower() else text
