"""The health check of the Docker image: each `watch` and `emulator` must answer on its own port.

It looks up the port where a process listens in Linux's /proc, so any `--port` and `--host` is found. Other commands
serve nothing and are healthy. With an argument, it looks only at the process of that id.
"""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path

PROCESSES = Path("/proc")
LISTENS = "0A"
"""The state of a listening socket in /proc/net/tcp."""


def is_server(process: Path) -> bool:
    """Return whether a process is a `qwenbuild watch` with a page, or a `qwenbuild emulator`."""
    words = (process / "cmdline").read_bytes().split(b"\0")
    after = next((words[at:] for at, word in enumerate(words) if b"qwenbuild" in os.path.basename(word)), [])
    return bool({b"watch", b"emulator"} & {*after}) and b"--no-preview" not in after


def addresses(process: Path) -> Iterator[str]:
    """Yield the origins, such as `http://127.0.0.1:8766`, where a process listens."""
    own = {os.readlink(file) for file in (process / "fd").iterdir()}
    for table in ("tcp", "tcp6"):
        for line in (process / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and f"socket:[{fields[9]}]" in own:
                host, _, port = fields[1].partition(":")
                yield f"http://{shown(host)}:{int(port, 16)}"


def shown(host: str) -> str:
    """Return the address of a row as a URL has it; where a socket listens on all addresses, loopback is asked."""
    groups = [bytes.fromhex(host[at : at + 8]) for at in range(0, len(host), 8)]
    address = ip_address(b"".join(group[::-1] if sys.byteorder == "little" else group for group in groups))
    if isinstance(address, IPv6Address):
        return "[::1]" if address.is_unspecified else f"[{address}]"
    return "127.0.0.1" if address.is_unspecified else str(address)


def answers(origin: str) -> bool:
    """Return whether a page comes from an origin. No proxy takes part."""
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{origin}/", timeout=3) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def main(ids: list[str]) -> int:
    """Return 0 if each server answers, and 1 otherwise."""
    for process in [PROCESSES / it for it in ids] or sorted(PROCESSES.glob("[0-9]*")):
        try:
            found = [*addresses(process)] if is_server(process) else None
        except OSError:  # it has ended, or belongs to another user
            continue
        if found is not None and not any(map(answers, found)):
            sys.stdout.write(f"process {process.name} serves no page at {found or 'any port'}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
