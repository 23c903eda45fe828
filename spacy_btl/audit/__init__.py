"""Likely errors of an annotation: what a model that has not seen a document holds against it."""

from .audit import Audit, AuditSettings, audit_documents
from .files import audit_files
from .findings import KINDS, Finding, Findings, find_errors
from .page import render_page

__all__ = [
    "KINDS",
    "Audit",
    "AuditSettings",
    "Finding",
    "Findings",
    "audit_documents",
    "audit_files",
    "find_errors",
    "render_page",
]
