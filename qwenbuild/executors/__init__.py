"""Executors: the clusters whose workers do free work."""
