"""Detection: signals of rules → scores of accounts → campaigns, inside the transaction that saw the evidence."""

from pipeline.detect.aside import Aside
from pipeline.detect.detector import DetectionResult, Detector

__all__ = ["Aside", "DetectionResult", "Detector"]
