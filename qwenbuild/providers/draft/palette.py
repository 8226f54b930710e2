"""The colours of a draft, from the colour words of its prompt (English and Chinese) and its seed.

Invariants:
- The same prompt and seed give the same colours.
- No colour has the hue of a colour that the prompt or the negative prompt rules out.
- Ink on paper has a contrast of at least 7:1, and `readable` gives any other text at least 4.5:1
  (WCAG 2.2, levels AAA and AA).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from qwenbuild import quoted_texts
from qwenbuild.digest import sha256

from .colour_words import EXTREMES, background, colours, excluded, toned
from .oklch import BLACK, WHITE, Colour, hue_distance, lch, readable, rgb


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


_OVERALL = re.compile(r"\bpastels?\b|粉彩|马卡龙|\bmuted\b|莫兰迪", re.IGNORECASE)
_MONO = re.compile(r"\bmono(?:chrome|chromatic)?\b|\bblack[- ]and[- ]white\b|\bgr[ae]yscale\b|黑白|单色", re.IGNORECASE)
_DARK = re.compile(
    r"\b(?:night|midnight|moonlit|moonlight|neon|dark (?:mode|background|theme))\b"
    r"|夜|深色背景|霓虹|星空",
    re.IGNORECASE,
)
_ABOUT_COLOUR = re.compile(r"\b(?:palette|colou?rs?|tones|hues)\b|配色|色调|主色|色彩|颜色", re.IGNORECASE)
_ABOUT_TEXT = re.compile(r"\b(?:font|letter(?:s|ing)?|text|type|script)\b|字", re.IGNORECASE)


_NEAR_DEG = 32  # hues that are closer are the same colour to the eye
_FAINT = 0.045  # chroma; below it nobody sees the hue
_TURN_DEG = 47  # how far a hue is turned at a time, to leave what is ruled out


def palette(prompt: str, seed: int, negative_prompt: str = "") -> Palette:
    """Return the palette for a prompt and a seed.

    The prompt's own colours come first. Missing ones are derived from the main colour and the seed. Colours that the
    prompt or the negative prompt rules out do not appear.
    """
    chance = bytes.fromhex(sha256(f"palette {seed}".encode()))
    side = 1 if chance[0] % 2 else -1
    words, ruled_out = excluded(_outside_quotes(prompt), negative_prompt)
    banned = [lch(colour)[2] for colour in ruled_out if lch(colour)[1] > _FAINT]
    ground = background(words)
    if ground in ruled_out:
        ground = None
    named = [colour for colour in _ranked(words) if colour not in ruled_out and not _is_banned(colour, banned)]
    if ground in named and len(named) > 1:
        named.remove(ground)
    chromatic = [colour for colour in named if lch(colour)[1] > 0.035]
    neutral = [colour for colour in named if colour not in chromatic]
    grey = bool(_MONO.search(words)) or bool(neutral and not chromatic and ground is None)
    if len(chromatic) > 1 and chance[1] % 3 == 0:
        chromatic[:2] = reversed(chromatic[:2])
    dark = bool(_DARK.search(words)) if ground is None else ground.luminance < 0.18
    if not chromatic:
        hue = int(sha256(prompt.encode("utf-8", "replace"))[:4], 16) / 65536 * 360 + chance[2] / 255 * 60
        lightness, hue = (0.6, 250 + chance[2] / 255 * 50) if dark and ground is None else (0.66, hue)
        chromatic = [rgb(lightness, 0.13, _allowed(hue, banned))]
    main = chromatic[0]
    lightness, chroma, hue = lch(main)
    tint = 0.0 if grey else min(chroma, 0.13)
    # Few hues look best: neighbours of the main hue, and one contrast if the prompt names no second colour.
    spare = [
        rgb(0.3 + lightness * 0.5, chroma * 0.9, _allowed(hue + side * (28 + chance[3] / 255 * 14), banned)),
        rgb(0.84, chroma * 0.55, _allowed(hue - side * (20 + chance[4] / 255 * 15), banned)),
        rgb(0.82, 0.11, _allowed(hue + (side * 48 if len(named) > 1 else 180 + side * 30), banned)),
    ]
    others = [*chromatic[1:], *(colour for colour in neutral if colour not in EXTREMES)][:3]
    second, third, pop = [*others, *spare[len(others) :]]
    if _MONO.search(words):
        pop = WHITE
    if grey:
        main, second, third = (rgb(level, 0.0, hue) for level in (0.6, 0.42, 0.76))
    paper = rgb(0.22, tint * 0.35, hue) if dark else rgb(0.97, tint * 0.13, hue)
    picture = rgb(0.34, tint * 0.6, hue) if dark else rgb(0.89, tint * 0.55, hue)
    if ground is not None:
        paper, picture = _printable(ground), ground
    ink = readable(rgb(0.96, tint * 0.15, hue) if dark else rgb(0.27, tint * 0.5, hue), paper, 7.0)
    return Palette(
        paper, ink, ground=picture,
        light=rgb(0.45, tint * 0.7, hue) if dark else rgb(0.95, tint * 0.3, hue),
        main=main, deep=rgb(lightness * 0.62, min(chroma, tint), hue), second=second, third=third, pop=pop,
    )  # fmt: skip


def _outside_quotes(prompt: str) -> str:
    """Return the prompt without its quoted texts: “Black Friday” does not ask for black."""
    for start, end, _ in reversed(list(quoted_texts.find(prompt))):
        prompt = f"{prompt[:start]}“”{prompt[end:]}"
    return prompt


def _printable(ground: Colour) -> Colour:
    """Return the colour nearest to `ground` on which ink of some colour has a contrast of 7:1."""
    return min(
        (readable(ground, ink, 7.0) for ink in (WHITE, BLACK)),
        key=lambda colour: sum((a - b) ** 2 for a, b in zip(colour, ground, strict=True)),
    )


def _is_banned(colour: Colour, banned: Sequence[float]) -> bool:
    _, chroma, hue = lch(colour)
    return chroma > _FAINT and any(hue_distance(hue, each) < _NEAR_DEG for each in banned)


def _allowed(hue: float, banned: Sequence[float]) -> float:
    """Return the hue, turned until it is none of those that are ruled out; the hue itself if all are."""
    for turns in range(8):
        turned = hue + turns * _TURN_DEG
        if all(hue_distance(turned, each) >= _NEAR_DEG for each in banned):
            return turned
    return hue


def _ranked(prompt: str) -> list[Colour]:
    """Return the prompt's colours: first those of sentences about colours, last those of sentences about lettering."""
    sentences = re.split(r"(?<=[.。!?！？;；])\s*", prompt)
    ranks: list[list[Colour]] = [[], [], []]
    for sentence in sentences:
        about = 0 if _ABOUT_COLOUR.search(sentence) else 2 if _ABOUT_TEXT.search(sentence) else 1
        ranks[about] += colours(sentence)
    found = [colour for rank in ranks for colour in rank]
    overall = _OVERALL.search(prompt)
    return list(dict.fromkeys(toned(colour, overall[0].rstrip("sS")) if overall else colour for colour in found))
