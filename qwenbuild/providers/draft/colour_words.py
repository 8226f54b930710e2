"""The colour words of prompts: which colours a text names, rules out, and wants for the background.

English and Chinese words count, and codes such as #1a2b3c.
"""

from __future__ import annotations

import re

from .oklch import Colour, lch, rgb

_HEX = {
    "red, 红, 大红, 赤": "d93636", "crimson": "b8143c", "scarlet, 朱红": "d6281f",
    "burgundy, wine red, 酒红": "7a1f35", "maroon": "742030", "orange, 橙, 橘": "f08a24", "apricot, 杏": "f5b17b",
    "peach, 桃": "f7b58f", "coral, 珊瑚": "f2785c", "terracotta": "c4623f", "rust": "b0512b", "amber, 琥珀": "f0a51f",
    "yellow, 黄, 明黄": "f6cf3b", "gold, golden, 金, 金黄": "d9a62b", "lemon, 柠檬": "f5e05a",
    "mustard, 芥末": "cf9f2b", "honey": "e3a437", "green, 绿": "3f9e58", "emerald, 翠绿": "1e8f64",
    "olive, 橄榄": "7d8442", "lime, 草绿, 嫩绿": "9ccb3b", "mint, 薄荷": "8fd8b5", "sage": "9caf88",
    "forest green, 墨绿": "2c6b43", "teal, 青": "1e8a8a", "turquoise": "36b7b0", "cyan": "2fb6cf", "aqua": "45bfc4",
    "blue, 蓝": "2f6fd0", "sky blue, 天蓝": "6db6ec", "sea blue, 湖蓝, 海蓝": "2a7fa8",
    "navy, 藏青, 海军蓝": "22346b", "indigo, 靛": "4146a3", "cobalt, 宝蓝": "2351b5", "purple, 紫": "7a4bb0",
    "violet, 紫罗兰": "8257c2", "lavender, 薰衣草": "b3a1dd", "lilac, 丁香": "c3a5d9", "plum": "7d3f77",
    "magenta, 洋红": "c93a94", "pink, 粉, 粉红": "f080a8", "rose, 玫瑰": "de6585", "brown, 棕, 褐": "7d5539",
    "chocolate, 巧克力": "5b3a28", "coffee, 咖啡": "6b4a35", "beige, 米": "dcc9a6", "cream, 奶油, 米白": "f1e4c6",
    "sand": "dcc391", "ivory, 象牙": "efe8d3", "white, 白": "f4f3ef", "silver, 银": "b4bac2",
    "grey, gray, 灰": "868c94", "charcoal, 炭": "3a3f47", "black, 黑": "23252c",
}  # fmt: skip
_THEMES = {
    "sunset, 日落, 夕阳, 晚霞": "orange coral plum", "sunrise, dawn, 日出": "peach lemon cobalt",
    "ocean, underwater, 海洋, 大海, 海底": "cobalt teal sand", "forest, jungle, 森林, 丛林": "emerald sage brown",
    "autumn, 秋天, 秋日": "rust mustard burgundy", "springtime, 春天, 春日": "lime pink lemon",
    "candy, 糖果": "pink mint lemon", "neon, 霓虹": "magenta cyan lime",
    "earth tone, earthy, 大地": "terracotta sand olive", "moonlit, moonlight, 月光, 月色": "navy silver lavender",
    "retro, vintage, 复古": "terracotta mustard teal",
}  # fmt: skip
_COLOURS = {name: Colour(*bytes.fromhex(code)) for names, code in _HEX.items() for name in names.split(", ")}
EXTREMES = (_COLOURS["white"], _COLOURS["black"])
"""What `white` and `black` name."""

_WORDS = {name: (colour,) for name, colour in _COLOURS.items()} | {
    name: tuple(_COLOURS[word] for word in words.split())
    for names, words in _THEMES.items()
    for name in names.split(", ")
}

# Words that change the colour after them, or all colours: (lightness goal, share of the way to it, chroma factor).
_TONES = {
    "light|pale|soft|浅|淡": (0.9, 0.6, 0.75), "pastel|粉彩|马卡龙": (0.88, 0.75, 0.75),
    "deep|dark|深|暗": (0.3, 0.35, 0.95), "bright|vivid|vibrant|fresh|亮|鲜": (0.75, 0.2, 1.15),
    "muted|dusty|faded|desaturated|莫兰迪": (0.68, 0.3, 0.45),
}  # fmt: skip


def _either(words: list[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_LATIN = [word for word in _WORDS if word.isascii()]
_CHINESE = [word for word in _WORDS if not word.isascii()]
_FIND = re.compile(
    r"(?:\b(?P<tone>" + "|".join(tones for tones in _TONES) + r")[ -]?)?"
    r"(?:\b(?P<latin>" + _either(_LATIN) + r")(?:e?s)?\b"
    # A single Chinese character is part of many words. It is a colour only before 色 or before another colour.
    r"|#(?P<code>[0-9a-f]{6}|[0-9a-f]{3})\b"
    r"|(?P<chinese>" + _either([word for word in _CHINESE if len(word) > 1]) + r")"
    r"|(?P<single>[" + "".join(word for word in _CHINESE if len(word) == 1) + r"])(?=色|[与和、/]?.{1,2}色))",
    re.IGNORECASE,
)


_ONE = re.sub(r"\(\?P<\w+>", "(?:", _FIND.pattern)
_NOT = (
    r"(?:\b(?:no|not|without|avoid(?:ing)?|never|except(?: for)?|exclud(?:e|ing)|free of|instead of|"
    r"(?:do not|don['’]t) (?:use|add|include))\s+"
    r"(?:(?:any|the|use|of|shades?|tones?|hints?|colou?rs?|touch(?:es)?)\s+)*"
    r"|(?:不要|不用|没有|避免|不含|禁止|别用|不能有|不可有|无)(?:使用|出现|任何|有)*)"
)
# "no red, green or blue" is a list, but "no red, blue sky" is not.
_EXCLUDED = re.compile(
    rf"{_NOT}(?P<list>(?:{_ONE})(?:(?:\s*,\s*(?:{_ONE}))*\s*,?\s*(?:\bor\b|\band\b|\bnor\b|/)\s*(?:no\s+)?(?:{_ONE}))?"
    rf"(?:色?(?:[、和或与及]|或者)(?:{_ONE}))*)",
    re.IGNORECASE,
)
_GROUND = re.compile(
    r"(?P<before>(?:[\w#-]+\s+){1,4})(?:back(?:ground|drop)|bg)\b(?!\s+(?:is|of|in)\b|\s*:)"
    r"|\bback(?:ground|drop)(?:\s+colou?r)?\s*(?:is|of|in|:|=)\s*(?P<after>(?:[\w#-]+\s*){1,4})"
    r"|(?P<chinese>[\u4e00-\u9fff]{1,6}?)(?:的|纯)*(?:背景|底(?!部|下|端|层|座))"
    r"|背景(?:颜色|色)?(?:是|为|用|采用|：|:)(?P<chinese_after>[\u4e00-\u9fff]{1,6})",
    re.IGNORECASE,
)


def colours(text: str, *, themes: bool = True) -> list[Colour]:
    """Return the colours that a text names, in order, each once. A word such as `pale` before a colour changes it.

    With `themes`, words such as `sunset` name several colours.
    """
    found: list[Colour] = []
    for match in _FIND.finditer(text):
        if code := match["code"]:
            whole = code if len(code) == 6 else "".join(2 * digit for digit in code)
            found.append(Colour(*bytes.fromhex(whole)))
            continue
        named = _WORDS[(match["latin"] or match["chinese"] or match["single"]).lower()]
        if len(named) > 1 and not themes:
            continue
        found += [toned(colour, match["tone"]) for colour in named] if match["tone"] else named
    return list(dict.fromkeys(found))


def excluded(prompt: str, negative_prompt: str = "") -> tuple[str, list[Colour]]:
    """Return the prompt without what rules colours out, and all colours ruled out there or in the negative prompt."""
    found = [colour for match in _EXCLUDED.finditer(prompt) for colour in colours(_complete(match["list"]))]
    return _EXCLUDED.sub(" ", prompt), list(dict.fromkeys([*found, *colours(negative_prompt)]))


def _complete(words: str) -> str:
    """Return Chinese words with a final 色, by which a single character is known as a colour."""
    return words if words[-1].isascii() or words.endswith("色") else f"{words}色"


def background(prompt: str) -> Colour | None:
    """Return the colour that a prompt wants for its background, None if it names none."""
    for match in _GROUND.finditer(prompt):
        if words := match["before"] or match["after"]:
            named = colours(words)
        else:
            words = match["chinese"] or match["chinese_after"]
            named = colours(_complete(words))
        if named:
            return named[0 if match["after"] else -1]
    return None


def toned(colour: Colour, word: str) -> Colour:
    """Return a colour as a word before it changes it: `pale`, `deep`. Other words change nothing."""
    lightness, chroma, hue = lch(colour)
    for words, (goal, share, factor) in _TONES.items():
        if word.lower() in words.split("|"):
            return rgb(lightness + (goal - lightness) * share, chroma * factor, hue)
    return colour
