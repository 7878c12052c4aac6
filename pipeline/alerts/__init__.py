"""Alerts: one a subject while it lasts, told once, signed."""

from pipeline.alerts.changes import AlertChange
from pipeline.alerts.delivery import Deliverer, due, mark_outcomes
from pipeline.alerts.lifecycle import update_alerts

__all__ = ["AlertChange", "Deliverer", "due", "mark_outcomes", "update_alerts"]
