"""Installs provider plugins, as pip would."""

from __future__ import annotations

from pathlib import Path


def install(site: Path, name: str, source: str) -> None:
    """Install a distribution into a folder of Python modules; its module `source` has a class `Provider`."""
    about = site / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (site / f"{name}.py").write_text(source, "utf-8")
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
    (about / "entry_points.txt").write_text(f"[qwenbuild.providers]\n{name} = {name}:Provider\n", "utf-8")
