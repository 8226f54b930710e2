"""Requests for drafts: the prompts of the API reference and of hard cases."""

from __future__ import annotations

import csv
from pathlib import Path

from qwenbuild.providers.draft.provider import FAMILY
from qwenbuild.request import Request, Size

SIZES = [Size(1664, 928), Size(1472, 1104), Size(1328, 1328), Size(1104, 1472), Size(928, 1664)]

ENGLISH = (
    "Healing-style hand-drawn poster featuring three puppies playing with a ball on lush green grass, adorned with "
    "decorative elements such as birds and stars. The main title “Come Play Ball!” is prominently displayed at the top "
    "in bold, blue cartoon font. Below it, the subtitle “Come [Show Off Your Skills]!” appears in green font. A speech "
    "bubble adds playful charm with the text: “Hehe, watch me amaze my little friends next!” At the bottom, "
    "supplementary text reads: “We get to play ball with our friends again!” The color palette centers on fresh greens "
    "and blues, accented with bright pink and yellow tones to highlight a cheerful, childlike atmosphere."
)
CHINESE = (
    "治愈系手绘风格海报，三只小狗在翠绿的草地上玩球，点缀小鸟和星星等装饰元素。主标题“一起来玩球吧！”以蓝色粗体卡通字体醒目地展示在顶部，"
    "其下方是绿色字体的副标题“快来【秀出你的本领】！”。一个对话框增添童趣，写着：“嘿嘿，接下来看我惊艳小伙伴们！”"
    "底部的补充文字写着：“我们又可以和好朋友一起玩球啦！”整体配色以清新的绿色和蓝色为主，点缀亮粉色和黄色，营造欢快童真的氛围。"
)
LONG = ("A harbour at sunset, with boats, gulls, lanterns and fishermen who mend their nets beside the water, " * 9)[
    :800
]
PROMPTS = [
    ENGLISH,
    CHINESE,
    LONG,
    "Flat icon of a blue folder, 2px outline, two tones of blue on a plain off-white background, no text",
    "A sign that says “" + "X" * 60 + "”",
    "X" * 800,
    "龘" * 800,
    "Poster: “Hello мир 🐶🎉👨‍👩‍👧 مرحبا بالعالم 한국어 नमस्ते”, "
    "subtitle “C'est l'été — Größe Ω”, button “Jetzt alles sofort kaufen”",
    "日本の夏祭りのポスター。見出し「夏祭り二〇二六」、副題「花火と屋台の夜」。下部に「入場無料・雨天決行」と小さな字で。夜空",
    "한국어 카페 포스터, 제목 “봄날의 커피”, 파스텔 톤 “오늘도 좋은 하루 되세요”",
    " ".join(f"“Line {number} of a long list of dishes”," for number in range(12)),
    "bubble “one”, bubble “two”, badge “three”, badge “four”, footer “five”, footer “six”, footer “seven”",
    "",
    " \n\t ",
    "\u202eevil\u200b \x1b[31m“\u0301” ‘’ “”",
]


class UnusedJournal:
    """The journal for a free provider, which must not record anything."""

    async def intend(self, context: object) -> None:
        raise AssertionError

    async def accepted(self, handle: str, *, emulated_by: str = "") -> None:
        raise AssertionError

    async def refused(self) -> None:
        raise AssertionError

    def delayed(self, error: object, wait_s: float) -> None:
        raise AssertionError


def request(prompt: str = ENGLISH, size: Size = SIZES[2], seed: int = 1, *, watermark: bool = False) -> Request:
    """Return the request for a draft. Its label is the name of a cell with this seed and size."""
    label = f"puppies/poster[copy=en,palette=sunset,seed={seed},size={size}]"
    return Request(FAMILY, "qwen-image-plus", prompt, "", size, seed, False, watermark, label)


def parti_prompts() -> list[str]:
    """Return the prompts of PartiPrompts (Apache-2.0), a benchmark of 1,632 short prompts."""
    (table,) = (Path(__file__).parents[1] / "data").rglob("PartiPrompts.tsv")
    with table.open(encoding="utf-8", newline="") as file:
        return [row["Prompt"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
