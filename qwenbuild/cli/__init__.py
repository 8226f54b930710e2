"""The command line: from arguments to the engine."""
