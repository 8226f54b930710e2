"""The port of a project."""

from __future__ import annotations

import socket
from pathlib import Path

from qwenbuild.local_server.ports import COUNT, FIRST, port_of


def test_a_project_has_one_port(tmp_path: Path) -> None:
    """The port is the same each time, and through a link to the folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    assert port_of(folder) == port_of(str(folder)) == port_of(tmp_path / "link")
    assert port_of("/home/me/posters") == 17072


def test_ports_of_projects_are_apart_and_are_free_to_use(tmp_path: Path) -> None:
    """A thousand folders use most of a thousand ports, and a server may listen on them without rights."""
    ports = [port_of(tmp_path / str(number)) for number in range(1000)]
    assert len(set(ports)) > 900
    assert FIRST <= min(ports) < max(ports) < FIRST + COUNT <= 32_768
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        assert listener.getsockname()[1] >= FIRST + COUNT
