"""Providers: the registry, and the built-in providers `dashscope`, `images`, `comfyui`, `draft` and `null`."""
