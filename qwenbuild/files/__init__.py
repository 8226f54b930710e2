"""Bytes and texts on disk: atomic writes, text and TOML with positions, paths, PNG, provenance."""
