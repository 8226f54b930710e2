"""The report and the preview: HTML pages of all cells."""
