"""The next reports to annotate, and forecasts of what more of them bring."""

from .selection import Choice, Reports, SelectionSettings, select
from .suggestion import SuggestedReport, Suggestion, suggest_reports

__all__ = [
    "Choice",
    "Reports",
    "SelectionSettings",
    "SuggestedReport",
    "Suggestion",
    "select",
    "suggest_reports",
]
