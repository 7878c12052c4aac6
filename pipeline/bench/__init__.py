"""What this machine needs an event, and what a load would take of such machines."""

from pipeline.bench.capacity import Asked, Needs, plan
from pipeline.bench.measure import Measured, Stage, measure

__all__ = ["Asked", "Measured", "Needs", "Stage", "measure", "plan"]
