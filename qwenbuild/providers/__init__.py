"""Providers: the registry, and the built-in providers `dashscope`, `draft` and `null`."""
