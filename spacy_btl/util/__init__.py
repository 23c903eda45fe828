"""Small helpers that every room may use: texts, checks, files, templates and array types."""
