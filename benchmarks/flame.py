"""Flame graphs of each stage at a backlog, for docs/performance.md: `python -m benchmarks.flame`.

By py-spy, in an environment of its own below `.cache`, which may have to run as root. They show wall time by thread,
waiting too: what Polars and DuckDB do in threads of their own is time in which Python waits for them.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.__main__ import DEFAULTS
from benchmarks.stages import send, serve_answers, share_committed, share_stored
from pipeline.bench.steady import finish
from tests.chaos.harness import Pipeline
from tests.kafka.server import KafkaServer

ROOT: Final = Path(__file__).parent.parent
PY_SPY: Final = "py-spy==0.4.1"
PLACE: Final = ROOT / ".cache" / "py-spy"
IMAGES: Final = ROOT / "docs" / "images"
ENOUGH: Final = 0.9  # of the work; then waits begin


def main() -> None:
    """Write a picture a stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    options = parser.parse_args()
    tool = installed()
    with tempfile.TemporaryDirectory() as name:
        kafka = KafkaServer(Path(name))
        kafka.start()
        pipeline = Pipeline(kafka.bootstrap, Path(name), "flame", extra=DEFAULTS)
        try:
            pipeline.spawn("serve")  # makes the topics
            serve_answers(pipeline)
            pipeline.stop("serve")
            send(pipeline, options.events, first=0)
            topics = {"ingest": pipeline.requests, "worker": f"{pipeline.prefix}.events"}
            for stage, topic in topics.items():
                group = pipeline.environ()[f"STILLWATCH_{stage.upper()}__GROUP"]
                draw(tool, pipeline, stage, share_committed(pipeline, group, topic))
            draw(tool, pipeline, "serve", share_stored(pipeline, options.events))
        finally:
            pipeline.close()
            kafka.stop()


def installed() -> Path:
    """py-spy's command."""
    tool = PLACE / "bin" / "py-spy"
    if not tool.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(PLACE)], check=True)
        subprocess.run([str(PLACE / "bin" / "python"), "-m", "pip", "install", "--quiet", PY_SPY], check=True)
    return tool


def draw(tool: Path, pipeline: Pipeline, stage: str, done: Callable[[], float]) -> None:
    """Run one stage through what the stage before left, watched."""
    with watched(tool, pipeline.spawn(stage).pid, IMAGES / f"flame-{stage}.svg"):
        while done() < ENOUGH:
            time.sleep(0.1)
    finish(done)  # the next one is to find all of it
    pipeline.stop(stage)


@contextmanager
def watched(tool: Path, pid: int, target: Path) -> Iterator[None]:
    """While the block runs, samples of a process; then their picture."""
    words = ["record", "--idle", "--threads", "--rate", "100", "--format", "flamegraph"]
    # Named from the project's root: the picture says how it was made.
    ours, written = tool.relative_to(ROOT), target.relative_to(ROOT)
    watching = subprocess.Popen([f"./{ours}", *words, "--pid", str(pid), "--output", str(written)], cwd=ROOT)
    try:
        yield
    finally:
        watching.send_signal(signal.SIGINT)
        if watching.wait(60) or not target.is_file():
            raise SystemExit(f"py-spy drew no {target.name}")


if __name__ == "__main__":
    main()
