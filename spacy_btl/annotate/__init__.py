"""Annotate many files with a pipeline, shard by shard, in a run that can be resumed.

One machine or a Ray cluster; text, JSON Lines, CSV or Parquet in; BRAT, tables, DocBins or tasks of
annotation tools out.
"""

from ..omop.settings import OmopSettings
from .inputs import Fields
from .run import AnnotationSettings, RunSummary, annotate_files

__all__ = ["AnnotationSettings", "Fields", "OmopSettings", "RunSummary", "annotate_files"]
