"""The next reports to annotate, and forecasts of what more of them bring."""

from .forecast import CurvePoint, Forecast, ForecastSettings, forecast_of
from .power_law import CurveForecast, PowerLaw, fit_power_law
from .selection import Choice, Reports, SelectionSettings, select
from .suggestion import SuggestedReport, Suggestion, suggest_reports

__all__ = [
    "Choice",
    "CurveForecast",
    "CurvePoint",
    "Forecast",
    "ForecastSettings",
    "PowerLaw",
    "Reports",
    "SelectionSettings",
    "SuggestedReport",
    "Suggestion",
    "fit_power_law",
    "forecast_of",
    "select",
    "suggest_reports",
]
