"""The performance contract, measured beside the tools that people would use instead: `python -m tests.benchmarks`."""
