"""``accounts``: facts about accounts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import ConfigOption, JsonOption, StoreOption, need_file, settings, store_path

app = typer.Typer(no_args_is_help=True, help="Facts about accounts.\n\nExample: stillwatch accounts import a.csv")


@app.callback()
def _group() -> None:
    """Facts about accounts."""


@app.command("import")
def import_file(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, JSON, NDJSON or Parquet.")],
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import facts: account_id, created_at, plan, quota, payment_hash, email_domain, organisation, country, status.

    A running serve writes them, else the file is opened. Rules look again at what these accounts did.

    Example: stillwatch accounts import accounts.csv
    """
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.serve.client import ServeClient  # noqa: PLC0415
    from pipeline.serve.facts import import_facts  # noqa: PLC0415
    from pipeline.store.accounts import read_accounts  # noqa: PLC0415

    chosen = settings(ctx, config)
    path = store_path(store, chosen)
    rows = read_accounts(need_file(file, next_step="name a CSV, JSON, NDJSON or Parquet file")).to_dicts()
    client = ServeClient.find(path)
    if client is not None:
        with client:
            client.import_accounts(rows)
    else:
        import_facts(path, rows, chosen, clock=SystemClock())
    typer.echo(f'{{"accounts":{len(rows)}}}' if as_json else f"{len(rows)} accounts imported")
