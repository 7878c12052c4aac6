"""Sigma rules as rules of ours: read by pySigma, mapped onto what is stored, proven by cases of their own."""

from pipeline.rules.sigma.importer import Imported, Importer
from pipeline.rules.sigma.refusal import Refusal, SigmaRefusedError

__all__ = ["Imported", "Importer", "Refusal", "SigmaRefusedError"]
