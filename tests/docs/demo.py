"""The animated terminal: records commands on a real terminal, and draws the frames as one SVG.

The SVG follows the reader's choice of light and dark. It begins with the last frame, for programs that do not move it
(https://github.com/haksolot/ank/pull/165 saw such a one). A browser that tells pictures of the wish for less motion
shows nothing else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, unescape

import pyte

from .recorder import Recorder

COMMANDS = ("qwenbuild init --images git posters && cd posters", "qwenbuild plan", "qwenbuild build", "qwenbuild build")
SIZE = (104, 24)
WIDE, HIGH, MARGIN = 8.0, 18, 14
"""Width and height of a character and the margin, in px."""

PATIENCE_S = 100
"""The longest that a command may take."""

KEY_S, PAUSE_S, STEP_S, START_S, END_S = 0.045, 1.3, 0.3, 1.5, 4.0
"""A typed key; the pause after a command; the longest wait for output; the last frame, at the start and at the end."""

COLOURS = {  # light, dark
    "red": ("#b3261e", "#f2958f"),
    "green": ("#1a7f37", "#7ee2a0"),
    "brown": ("#8a5a00", "#e8c268"),
    "blue": ("#3554c8", "#93a7ee"),
    "magenta": ("#8b3fa8", "#d9a5ee"),
    "cyan": ("#0e7490", "#7fd4e8"),
    "grey": ("#6b6e75", "#9a9ea6"),
    "faint": ("#d4d4cf", "#3a3d42"),
}

NAMES = {"brightblack": "grey", "3a3a3a": "faint"}
"""What pyte calls dim text and the rest of a bar."""

STYLE = """\
.t{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre;fill:#1d1e20}
.p{fill:#fafaf9;stroke:#d4d4cf}.b{font-weight:700}
%(light)s
@media(prefers-color-scheme:dark){.t{fill:#ececea}.p{fill:#151618;stroke:#3a3d42}
%(dark)s}
.m{transform:translateY(-%(last)dpx);animation:m %(length).2fs step-end infinite}
@keyframes m{%(stops)s}
@media(prefers-reduced-motion:reduce){.m{animation:none}}"""

Run = tuple[int, str, str]
"""Column, text and classes of characters that look alike."""
Row = tuple[Run, ...]


@dataclass(frozen=True)
class Frame:
    """What the screen shows for a while."""

    rows: tuple[Row, ...]
    shown_s: float

    @property
    def text(self) -> str:
        """The text of the screen."""
        lines = []
        for row in self.rows:
            line = ""
            for column, text, _ in row:
                line = line.ljust(column) + text
            lines.append(line)
        return "\n".join(lines).rstrip("\n") + "\n"


def recorded(home: Path, environ: Mapping[str, str]) -> list[Frame]:
    """Type the commands into a shell on a terminal; return the frames."""
    prompt = {"PS1": "$ ", "BASH_SILENCE_DEPRECATION_WARNING": "1"}
    shell = Recorder(["bash", "--norc", "--noprofile", "--noediting"], home, {**environ, **prompt}, SIZE)
    frames = list[Frame]()

    def add(shown_s: float) -> None:
        rows = rows_of(shell.screen)
        if not frames or frames[-1].rows != rows:
            frames.append(Frame(rows, shown_s))

    try:
        shell.until(r"\$\n")
        for command in COMMANDS:
            for key in command:
                shell.press(key)
                shell.read(5)
                add(KEY_S)
            shell.press("\n")
            deadline = time.monotonic() + PATIENCE_S
            while not is_ready(shell):
                shell.read(0.2)
                assert time.monotonic() < deadline, shell.text
                add(STEP_S)
            frames[-1] = Frame(rows_of(shell.screen), PAUSE_S)
    finally:
        shell.close()
    frames[-1] = Frame(frames[-1].rows, END_S)
    return frames


def is_ready(shell: Recorder) -> bool:
    """Whether the shell waits for the next command."""
    last = shell.screen.display[shell.screen.cursor.y]
    return shell.screen.cursor.x == 2 and last.rstrip() == "$" and not shell.read_now()


def rows_of(screen: pyte.Screen) -> tuple[Row, ...]:
    """Return what a screen shows, as runs of characters that look alike."""
    return tuple(_row(screen, line) for line in range(screen.lines))


def _row(screen: pyte.Screen, line: int) -> Row:
    runs = list[Run]()
    for column in range(screen.columns):
        found = screen.buffer[line][column]
        if found.data == " ":
            if runs and runs[-1][0] + len(runs[-1][1]) == column:
                runs[-1] = (runs[-1][0], runs[-1][1] + " ", runs[-1][2])
            continue
        colour = NAMES.get(found.fg, found.fg if found.fg in COLOURS else "")
        classes = " ".join(filter(None, (colour, "b" if found.bold else "")))
        if runs and runs[-1][2] == classes and runs[-1][0] + len(runs[-1][1]) == column:
            runs[-1] = (runs[-1][0], runs[-1][1] + found.data, classes)
        else:
            runs.append((column, found.data, classes))
    return tuple((column, text.rstrip(), classes) for column, text, classes in runs)


def svg(frames: list[Frame]) -> str:
    """Draw frames as an animated SVG: one below the other, and each is moved into the window in its turn."""
    frames = [Frame(frames[-1].rows, START_S), *frames]
    width, high = SIZE[0] * WIDE + 2 * MARGIN, SIZE[1] * HIGH
    length, past, stops = sum(frame.shown_s for frame in frames), 0.0, []
    numbers = dict[Row, int]()
    drawn = []
    for at, frame in enumerate(frames):
        stops.append(f"{past / length:.3%}{{transform:translateY(-{at * high}px)}}")
        past += frame.shown_s
        for line, row in enumerate(frame.rows):
            if row:
                number = numbers.setdefault(row, len(numbers))
                drawn.append(f'<use href="#r{number}" y="{at * high + (line + 1) * HIGH - 5}"/>')
    style = STYLE % {
        "length": length, "stops": "".join(stops), "last": (len(frames) - 1) * high,
        **{name: "".join(f".{colour}{{fill:{both[at]}}}" for colour, both in COLOURS.items())
           for at, name in enumerate(("light", "dark"))},
    }  # fmt: skip
    rows = "\n".join(f'<g id="r{number}">{"".join(map(_text, row))}</g>' for row, number in numbers.items())
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {high + 2 * MARGIN}" role="img" aria-label="{LABEL}">
<style>{style}</style>
<defs>
{rows}
</defs>
<rect class="p" x=".5" y=".5" width="{width - 1:g}" height="{high + 2 * MARGIN - 1}" rx="8"/>
<svg x="{MARGIN}" y="{MARGIN}" width="{width - 2 * MARGIN:g}" height="{high}"><g class="m">
{"".join(drawn)}
</g></svg>
</svg>
"""


LABEL = "A terminal: qwenbuild init, plan, build, and a second build that has nothing to do"


def _text(run: Run) -> str:
    column, text, classes = run
    return (
        f'<text class="{" ".join(filter(None, ("t", classes)))}" x="{column * WIDE:g}" '
        f'textLength="{len(text) * WIDE:g}">{escape(text)}</text>'
    )


def text_of(drawing: str) -> list[str]:
    """Return the lines of the last frame of a drawing, without the space before them."""
    rows = dict(re.findall(r'<g id="(r\d+)">(.*?)</g>', drawing))
    start = int(re.findall(r"\.m\{transform:translateY\(-(\d+)px", drawing)[0])
    used = [(int(y), number) for number, y in re.findall(r'<use href="#(r\d+)" y="(\d+)"/>', drawing)]
    return [unescape("".join(re.findall(r">([^<]*)</text>", rows[number]))) for y, number in used if y > start]
