"""Ingest as a process of its own, to be killed: settings from the environment, the real decoder."""

from __future__ import annotations

import signal
import threading
from typing import Any

from pipeline import logs
from pipeline.clock import SystemClock
from pipeline.config import load
from pipeline.ingest import run_ingest
from pipeline.metrics import Metrics


def main() -> None:
    """Run until SIGTERM."""
    stop = threading.Event()

    def end(_number: int, _frame: Any) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    settings = load().settings
    logs.configure(settings.log, service="ingest")
    run_ingest(settings, clock=SystemClock(), metrics=Metrics(), stop=stop)


if __name__ == "__main__":
    main()
