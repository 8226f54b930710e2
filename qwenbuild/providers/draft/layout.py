"""The layout of a draft: where strips, picture and texts go, before anything is drawn.

Invariants:
- Every text lies inside the canvas and inside its ground (`On`), and overlaps no other text.
- Texts in one place keep their reading order.
- The layout depends only on the request.
- A text that does not fit at `LEAST_PX` is left out, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qwenbuild.request import Request

from . import fonts
from .arranger import Arranger
from .fonts import BLACK, BOLD, REGULAR
from .furniture import Furniture
from .placed import Box, Layout, On, Placed
from .prompt_texts import Part, Text, picture_description, texts
from .stacks import Typesetter
from .typeset import Block, fit_ends
from .wishes import Kind, kind, unshown

_LEAST_UNIT = 240  # pixels of the shorter side; a smaller draft has no strips, caption, badge or bubble

_MARK = "D R A F T"
WATERMARK = "Qwen-Image"


def layout(request: Request) -> Layout:
    """Return the layout of the draft of a request."""
    wanted = texts(request.prompt, request.negative_prompt)
    found = _layout(request, wanted, 0)
    left_out = sum(text.quoted for text in wanted) - sum(isinstance(item.what, Part) for item in found.placed)
    # The note that a text is left out takes space itself.
    return _layout(request, wanted, left_out) if left_out > 0 and found.strip_px else found


def _layout(request: Request, wanted: Sequence[Text], left_out: int) -> Layout:
    width, height = request.size
    unit = min(width, height)
    strip = max(16, round(unit * 0.038)) if unit >= _LEAST_UNIT else 0
    margin = max(2, round(unit * 0.062))
    content = Box(margin, strip + margin, width - 2 * margin, height - 2 * (strip + margin))
    what = kind(request.prompt)
    typesetter = Typesetter(unit, quoted=any(text.quoted for text in wanted))
    arranger = Arranger(typesetter, wanted, what)
    is_column = width >= height * 1.2 and arranger.is_free
    picture = arranger.beside(content) if is_column else arranger.around(content)
    missing = tuple(fonts.missing(request.prompt))
    furniture = Furniture(typesetter, picture)
    if not strip:
        panel = furniture.panel(arranger.middle, is_in_badge=what is Kind.BADGE)
        return Layout(request.size, 0, picture, tuple(typesetter.placed), panel=panel, kind=what, missing=missing)
    described = picture_description(request.prompt) if typesetter.quoted or not wanted else ""
    caption = furniture.caption(described, _note(request.prompt, missing, left_out))
    panel = furniture.panel(arranger.middle, is_in_badge=what is Kind.BADGE)
    badge = furniture.badge(arranger.badge)
    bubble = furniture.bubble(arranger.bubble)
    return Layout(
        request.size, strip, picture, (*_strips(request, strip), *typesetter.placed), bubble, badge, caption, panel,
        what, missing,
    )  # fmt: skip


def _note(prompt: str, missing: Sequence[str], left_out: int) -> str:
    """Return what the draft does not show, in short sentences; empty if nothing is known to be missing."""
    told = []
    if left_out:
        told.append("No room for 1 text." if left_out == 1 else f"No room for {left_out} texts.")
    if missing:
        told.append(f"No font for {', '.join(missing)}: shown as bars.")
    if wishes := unshown(prompt):
        told.append(f"Not shown: {', '.join(wishes)}.")
    return " ".join(told)


def _strips(request: Request, strip: int) -> Iterable[Placed]:
    """Yield the texts of the strips: DRAFT, model, size and seed at the top; the cell's name at the bottom."""
    if not strip:
        return
    px = round(strip * 0.54)
    pad = round(strip * 0.75)
    inner = request.size.width - 2 * pad

    def line(what: str, block: Block, y: int, x: int, align: float) -> Placed:
        box = Box(x, y + (strip - block.height) // 2, block.width, block.height)
        return Placed(what, block, box, align, On.STRIP)

    mark = fit_ends(_MARK, inner, px=px, weight=BLACK)
    yield line("mark", mark, 0, pad, 0)
    facts = f"{request.model} · {request.size} · seed {request.seed}"
    block = fit_ends(facts, inner - mark.width - 2 * pad, px=px, weight=REGULAR)
    yield line("facts", block, 0, pad + inner - block.width, 1)
    below, room = request.size.height - strip, inner
    if request.watermark:
        block = fit_ends(WATERMARK, inner, px=px, weight=BOLD)
        yield line("watermark", block, below, pad + inner - block.width, 1)
        room -= block.width + 2 * pad
    yield line("label", fit_ends(request.label, room, px=px, weight=REGULAR), below, pad, 0)
