"""What is wanted: the project, its specs, data, matrices and templates, expanded into actions."""
