"""Annotate many files with a pipeline, shard by shard, in a run that can be resumed.

One machine or a Ray cluster; text, JSON Lines, CSV or Parquet in; BRAT, tables or DocBins out.
"""

from .inputs import Fields
from .run import AnnotationSettings, RunSummary, annotate_files

__all__ = ["AnnotationSettings", "Fields", "RunSummary", "annotate_files"]
