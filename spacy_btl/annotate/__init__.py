"""Annotate many files with a pipeline, in a run that can be resumed."""
