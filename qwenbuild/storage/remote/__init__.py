"""Remote caches: an HTTP server of Bazel's protocol, or a bucket."""
