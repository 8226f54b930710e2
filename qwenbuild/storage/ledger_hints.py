"""Hints: what the user can do about a ledger that can't be used."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from .claims import ENVIRON


def damaged_hint(path: Path) -> str:
    """Return what the user can do about a damaged ledger."""
    return f"move {path.name} away and build again: each project's state restores its open submissions"


def hint_of(error: Exception, path: Path) -> str:
    """Return what the user can do about an error of SQLite or of the file system."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the higher bits name the kind of an I/O error
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another program has locked the ledger: end that program, then build again"
    if code == sqlite3.SQLITE_FULL:
        return "free some disk space, then build again"
    if code == sqlite3.SQLITE_IOERR:  # also raised on a full disk
        return f"check that its disk has free space, or set {ENVIRON} to a folder on another disk"
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged_hint(path)
    return f"make the folder writable, or set {ENVIRON} to another folder"
