"""The next reports to annotate, and forecasts of what more of them bring."""

from .forecast import CurvePoint, Forecast, ForecastSettings, forecast_of
from .power_law import CurveForecast, PowerLaw, fit_power_law
from .suggestion import SuggestedReport, Suggestion, suggest_reports

__all__ = [
    "CurveForecast",
    "CurvePoint",
    "Forecast",
    "ForecastSettings",
    "PowerLaw",
    "SuggestedReport",
    "Suggestion",
    "fit_power_law",
    "forecast_of",
    "suggest_reports",
]
