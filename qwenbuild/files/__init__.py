"""Files on disk: atomic writes, text, TOML with positions, output paths, PNG and provenance."""
