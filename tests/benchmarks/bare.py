"""The bare loops: the least work of a plan and of a build, as references.

python -m tests.benchmarks.bare prompts PROJECT
python -m tests.benchmarks.bare hashes PROJECT
python -m tests.benchmarks.bare files SOURCE TARGET CONCURRENCY
python -m tests.benchmarks.bare calls COUNT CONCURRENCY BASE_URL
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_PROMPT = "A poster of a small dog that runs after a ball across a meadow, in soft morning light from the left. " * 4


def prompts(project: Path) -> int:
    """Read the project's table, render a prompt for each row with Jinja, and hash it; return how many there are."""
    import jinja2

    template = jinja2.Environment().from_string((project / "templates/poster.j2").read_text("utf-8"))
    with open(project / "data/rows.csv", encoding="utf-8", newline="") as table:
        keys = [hashlib.sha256(template.render(row=row).encode()).digest() for row in csv.DictReader(table)]
    return len(keys)


def hashes(project: Path) -> int:
    """Read and hash all files of a project once; return how many there are."""
    count = 0
    for folder, _, names in os.walk(project):
        for name in names:
            with open(os.path.join(folder, name), "rb", buffering=0) as file:
                hashlib.sha256(file.read()).digest()
            count += 1
    return count


def files(source: Path, target: Path, concurrency: int) -> int:
    """Write the files below `source` again below `target`, each with one fsync; return how many there are."""
    paths = [path for path in source.rglob("*") if path.is_file()]
    contents = {path.relative_to(source): path.read_bytes() for path in paths}
    for folder in {target / name.parent for name in contents}:
        folder.mkdir(parents=True, exist_ok=True)

    def write(name: Path) -> None:
        with open(target / name, "wb") as file:
            file.write(contents[name])
            file.flush()
            os.fsync(file.fileno())

    with ThreadPoolExecutor(concurrency) as pool:
        return sum(1 for _ in pool.map(write, contents))


async def calls(count: int, concurrency: int, base_url: str) -> int:
    """Make the calls for `count` images with httpx alone; return the size of all images in bytes."""
    import httpx

    left, size = iter(range(count)), 0
    body = {
        "model": "qwen-image-plus",
        "input": {"messages": [{"role": "user", "content": [{"text": _PROMPT}]}]},
        "parameters": {"size": "1328*1328", "n": 1, "seed": 1, "prompt_extend": False, "watermark": False},
    }
    headers = {"Authorization": "Bearer sk-emulator"}

    async def worker(client: httpx.AsyncClient) -> None:
        nonlocal size
        for number in left:
            body["parameters"]["seed"] = number  # type: ignore[index]
            path = f"{base_url}/services/aigc/multimodal-generation/generation"
            answer = (await client.post(path, json=body, headers=headers)).json()
            image = await client.get(answer["output"]["choices"][0]["message"]["content"][0]["image"])
            size += len(image.content)

    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=2 * concurrency)) as client:
        await asyncio.gather(*(worker(client) for _ in range(concurrency)))
    return size


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prompts", project]:
            prompts(Path(project))
        case ["hashes", project]:
            hashes(Path(project))
        case ["files", source, target, concurrency]:
            files(Path(source), Path(target), int(concurrency))
        case ["calls", count, concurrency, base_url]:
            asyncio.run(calls(int(count), int(concurrency), base_url))
        case _:
            sys.exit(__doc__)
