"""End-to-end tests: the installed command, in a temporary folder."""
