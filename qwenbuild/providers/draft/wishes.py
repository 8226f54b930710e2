"""The wishes of a prompt about the whole image: its kind, whether it has text, and what a draft can't show.

A draft honours the kind and the absence of text. Its caption names what it can't show.
"""

from __future__ import annotations

import re
from enum import StrEnum

from qwenbuild import quoted_texts


class Kind(StrEnum):
    """What the image is. Most are a `SCENE`."""

    SCENE = "scene"
    ICON = "icon"
    LOGO = "logo"
    BADGE = "badge"
    PATTERN = "pattern"


_KINDS = (
    (Kind.PATTERN, r"\bseamless\b|\btileable\b|\brepeat(?:ing)? (?:pattern|tile)|\bpatterns?\b|无缝|图案|纹样|印花"),
    (Kind.LOGO, r"\blogos?\b|\blogotype\b|\bwordmark\b|\bmonogram\b|\blettermark\b|\bemblem\b|标志|商标|徽标"),
    (Kind.ICON, r"\bicons?\b|\bpictogram\b|\bfavicon\b|图标"),
    (Kind.BADGE, r"\bbadges?\b|\bstickers?\b(?! stuck)|\bseal (?:stamp|design)|\bpatch design|徽章|贴纸"),
)
# The kind is said before what the image shows: "Flat icon of a badge" is an icon, "a fox with a badge" is a scene.
_OPENING_END = re.compile(
    r"[\"“”「『《«„.;:。；：]|\b(?:of|for|with|showing|depicting|featuring|representing|that|which|wearing|holding|on|in|at|and|named|called|"
    r"from|as|next)\b|(?:拿着|戴着|带有|印有|写着|贴着|穿着|旁边|上面)",
    re.IGNORECASE,
)
_ART = re.compile(  # "a set of icons", "a vector illustration of a logo"
    r"^(?:please )?(?:(?:create|design|draw|generate|make)\s+)?(?:an?\s+|the\s+)?(?:[\w-]+\s+){0,4}?"
    r"(?:set|collection|sheet|illustration|image|drawing|design|picture|series)\s+of\s+",
    re.IGNORECASE,
)
_ENGLISH_TEXT = r"(?:text|titles?|words?|lettering|letters|typography|writing|captions?|headlines?)"
_TEXTLESS = re.compile(
    rf"\b(?:no|without(?: any)?|free of|avoid(?:ing)?|not? any|zero|(?:do not|don['’]t) (?:add|include)(?: any)?)\s+"
    rf"(?:visible\s+|readable\s+)?{_ENGLISH_TEXT}\b(?! on (?:an?|its|his|her|their)\b)"
    r"|\btextless\b|\bwordless\b|\btext[- ]free\b"
    r"|(?:不要|不含|没有|无|不带|不出现|不需要|去除)(?:有|任何|出现)*(?:文字|标题|字样|文本|字母|字(?=[，。,.\s]|$))",
    re.IGNORECASE,
)
_NEGATIVE_TEXT = re.compile(
    rf"(?:^|[,，、;；])\s*(?:any )?(?:{_ENGLISH_TEXT}|文字|标题|文本)\s*(?=$|[,，、;；.。])", re.IGNORECASE
)
_LETTERING = (
    r"handwritten|hand[- ]lettered|hand[- ]drawn|cursive|script|calligraph(?:ic|y)|brush|gothic|blackletter|"
    r"graffiti|pixel|cartoon|bubble|chalk|stencil|comic|retro|vintage|art deco|decorative|serif|slab[- ]serif|"
    r"monospaced?|typewriter|italic|neon|3d|embossed|outlined?|glowing|metallic|chrome|glossy|gradient|shadowed|distressed|dripping"
)
_UNSHOWN = re.compile(
    rf"(?<!sans )(?<!sans-)\b(?:{_LETTERING})(?:[- ](?:style|styled))?[- ]"
    r"(?:font|typeface|lettering|letters|type|text|script|typography)\b"
    r"|\b(?:curved|arched|circular|vertical|diagonal|tilted|rotated|slanted|wavy|mirrored|upside[- ]down|overlapping)"
    r"[- ](?:\w+[- ])?(?:text|title|lettering|letters|headline|type|words|banner)\b"
    r"|\bhand[- ]lettering\b|\bcalligraphy\b|\bgradient back(?:ground|drop)\b|\btransparent back(?:ground|drop)\b"
    r"|(?:手写|书法|毛笔|卡通|立体|描边|发光|渐变|霓虹|涂鸦|像素|楷|宋|隶|行|草)(?:风格)?(?:字体|字|书)(?!幕)|竖排|弧形(?:排列|文字)|透明背景|渐变背景",
    re.IGNORECASE,
)
_MOST_UNSHOWN = 4


def kind(prompt: str) -> Kind:
    """Return what the image is, as the opening of its prompt says."""
    opening = _ART.sub("", prompt.strip())[:120]
    if end := _OPENING_END.search(opening):
        if end[0].lower() == "on" and "background" not in opening[end.end() :]:
            return Kind.SCENE  # a logo on a mug is a mug
        opening = opening[: end.start()]
    found = [(match.end(), kind) for kind, words in _KINDS for match in re.finditer(words, opening, re.IGNORECASE)]
    return max(found)[1] if found else Kind.SCENE


def is_textless(prompt: str, negative_prompt: str = "") -> bool:
    """Return whether the image has no text: the prompt rules text out, or asks for a logo, an icon or a pattern alone.

    A prompt that quotes texts wants them.
    """
    if next(quoted_texts.find(prompt), None):
        return False
    if kind(prompt) is not Kind.SCENE or _TEXTLESS.search(prompt):
        return True
    return _NEGATIVE_TEXT.search(negative_prompt) is not None


def has_title(prompt: str) -> bool:
    """Return whether one of the quoted texts may be set as the title."""
    return not re.search(
        r"\b(?:no|without(?: a| any)?) (?:title|headline)\b|(?:不要|没有|无)标题", prompt, re.IGNORECASE
    )


def unshown(prompt: str) -> list[str]:
    """Return the prompt's words for what a draft can't show, such as "cursive font"; at most four, each once."""
    found = (" ".join(match[0].split()).lower() for match in _UNSHOWN.finditer(prompt))
    return list(dict.fromkeys(found))[:_MOST_UNSHOWN]
