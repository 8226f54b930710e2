"""qwenbuild is `make` for images."""

__version__ = "0.1.0"
