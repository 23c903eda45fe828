"""Experiments on the quality of the trained pipelines: a plan, its runs and their tables."""
