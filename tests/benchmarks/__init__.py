"""Benchmarks of the performance contract, beside comparable tools: `python -m tests.benchmarks`."""
