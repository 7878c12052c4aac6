"""The main job on simulated traffic, with real parts only: broker, ingest, worker, serve, a receiver of webhooks."""

from pipeline.demo.run import run_demo

__all__ = ["run_demo"]
