"""Caches on other machines: an HTTP server of Bazel's protocol, or a bucket."""
