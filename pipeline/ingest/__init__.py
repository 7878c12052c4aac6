"""Ingest: raw messages in; checked event batches and dead letters out. Also files, and sending files to a broker."""

from pipeline.ingest.run import run_ingest

__all__ = ["run_ingest"]
