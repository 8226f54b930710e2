"""What is wanted: the project, its specs, rows, matrices, templates, expansion and selection."""
