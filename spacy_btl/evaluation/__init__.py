"""Run a pipeline on gold documents, compare pipelines, and report."""
