"""The rows of the performance contract: what each row sets up, compares, and limits.

A row takes a new folder, a factor for its numbers of outputs, and the number of rounds. It returns its figures.
"""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from .measure import REPOSITORY, Contender, Figure, Sample, alternate, compared, python, qwenbuild, scaled
from .places import TEMPLATE, Project, Tool, built, project
from .reports import report
from .service import running
from .unchanged import no_op, no_op_large, restored_clone, unchanged

KIB, GIB = 1024, 1024**3
_NULL_AT_ONCE = os.cpu_count() or 1  # renders of the provider `null`
Row = Callable[[Path, float, int], list[Figure]]


def start(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """`--version` and `--help`, compared with an interpreter that does nothing."""
    found = alternate([
        Contender("python -c pass", python("-c", "pass"), folder),
        Contender("qwenbuild --version", qwenbuild("--version"), folder),
        Contender("qwenbuild --help", qwenbuild("--help"), folder),
    ], 4 * rounds)  # fmt: skip
    return compared("start", found, "python -c pass", {"qwenbuild --version": 3.0, "qwenbuild --help": 3.0})


def template_edit(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """A plan after an edit of the template of 10,000 cells, compared with the bare loop."""
    count = scaled(10_000, scale)
    place = built(folder, count)
    edits = iter(range(10**9))

    def edit() -> None:
        (place.root / "templates/poster.j2").write_text(f"{TEMPLATE} {next(edits)}", "utf-8")

    return _plan(f"template edited, {count:,} cells", place, count, 2 * rounds, 3.0, edit)


def cold_plan(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """A plan of 100,000 cells without any output, compared with the bare loop; and its memory per cell."""
    count = scaled(100_000, scale)
    job = f"cold plan, {count:,} cells"
    figures = _plan(job, project(folder, count), count, rounds, 4.0)
    cell = figures[1].peak_bytes / count
    return [*figures, Figure(job, "memory of a cell", cell / KIB, "KiB", most=1.0)]


def _plan(
    job: str, place: Project, count: int, rounds: int, most: float, prepare: Callable[[], object] = lambda: None
) -> list[Figure]:
    """Compare CPU times without start-up: the time of the same command for ten cells is subtracted."""
    small = project(place.root.parent / "small", 10)
    found = alternate([
        _prompts("Jinja + SHA-256", place),
        Contender("qwenbuild plan", qwenbuild("plan"), place.root, place.environ, prepare),
        _prompts("bare start", small),
        Contender("start", qwenbuild("plan"), small.root, small.environ),
    ], rounds)  # fmt: skip
    starts = {"Jinja + SHA-256": found["bare start"], "qwenbuild plan": found["start"]}
    beyond = {
        name: Sample(found[name].cpu_s - it.cpu_s, 0.0, found[name].peak_bytes - it.peak_bytes)
        for name, it in starts.items()
    }
    return compared(job, beyond, "Jinja + SHA-256", {"qwenbuild plan": most})


def _prompts(name: str, place: Project) -> Contender:
    return Contender(name, python("-m", "tests.benchmarks.bare", "prompts", str(place.root)), REPOSITORY)


def million(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """`plan --json` of 1,000,000 cells, and its peak memory."""
    count = scaled(1_000_000, scale)
    place = project(folder, count)
    command = qwenbuild("plan", "--json")
    found = alternate([Contender("plan --json", command, place.root, place.environ)], 1)["plan --json"]
    job = f"{count:,} cells"
    return [
        Figure(job, "plan --json", found.seconds, peak_bytes=found.peak_bytes),
        Figure(job, "peak memory", found.peak_bytes / GIB, "GiB", most=1.5),
    ]


def latency(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """A build of 500 images, 50 at once, 5 s each, compared with the shortest possible time.

    One round, because it takes 50 s, of which nearly all is waiting.
    """
    return _latency(folder, scaled(500, scale), 5.0, 1, {"qwenbuild build": 1.05})


def latency_thousand(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """The same with 1,000 images."""
    return _latency(folder, scaled(1_000, scale), 5.0, min(rounds, 3), {"qwenbuild build": 1.05})


def latency_large(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """A build of 10,000 images, 50 at once, 2 s each, one round; memory must not grow with the number of images."""
    return _latency(folder, scaled(10_000, scale), 2.0, 1, {"qwenbuild build": 1.05})


def latency_quick(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """A build of 1,000 images, 50 at once, 2 s each, beside httpx alone.

    There is no limit: at 25 images per second, httpx alone needs more than 1.05 of the shortest possible time, too.
    """
    return _latency(folder, scaled(1_000, scale), 2.0, rounds, {}, with_httpx=True)


def _latency(
    folder: Path, count: int, latency_s: float, rounds: int, most: dict[str, float], *, with_httpx: bool = False
) -> list[Figure]:
    at_once = 50
    with running(latency_s, 200_000) as base_url:
        place = _service_project(folder, count, base_url, at_once)
        contenders = [_first_build("qwenbuild build", place, count)]
        if with_httpx:
            contenders.append(_calls("httpx alone", count, at_once, base_url))
        found = alternate(contenders, rounds)
    job, least_s = f"{count:,} requests of {latency_s:g} s, {at_once} at once", latency_s * -(-count // at_once)
    found = {"N·L/C": Sample(least_s, 0.0, 0), **found}
    return compared(job, found, "N·L/C", most)


def claims(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """A build of 500 paid images, 50 at once, 1 s each, compared with the same build without claims, in two rounds."""
    return _claims(folder, scaled(500, scale), min(rounds, 2))


def claims_thousand(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """The same with 1,000 images."""
    return _claims(folder, scaled(1_000, scale), rounds)


def _claims(folder: Path, count: int, rounds: int) -> list[Figure]:
    with running(1.0, 200_000) as base_url:
        place = _service_project(folder, count, base_url, 50)
        claimed = _first_build("qwenbuild build", place, count)
        unclaimed = python("-m", "tests.benchmarks.unclaimed", str(place.root))
        contenders = [
            Contender("without claims", unclaimed, REPOSITORY, claimed.environ, claimed.prepare),
            claimed,
        ]
        found = alternate(contenders, rounds)
    return compared(f"{count:,} paid images of 1 s, 50 at once", found, "without claims", {"qwenbuild build": 1.05})


def _calls(name: str, count: int, at_once: int, base_url: str) -> Contender:
    return Contender(
        name, python("-m", "tests.benchmarks.bare", "calls", str(count), str(at_once), base_url), REPOSITORY
    )


def cpu(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """CPU time per image: of httpx's calls alone, and of the builder with a provider that renders instantly.

    150 images go over HTTP: each takes some 50 ms. The builder makes 1,000.
    """
    count, sent, at_once = scaled(1_000, scale), scaled(150, scale), 50
    with running(0.0, 1_500_000) as base_url:
        place, plain = _service_project(folder / "service", sent, base_url, at_once), project(folder / "null", count)
        idle = project(folder / "idle", 10)
        idle.run("build")
        found = alternate([
            _calls("httpx alone", sent, at_once, base_url),
            _first_build("builder", plain, count),
            _first_build("build over HTTP", place, sent),
            Contender("idle", qwenbuild("build", "--force"), idle.root, idle.environ),
            Contender("httpx idle", python("-c", "import httpx, asyncio"), REPOSITORY),
        ], rounds)  # fmt: skip
    calls = (found["httpx alone"].cpu_s - found["httpx idle"].cpu_s) / sent * 1000
    job = "CPU for an image of 1.5 MB"
    figures = [Figure(job, "httpx alone", calls, "ms")]
    for name, images, most in (("builder", count, 1.5), ("build over HTTP", sent, 0.0)):
        each = (found[name].cpu_s - found["idle"].cpu_s) / images * 1000
        figures.append(Figure(job, name, each, "ms", each / calls, most, found[name].peak_bytes))
    return figures


def loop(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """How long callbacks block the event loop in a build of 250 images of 1.5 MB, in three rounds."""
    count, found = scaled(250, scale), []
    with running(0.0, 1_500_000) as base_url:
        for number in range(min(rounds, 3)):
            place = _service_project(folder / str(number), count, base_url, 50)
            environ = {**os.environ, **place.environ, "DASHSCOPE_API_KEY": "sk-emulator"}
            command = python("-m", "tests.benchmarks.loop", str(place.root))
            done = subprocess.run(command, cwd=REPOSITORY, env=environ, check=True, capture_output=True, text=True)
            found.append([float(figure) * 1000 for figure in done.stdout.split()])
    job = f"event loop, {count:,} images"
    tools = (("999 of 1,000 callbacks", 10.0), ("longest callback", 0.0), ("garbage collection", 0.0))
    return [
        Figure(job, tool, statistics.median(ms), "ms", most=most)
        for (tool, most), ms in zip(tools, zip(*found, strict=True), strict=True)
    ]


def _service_project(folder: Path, count: int, base_url: str, at_once: int) -> Project:
    config = (
        '[providers.dashscope]\ninterface = "sync"\nsubmits = "100000/second"\n'
        f'max_concurrency = {at_once}\nbase_url = "{base_url}"\n'
    )
    return project(folder, count, config=config)


def _first_build(name: str, place: Project, count: int) -> Contender:
    """Return a first build: before each run, the store, the state and the outputs are moved away."""

    def prepare() -> None:
        for path in (place.store, place.root / "out", place.root / ".qwenbuild", place.root / "qwenbuild.lock"):
            if path.exists():
                os.rename(path, path.with_name(f"{path.name}-{os.urandom(4).hex()}"))  # deletion is slow

    environ = {**place.environ, "DASHSCOPE_API_KEY": "sk-emulator"}
    return Contender(name, qwenbuild("build"), place.root, environ, prepare)


def restore(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """A restore of 10,000 images of 200 kB, compared with `cp --reflink=auto` and `sync`."""
    count = scaled(10_000, scale)
    with running(0.0, 200_000) as base_url:
        place = _service_project(folder, count, base_url, 50)
        environ = {**os.environ, **place.environ, "DASHSCOPE_API_KEY": "sk-emulator"}
        command = qwenbuild("build")
        subprocess.run(command, cwd=place.root, env=environ, check=True, stderr=subprocess.DEVNULL)
    clones = [place.sibling(f"clone-{number}") for number in range(rounds)]
    pairs = []
    for number in range(rounds):
        copy = f"cp -r --reflink=auto {place.root}/out {folder}/copy-{number} && sync -f {folder}/copy-{number}"
        pairs.append((
            Contender("cp + sync", ["sh", "-c", copy], folder, prepare=os.sync),
            Contender("qwenbuild build", command, clones[number].root, place.environ, prepare=os.sync),
        ))  # fmt: skip
    samples = [alternate(pair, 1) for pair in pairs]
    middle = sorted(samples, key=lambda it: it["qwenbuild build"].seconds / it["cp + sync"].seconds)[len(samples) // 2]
    return compared(f"restore, {count:,} images", middle, "cp + sync", {"qwenbuild build": 1.5})


def cold_build(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """A first build of null images, compared with writing the same files (store and outputs) with one fsync each."""
    count = scaled(1_000, scale)
    place = project(folder, count)
    place.run("build")
    kept = folder / "kept"
    kept.mkdir()
    for path in (place.root / "out", place.store):
        path.rename(kept / path.name)
    targets = (folder / f"files-{number}" for number in range(10**9))

    def write() -> list[str]:
        return python("-m", "tests.benchmarks.bare", "files", str(kept), str(next(targets)), str(_NULL_AT_ONCE))

    first = _first_build("qwenbuild build", place, count)
    pairs = [alternate([Contender("files", write(), REPOSITORY), first], 1) for _ in range(min(rounds, 3))]
    middle = sorted(pairs, key=lambda it: it["qwenbuild build"].seconds / it["files"].seconds)[len(pairs) // 2]
    return compared(f"cold build, {count:,} null images", middle, "files", {"qwenbuild build": 1.5})


def watch(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """The time from a save to the plan, without the watcher's own delay, for 1,000 and 10,000 cells.

    The bare loop over the prompts shows the speed of the machine.
    """
    figures = []
    for cells, most_ms in ((1_000, 100.0), (10_000, 400.0)):
        count = scaled(cells, scale)
        place = project(folder / str(cells), count)
        environ = {**os.environ, **place.environ}
        command = python("-m", "tests.benchmarks.edits", str(place.root), str(rounds))
        done = subprocess.run(command, cwd=REPOSITORY, env=environ, check=True, capture_output=True, text=True)
        to_event, to_plan = map(float, done.stdout.split())
        job = f"edit watched, {count:,} cells"
        figures.append(Figure(job, "watchfiles", to_event * 1000, "ms"))
        figures.append(Figure(job, "plan known, more", (to_plan - to_event) * 1000, "ms", most=most_ms))
    few = project(folder / "few", 10)
    found = alternate([_prompts("Jinja + SHA-256", place), _prompts("bare start", few)], rounds)
    bare_s = found["Jinja + SHA-256"].cpu_s - found["bare start"].cpu_s
    return [*figures, Figure(job, "Jinja + SHA-256", bare_s * 1000, "ms")]


def one_change(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """One row of a table of 10,000 is edited: the time beyond that of a project of one cell."""
    return _one_change(folder, scaled(10_000, scale), rounds, 0.5)


def one_change_tools(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """The same edit, and one of 10,000 inputs edited for other tools, in one run."""
    return _one_change(folder, count := scaled(10_000, scale), rounds, 0.5, _others(folder, count))


def one_change_large(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """One row of a table of 100,000 is edited."""
    return _one_change(folder, scaled(100_000, scale), min(rounds, 3), 3.0)


def _one_change(folder: Path, count: int, rounds: int, most_s: float, others: Sequence[Contender] = ()) -> list[Figure]:
    places = [built(folder / "one", 1), built(folder / "many", count)]
    edits = iter(range(10**9))

    def edit(place: Project) -> Callable[[], None]:
        table = place.root / "data/rows.csv"

        def now() -> None:
            head, first, *others = table.read_text("utf-8").split("\n")
            name, _, rest = first.partition(",")
            table.write_text("\n".join([head, f"{name},{rest.split(' ')[0]} {next(edits)}x {rest}", *others]), "utf-8")

        return now

    one, many = (Contender(f"qwenbuild, {number:,} rows", qwenbuild("build"), place.root, place.environ, edit(place))
                 for number, place in zip((1, count), places, strict=True))  # fmt: skip
    found = alternate([one, many, *others[:3]], rounds) | alternate(others[3:], 1)
    job = f"one row of {count:,} changed"
    beyond = found[many.name].seconds - found[one.name].seconds
    figures = [Figure(job, name, sample.seconds, peak_bytes=sample.peak_bytes) for name, sample in found.items()]
    return [*figures, Figure(job, "qwenbuild beyond one row", beyond, most=most_s)]


def _others(folder: Path, count: int) -> list[Contender]:
    """Return other tools, each with one of its inputs edited. The last two take so long that they run once."""
    tools = {
        "ninja": Tool.ninja(folder / "ninja", count, own_inputs=True),
        "make": Tool.make(folder / "make", count, own_inputs=True),
        "doit": Tool.doit(folder / "doit", count, own_inputs=True),
        "SCons": Tool.scons(folder / "scons", count),
        "Snakemake": Tool.snakemake(folder / "snakemake", count),
    }
    edits = iter(range(10**9))

    def edit(tool: Tool) -> Callable[[], None]:
        source = sorted((tool.root / "in").iterdir())[0]
        return lambda: (source.write_text(f"seed = {next(edits)}\n", "utf-8"), None)[1]

    return [Contender(name, tool.command, tool.root, prepare=edit(tool)) for name, tool in tools.items()]


ROWS: dict[str, Row] = {
    "start": start, "no-op": no_op, "no-op-large": no_op_large, "template-edit": template_edit, "cold-plan": cold_plan,
    "million": million, "latency": latency, "latency-thousand": latency_thousand, "latency-large": latency_large,
    "latency-quick": latency_quick, "claims": claims, "claims-thousand": claims_thousand, "cpu": cpu, "loop": loop,
    "restore": restore, "cold-build": cold_build, "watch": watch, "one-change": one_change,
    "one-change-tools": one_change_tools, "one-change-large": one_change_large, "unchanged": unchanged,
    "restored-clone": restored_clone, "report": report,
}  # fmt: skip

LONG = ("no-op-large", "million", "latency-thousand", "latency-large", "latency-quick", "claims-thousand",
        "restore", "one-change-tools", "one-change-large")  # fmt: skip
"""Rows that take longer than a minute."""
