"""The colours of a draft, from the colour words of its prompt (English and Chinese) and its seed.

Invariants:
- The same prompt and seed give the same colours.
- Ink on paper has a contrast of at least 7:1, and `readable` gives any other text at least 4.5:1
  (WCAG 2.2, levels AAA and AA).

Hues, tints and shades are computed in OKLCH (lightness, chroma, hue: CSS Color 4), because equal
steps in OKLCH look equal.
"""

from __future__ import annotations

import cmath
import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from qwenbuild.digest import sha256


class Colour(NamedTuple):
    """Red, green and blue, each from 0 to 255."""

    red: int
    green: int
    blue: int

    def mixed(self, other: Colour, share: float) -> Colour:
        """Return a mixture: `share` (0 to 1) of `other`, and the rest of this colour."""
        return Colour(*(round(a + (b - a) * share) for a, b in zip(self, other, strict=True)))

    @property
    def luminance(self) -> float:
        """Relative luminance, 0 to 1 (WCAG 2.2)."""
        red, green, blue = map(_linear, self)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one draft: `paper` for its ground, `ink` for its text, the others for its picture."""

    paper: Colour
    ink: Colour
    ground: Colour
    light: Colour
    main: Colour
    deep: Colour
    second: Colour
    third: Colour
    pop: Colour


BLACK, WHITE = Colour(0, 0, 0), Colour(255, 255, 255)

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
_OVERALL = re.compile(r"\bpastels?\b|粉彩|马卡龙|\bmuted\b|莫兰迪", re.IGNORECASE)
_MONO = re.compile(r"\bmono(?:chrome|chromatic)?\b|\bblack[- ]and[- ]white\b|\bgr[ae]yscale\b|黑白|单色", re.IGNORECASE)
_DARK = re.compile(
    r"\b(?:night|midnight|moonlit|moonlight|neon|dark (?:mode|background|theme)|black background)\b"
    r"|夜|深色背景|黑色背景|霓虹|星空",
    re.IGNORECASE,
)
_ABOUT_COLOUR = re.compile(r"\b(?:palette|colou?rs?|tones|hues)\b|配色|色调|主色|色彩|颜色", re.IGNORECASE)
_ABOUT_TEXT = re.compile(r"\b(?:font|letter(?:s|ing)?|text|type|script)\b|字", re.IGNORECASE)


def _either(words: list[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_LATIN = [word for word in _WORDS if word.isascii()]
_CHINESE = [word for word in _WORDS if not word.isascii()]
_FIND = re.compile(
    r"(?:\b(?P<tone>" + "|".join(tones for tones in _TONES) + r")[ -]?)?"
    r"(?:\b(?P<latin>" + _either(_LATIN) + r")(?:e?s)?\b"
    # A single Chinese character is part of many words. It is a colour only before 色 or before another colour.
    r"|(?P<chinese>" + _either([word for word in _CHINESE if len(word) > 1]) + r")"
    r"|(?P<single>[" + "".join(word for word in _CHINESE if len(word) == 1) + r"])(?=色|[与和、/]?.{1,2}色))",
    re.IGNORECASE,
)


def colours(text: str) -> list[Colour]:
    """Return the colours that a text names, in order, each once. A word such as `pale` before a colour changes it."""
    found: list[Colour] = []
    for match in _FIND.finditer(text):
        named = _WORDS[(match["latin"] or match["chinese"] or match["single"]).lower()]
        found += [_toned(colour, match["tone"]) for colour in named] if match["tone"] else named
    return list(dict.fromkeys(found))


def palette(prompt: str, seed: int) -> Palette:
    """Return the palette for a prompt and a seed.

    The prompt's own colours come first. Missing ones are derived from the main colour and the seed.
    """
    chance = bytes.fromhex(sha256(f"palette {seed}".encode()))
    side = 1 if chance[0] % 2 else -1
    named = _ranked(prompt)
    chromatic = [colour for colour in named if _lch(colour)[1] > 0.035]
    neutral = [colour for colour in named if colour not in chromatic]
    grey = bool(_MONO.search(prompt)) or bool(neutral and not chromatic)
    if len(chromatic) > 1 and chance[1] % 3 == 0:
        chromatic[:2] = reversed(chromatic[:2])
    dark = bool(_DARK.search(prompt))
    if not chromatic and dark:
        chromatic = [_rgb(0.6, 0.13, 250 + chance[2] / 255 * 50)]
    elif not chromatic:
        hue = int(sha256(prompt.encode("utf-8", "replace"))[:4], 16) / 65536 * 360 + chance[2] / 255 * 60
        chromatic = [_rgb(0.66, 0.13, hue)]
    main = chromatic[0]
    lightness, chroma, hue = _lch(main)
    tint = 0.0 if grey else min(chroma, 0.13)
    # Few hues look best: neighbours of the main hue, and one contrast if the prompt names no second colour.
    spare = [
        _rgb(0.3 + lightness * 0.5, chroma * 0.9, hue + side * (28 + chance[3] / 255 * 14)),
        _rgb(0.84, chroma * 0.55, hue - side * (20 + chance[4] / 255 * 15)),
        _rgb(0.82, 0.11, hue + (side * 48 if len(named) > 1 else 180 + side * 30)),
    ]
    others = [*chromatic[1:], *(colour for colour in neutral if colour not in _EXTREMES)][:3]
    second, third, pop = [*others, *spare[len(others) :]]
    if _MONO.search(prompt):
        pop = WHITE
    if grey:
        main, second, third = (_rgb(level, 0.0, hue) for level in (0.6, 0.42, 0.76))
    paper = _rgb(0.22, tint * 0.35, hue) if dark else _rgb(0.97, tint * 0.13, hue)
    ink = readable(_rgb(0.96, tint * 0.15, hue) if dark else _rgb(0.27, tint * 0.5, hue), paper, 7.0)
    return Palette(
        paper, ink,
        ground=_rgb(0.34, tint * 0.6, hue) if dark else _rgb(0.89, tint * 0.55, hue),
        light=_rgb(0.45, tint * 0.7, hue) if dark else _rgb(0.95, tint * 0.3, hue),
        main=main, deep=_rgb(lightness * 0.62, min(chroma, tint), hue), second=second, third=third, pop=pop,
    )  # fmt: skip


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((one.luminance, other.luminance), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def readable(colour: Colour, ground: Colour, ratio: float = 4.5) -> Colour:
    """Return `colour`, darkened or lightened until its contrast on `ground` is at least `ratio`."""
    target = max(BLACK, WHITE, key=lambda end: contrast(end, ground))
    for step in range(21):
        mixed = colour.mixed(target, step / 20)
        if contrast(mixed, ground) >= ratio:
            return mixed
    return target


_EXTREMES = (_COLOURS["white"], _COLOURS["black"])


def _ranked(prompt: str) -> list[Colour]:
    """Return the prompt's colours: first those of sentences about colours, last those of sentences about lettering."""
    sentences = re.split(r"(?<=[.。!?！？;；])\s*", prompt)
    ranks: list[list[Colour]] = [[], [], []]
    for sentence in sentences:
        about = 0 if _ABOUT_COLOUR.search(sentence) else 2 if _ABOUT_TEXT.search(sentence) else 1
        ranks[about] += colours(sentence)
    found = [colour for rank in ranks for colour in rank]
    overall = _OVERALL.search(prompt)
    return list(dict.fromkeys(_toned(colour, overall[0].rstrip("sS")) if overall else colour for colour in found))


def _toned(colour: Colour, word: str) -> Colour:
    lightness, chroma, hue = _lch(colour)
    for words, (goal, share, factor) in _TONES.items():
        if word.lower() in words.split("|"):
            return _rgb(lightness + (goal - lightness) * share, chroma * factor, hue)
    return colour


# --- OKLCH: https://bottosson.github.io/posts/oklab/, CSS Color 4 ---


def _linear(part: int) -> float:
    """Return the linear light, 0 to 1, of an sRGB component of 0 to 255."""
    share = part / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


def _lch(colour: Colour) -> tuple[float, float, float]:
    """Return lightness (0 to 1), chroma (0 to about 0.37) and hue in degrees."""
    r, g, b = map(_linear, colour)
    x = math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b)
    y = math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b)
    z = math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b)
    lightness = 0.2104542553 * x + 0.7936177850 * y - 0.0040720468 * z
    green_red = 1.9779984951 * x - 2.4285922050 * y + 0.4505937099 * z
    blue_yellow = 0.0259040371 * x + 0.7827717662 * y - 0.8086757660 * z
    chroma, angle = cmath.polar(complex(green_red, blue_yellow))
    return lightness, chroma, math.degrees(angle)


def _rgb(lightness: float, chroma: float, hue: float) -> Colour:
    """Return the sRGB colour. A chroma that sRGB can't show is reduced until it can."""
    while True:
        a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
        x = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
        y = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
        z = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
        parts = (
            4.0767416621 * x - 3.3077115913 * y + 0.2309699292 * z,
            -1.2684380046 * x + 2.6097574011 * y - 0.3413193965 * z,
            -0.0041960863 * x - 0.7034186147 * y + 1.7076147010 * z,
        )
        if chroma < 0.005 or all(-0.001 <= part <= 1.001 for part in parts):
            clipped = (min(1.0, max(0.0, part)) for part in parts)
            encoded = (12.92 * p if p <= 0.0031308 else 1.055 * p ** (1 / 2.4) - 0.055 for p in clipped)
            return Colour(*(round(part * 255) for part in encoded))
        chroma -= 0.004
