"""Alerts: one a subject while it lasts, told once."""

from pipeline.alerts.changes import AlertChange
from pipeline.alerts.lifecycle import update_alerts, update_pipeline_alerts

__all__ = ["AlertChange", "update_alerts", "update_pipeline_alerts"]
