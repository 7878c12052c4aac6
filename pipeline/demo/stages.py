"""The demo's processes: the embedded broker and the three commands, each ended by its id."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from pipeline.broker import EmbeddedBroker
from pipeline.config import Settings, load
from pipeline.errors import StillwatchError
from pipeline.supervise import running_stage

STAGES: Final = ("ingest", "worker", "serve")


@contextmanager
def running(
    data_dir: Path, webhook_url: str, webhook_secret: str
) -> Iterator[tuple[Settings, list[subprocess.Popen[bytes]]]]:
    """All processes of the demo; what they print goes to ``logs/`` in ``data_dir``."""
    logs = data_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker(log_file=logs / "broker.log"))
        environ = demo_environ(data_dir, broker.bootstrap, webhook_url, webhook_secret)
        settings = load(environ=environ).settings
        processes = [stack.enter_context(running_stage(stage, environ, logs / f"{stage}.log")) for stage in STAGES]
        yield settings, processes


def check_alive(processes: list[subprocess.Popen[bytes]], data_dir: Path) -> None:
    """Raise when a stage has ended by itself."""
    for stage, process in zip(STAGES, processes, strict=True):
        if process.poll() is not None:
            raise StillwatchError(
                f"{stage} ended with {process.returncode}", next_step=f"look at {data_dir / 'logs' / stage}.log"
            )


def demo_environ(data_dir: Path, bootstrap: str, webhook_url: str, webhook_secret: str) -> dict[str, str]:
    """The environment of the demo's processes: no setting of the user's own pipeline reaches them.

    The settings file they read is ``stillwatch.toml`` in ``data_dir``; made, with nothing set, where it is missing.
    """
    config = data_dir.absolute() / "stillwatch.toml"
    if not config.exists():
        config.write_text("# Settings of the demo; it reads no other file.\n", encoding="utf-8")
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("STILLWATCH_", "KAFKA_BOOTSTRAP"))
    }
    return {
        **kept,
        "STILLWATCH_CONFIG": str(config),
        "STILLWATCH_KAFKA__BOOTSTRAP": bootstrap,
        "STILLWATCH_STORE__PATH": str(data_dir.absolute() / "stillwatch.duckdb"),
        "STILLWATCH_WORKER__DATA_DIR": str(data_dir.absolute() / "worker"),
        "STILLWATCH_SERVE__LISTEN": "127.0.0.1:0",
        "STILLWATCH_WEBHOOK__URL": webhook_url,
        "STILLWATCH_WEBHOOK__SECRET": webhook_secret,
        "STILLWATCH_WEBHOOK__ALLOW_HTTP": "true",
        "STILLWATCH_WEBHOOK__ALLOW": "127.0.0.1",
        "STILLWATCH_LOG__FORMAT": "json",
    }
