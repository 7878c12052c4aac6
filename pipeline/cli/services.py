"""``up``, ``ingest``, ``worker``, ``serve``: the processes that stay."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import ConfigOption, Options, ParentOption, settings

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.config import Place, Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(ingest)
    app.command()(worker)
    app.command()(serve)
    app.command("broker", hidden=True)(broker)


def up(
    ctx: typer.Context,
    ingests: Annotated[int, typer.Option(min=1, metavar="N", help="Ingest processes.")] = 1,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Worker processes.")] = 1,
    config: ConfigOption = None,
) -> None:
    """Run everything in one supervised process tree; Ctrl-C or SIGTERM drains it.

    An embedded broker is started unless kafka.bootstrap (or KAFKA_BOOTSTRAP) names one.

    Example: stillwatch up --workers 2
    """
    from pipeline import logs  # noqa: PLC0415
    from pipeline.cli.tree import broker_address, children  # noqa: PLC0415
    from pipeline.supervise import Supervisor, stop_on_signals  # noqa: PLC0415

    chosen = settings(ctx, config)
    _must_be_free(chosen.store.path)
    logs.configure(chosen.log, service="up")
    stop = stop_on_signals()
    options = ctx.find_object(Options) or Options()
    with broker_address(chosen.kafka) as bootstrap:
        # An alias is read by the children too; the name with the prefix wins over a file.
        os.environ["STILLWATCH_KAFKA__BOOTSTRAP"] = bootstrap
        chosen = settings(ctx, config)
        logs.configure(chosen.log, service="up")
        from pipeline.broker import ensure_topics  # noqa: PLC0415

        ensure_topics(chosen)
        typer.echo(
            f"stillwatch is starting. Broker {bootstrap}; send events to {chosen.topics.requests}\n"
            f"  HTTP        http://{chosen.serve.listen}/readyz\n"
            f"  send        KAFKA_BOOTSTRAP={bootstrap} stillwatch produce FILE\n"
            f"  ask         stillwatch sql 'from suspicious_accounts'\n"
            f"  look        stillwatch status",
            err=True,
        )
        threading.Thread(target=_tell_ready, args=(chosen.store.path, stop), name="ready", daemon=True).start()
        Supervisor(children(config or options.config, ingests=ingests, workers=workers)).run(stop)


def _tell_ready(store: Place, stop: threading.Event) -> None:
    """Say once that events are taken and questions answered: a script may wait for the line."""
    from pipeline.errors import StillwatchError  # noqa: PLC0415
    from pipeline.serve.client import ServeClient  # noqa: PLC0415

    while not stop.wait(0.5):
        with contextlib.suppress(StillwatchError):
            client = ServeClient.find(store)
            if client is None:
                continue
            with client:
                if client.health().ready:
                    typer.echo("stillwatch is ready", err=True)
                    return


def ingest(ctx: typer.Context, config: ConfigOption = None, parent: ParentOption = None) -> None:
    """Read raw events, check them, publish batches; run any number.

    Example: stillwatch ingest --config stillwatch.toml
    """
    chosen, stop = _begin(ctx, config, parent, "ingest")
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.ingest import run_ingest  # noqa: PLC0415
    from pipeline.ingest.garbage import collect_seldom  # noqa: PLC0415
    from pipeline.metrics import Metrics, expose  # noqa: PLC0415

    metrics = Metrics()
    if chosen.metrics.listen is not None:
        expose(metrics, chosen.metrics.listen)
    collect_seldom()
    run_ingest(chosen, clock=SystemClock(), metrics=metrics, stop=stop)


def worker(ctx: typer.Context, config: ConfigOption = None, parent: ParentOption = None) -> None:
    """Compute fingerprints from event batches; run any number.

    Example: stillwatch worker --config stillwatch.toml
    """
    chosen, stop = _begin(ctx, config, parent, "worker")
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.fingerprint.worker import run_worker  # noqa: PLC0415
    from pipeline.metrics import Metrics, expose  # noqa: PLC0415

    metrics = Metrics()
    if chosen.metrics.listen is not None:
        expose(metrics, chosen.metrics.listen)
    chosen.worker.data_dir.mkdir(parents=True, exist_ok=True)  # Faust makes only the last part of it
    run_worker(chosen, clock=SystemClock(), metrics=metrics, stop=stop)


def serve(ctx: typer.Context, config: ConfigOption = None, parent: ParentOption = None) -> None:
    """Own the store: apply fingerprints, evaluate rules, send alerts, answer HTTP; run one.

    Example: stillwatch serve --config stillwatch.toml
    """
    chosen, stop = _begin(ctx, config, parent, "serve")
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.config import load, settings_file  # noqa: PLC0415
    from pipeline.metrics import Metrics  # noqa: PLC0415
    from pipeline.serve.loop import run_serve  # noqa: PLC0415

    options = ctx.find_object(Options) or Options()
    named = config or options.config
    run_serve(
        chosen,
        clock=SystemClock(),
        metrics=Metrics(),
        stop=stop,
        file=settings_file(named),
        reread=lambda: load(named).settings.rules,
    )


def broker(parent: ParentOption = None) -> None:
    """Keep the embedded broker: its address on the first line, until SIGTERM or the parent's end.

    Example: stillwatch broker
    """
    from pipeline import logs  # noqa: PLC0415
    from pipeline.broker import EmbeddedBroker  # noqa: PLC0415
    from pipeline.config import LogSettings  # noqa: PLC0415
    from pipeline.supervise import die_with_parent, stop_on_signals  # noqa: PLC0415

    stop = stop_on_signals()
    if parent is not None:
        die_with_parent(parent)
    logs.configure(LogSettings(), service="broker")  # off standard output: the address is all that stands there
    with EmbeddedBroker() as running:
        sys.stdout.write(running.bootstrap + "\n")
        sys.stdout.flush()
        stop.wait()


def _must_be_free(store: Place) -> None:
    """A second tree would join the groups of the first before its serve finds the store taken."""
    from pipeline.errors import StoreLockedError  # noqa: PLC0415
    from pipeline.serve.client import ServeClient  # noqa: PLC0415

    client = ServeClient.find(store)
    if client is not None:
        with client:
            raise StoreLockedError(
                f"{store}: served by process {client.address.pid} already",
                next_step="look at it by `stillwatch status`, or name another store by STILLWATCH_STORE__PATH",
            )


def _begin(
    ctx: typer.Context, config: Path | None, parent: int | None, service: str
) -> tuple[Settings, threading.Event]:
    from pipeline import logs  # noqa: PLC0415
    from pipeline.supervise import die_with_parent, stop_on_signals  # noqa: PLC0415

    stop = stop_on_signals()
    if parent is not None:
        die_with_parent(parent)
    chosen = settings(ctx, config)
    logs.configure(chosen.log, service=service)
    return chosen, stop
