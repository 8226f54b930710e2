"""The Python API: composes one build from the packages below it."""
