"""Follows the project's files and builds what changed."""
