"""What benchmarks measured, kept as JSON beside this file: each with its day, the machine and the versions."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil

HERE: Final = Path(__file__).parent
PACKAGES: Final = ("polars", "duckdb", "pyarrow", "kafka-python", "aiokafka", "faust-streaming")


def record(name: str, found: Mapping[str, Any]) -> Path:
    """Write ``results/NAME.json``; what stood there is gone."""
    said = {
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": {
            "cores": os.cpu_count(),
            # Others on the machine lengthen seconds, and CPU-seconds less.
            "load_average": round(os.getloadavg()[2], 1),
            "memory_gb": round(psutil.virtual_memory().total / 1e9),
            "python": platform.python_version(),
            "packages": {package: version(package) for package in PACKAGES},
        },
        **found,
    }
    path = HERE / f"{name}.json"
    path.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return path


def recorded(name: str) -> dict[str, Any]:
    """What ``record`` wrote."""
    found: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    return found
