"""Drafts that somebody has looked at: twelve scripts, and designs with places, icons, patterns and colours.

`python -m tests.support.looks FOLDER` draws them all on a contact sheet `FOLDER/drafts.png`, and writes their digests
to `tests/data/drafts.json`. Look at the sheet before you commit the digests.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from PIL import Image

from qwenbuild.providers.draft.artwork import image
from qwenbuild.request import Request
from tests.support.drafts import CHINESE, ENGLISH, SIZES, parti_prompts, request

DIGESTS = Path(__file__).parents[1] / "data" / "drafts.json"

_SCRIPTS = {
    "Latin": "Plakát, title „Příliš žluťoučký kůň“, subtitle „úpěl ďábelské ódy“",
    "Vietnamese": "Poster, title “Chúc mừng năm mới”, subtitle “Tiếng Việt thật dễ thương”",
    "Greek": "Αφίσα, title «Καλημέρα, κόσμε!», subtitle «Ὅμηρος ἐν Ἀθήναις»",
    "Cyrillic": "Плакат, title «Привіт, Україно!», subtitle «Її їжак ґаздує біля під’їзду»",
    "Arabic": "Poster, title “مرحبا بالعالم”, subtitle “قهوة عربية 2026 مع Hello”, badge “جديد”",
    "Hebrew": "Poster, title “שלום עולם!”, subtitle “בית קפה (חדש) ברחוב 12”, footer “פתוח כל יום”",
    "Thai": "โปสเตอร์ title “สวัสดีชาวโลก”, subtitle “ร้านกาแฟที่ดีที่สุดในกรุงเทพมหานคร เปิดทุกวัน”",
    "Devanagari": "Poster, title “नमस्ते दुनिया”, subtitle “कृपया क्षत्रिय स्त्री विद्यार्थी”, footer “हर दिन खुला”",
    "Chinese": CHINESE,
    "Japanese": "日本の夏祭りのポスター。見出し「夏祭り二〇二六」、副題「花火と屋台の夜」",
    "Korean": "한국어 카페 포스터, 제목 “봄날의 커피”, 파스텔 톤 “오늘도 좋은 하루 되세요”",
    "emoji": "Poster, title “Party 🎉🐶 time”, subtitle “👨‍👩‍👧 👍🏽 🇺🇦 ❤️ 1️⃣ ☕”",
    "more scripts": "Title “வணக்கம்”, subtitle “తెలుగు ಕನ್ನಡ മലയാളം ગુજરાતી ਪੰਜਾਬੀ”, “ខ្មែរ ລາວ မြန်မာ ქართული Հայ አማርኛ”",
    "no font": "Poster, title “བཀྲ་ཤིས་བདེ་ལེགས།”, subtitle “ᏣᎳᎩ and ᠮᠣᠩᠭᠣᠯ”",
}
_DESIGNS = (
    ENGLISH,
    "Concert poster, black background. At the top left “JAZZ NIGHT”, at the bottom right “Doors 8pm”, in the center "
    "“Miles & Friends”, no red, without blue",
    "海报，黑色背景，左上角写着“新品上市”，右下角写着“限时八折”，中央是大标题“秋日咖啡”，不要红色",
    "Ad, headline “Fresh Every Morning” on the left, the bottle on the right, a badge “-20%” in the top left corner, "
    "cream background",
    "A poster with the title “SUMMER” in curved handwritten lettering at the bottom, teal and coral",
    "Film poster, “THE LAST TIDE” at the top center, “Coming soon” at the bottom left, “July 12” at the bottom right",
    "Quote card, dark green background, “Less, but better” in the middle, “Dieter Rams” bottom right in small letters",
    "Post with “50% OFF” in the centre and “Shop now” as a button in the lower left corner, pink",
    "Bubble on the right that says “Hello!”, title “Meet Bo” at the top, a small fox, orange, not blue",
    "对联，左书“春风得意马蹄疾”，右书“一日看尽长安花”，横批“金榜题名”，深红色背景",
    "Slide. Center title: “Good Habits”. Left upper: “Breathe” + leaf icon + text “ten times”. Bottom - right: “Sleep”",
    "Flat app icon of a paper plane, gradient background from violet to blue",
    "极简风格的图标，一个文件夹，白色背景，无文字",
    "Logo for a bakery called “Crumb & Co”, brown and cream",
    "一个咖啡店的标志，棕色",
    "A round badge with “EST. 1998” in the center and “HANDMADE” on the top, brown",
    "Seamless repeating pattern of lemons and leaves, yellow and green",
    "无缝图案，樱花和仙鹤，深蓝色背景",
    "Travel poster of Lisbon without any text, orange and teal",
    "Product on a plain #f4c2c2 background, no text, avoid green",
    "Autumn forest, no orange, no title, a badge “Open”",
)
_PARTI = (
    "a circular logo", "Icon of a red heart", "background pattern with alternating roses and skulls",
    "a white background with a large blue circle and a small green square", "a stop sign with a blue background",
    "a black background with a large yellow circle and a small red square", "a circular logo on a coffee mug",
    "the saying 'do unto others as they would do unto you' written on a white background",
    "the words 'KEEP OFF THE GRASS' on a black sticker",
    'The 1970s logo for a london-area football club called "The Rumbury Wanderers"',
)  # fmt: skip


def looked_at() -> dict[str, Request]:
    """Return the requests of the drafts, by name."""
    known = set(parti_prompts())
    assert [prompt for prompt in _PARTI if prompt not in known] == []
    prompts = _SCRIPTS | {f"design {number}": prompt for number, prompt in enumerate([*_DESIGNS, *_PARTI], 1)}
    return {
        name: request(prompt, SIZES[2] if name in _SCRIPTS else SIZES[seed % 5], seed)
        for seed, (name, prompt) in enumerate(prompts.items())
    }


def digest(wanted: Request) -> str:
    """Return a digest of the pixels of a draft."""
    return hashlib.sha256(image(wanted).convert("RGB").tobytes()).hexdigest()[:16]


def main(folder: str) -> None:
    """Draw the contact sheet, and write the digests."""
    side, columns, wanted = 420, 6, looked_at()
    sheet = Image.new("RGB", (columns * side, -(-len(wanted) // columns) * side), (90, 90, 90))
    for number, each in enumerate(wanted.values()):
        draft = image(each).convert("RGB")
        draft.thumbnail((side - 8, side - 8))
        sheet.paste(draft, (number % columns * side, number // columns * side))
    sheet.save(Path(folder) / "drafts.png")
    text = json.dumps({name: digest(each) for name, each in wanted.items()}, indent=2)
    DIGESTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
