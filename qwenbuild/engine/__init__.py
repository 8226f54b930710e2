"""The Python API: composes one build from the other packages."""
