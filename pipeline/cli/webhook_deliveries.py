"""``webhooks``, of deliveries: how they stand, trying one, sending again, and a receiver to develop against."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.cli.options import ConfigOption, JsonOption, Options, StoreOption, need_store, settings, store_path
from pipeline.cli.webhooks import NameArgument, app, file_of, print_json, read_secret, unknown

if TYPE_CHECKING:
    from pipeline.config import Settings
    from pipeline.delivery.destination import Reach

__all__ = ["app"]  # with the commands of both modules

_COUNTS: Final = (
    "select endpoint, count(*) filter (where state = 'pending') as waiting,"
    " count(*) filter (where state in ('failed', 'disabled')) as given_up,"
    " count(*) filter (where state = 'disabled') > 0 as gone, max(delivered_at) as last_delivered"
    " from webhook_deliveries group by endpoint"
)
_DELIVERIES: Final = (
    "select * from webhook_deliveries where ($endpoint is null or endpoint = $endpoint)"
    " and ($state is null or state = $state) order by created_at desc, endpoint, message_id limit $rows"
)


@app.command("list")
def list_endpoints(
    ctx: typer.Context, store: StoreOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List receivers: where, told of what, and how deliveries stand. Neither secrets nor paths are shown.

    Example: stillwatch webhooks list
    """
    chosen = settings(ctx, config)
    _, reach, _ = file_of(chosen)
    rows = _rows(chosen, reach, store)
    if as_json:
        print_json(rows)
        return
    import pyarrow as pa  # noqa: PLC0415

    from pipeline.cli.render import Format, render  # noqa: PLC0415

    if not rows:
        typer.echo("nobody is told → stillwatch webhooks add NAME URL")
        return
    typer.echo(render(pa.Table.from_pylist(rows), Format.TABLE, width=None).decode().rstrip("\n"))


@app.command()
def show(
    ctx: typer.Context,
    name: NameArgument,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one receiver and its last twenty deliveries.

    Example: stillwatch webhooks show team
    """
    chosen = settings(ctx, config)
    _, reach, _ = file_of(chosen)
    found = [row for row in _rows(chosen, reach, store) if row["endpoint"] == name]
    if not found:
        raise unknown(name)
    if as_json:
        print_json(found[0])
        return
    for key, value in found[0].items():
        typer.echo(f"{key:16}{'' if value is None else value}")
    typer.echo("")
    _answer(chosen, store, _DELIVERIES, {"endpoint": name, "state": None, "rows": 20}, as_json=False)


@app.command("test")
def send_one(ctx: typer.Context, name: NameArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Send a receiver one message now, as an alert would be sent, and show its answer. Exit code 1: it did not take it.

    Example: stillwatch webhooks test team
    """
    from pipeline import logs  # noqa: PLC0415
    from pipeline.delivery.endpoints import Endpoints  # noqa: PLC0415
    from pipeline.delivery.trial import try_endpoint  # noqa: PLC0415

    chosen = settings(ctx, config)
    if not (ctx.find_object(Options) or Options()).debug:
        # What a sender logs of a failure is this command's answer; and nothing is tried again, as the log would say.
        logs.configure(chosen.log.model_copy(update={"level": "error"}), service="cli", libraries=False)
    _, reach, there = file_of(chosen)
    endpoint = Endpoints.of_settings(chosen.webhook).and_those_of(there).by_name.get(name)
    if endpoint is None:
        raise unknown(name)
    outcome = try_endpoint(name, endpoint, reach)
    if as_json:
        print_json(
            {
                "endpoint": name,
                "message_id": outcome.message_id,
                "taken": outcome.verdict == "delivered",
                "status": outcome.status,
                "error": outcome.error,
                "response": outcome.response,
            }
        )
    else:
        word = "taken" if outcome.verdict == "delivered" else f"not taken: {outcome.error}"
        typer.echo(f"{name}: {word}" + (f" (HTTP {outcome.status})" if outcome.verdict == "delivered" else ""))
        if outcome.response:
            typer.echo(outcome.response)
    if outcome.verdict != "delivered":
        raise typer.Exit(1)


@app.command()
def deliveries(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Of this receiver only.")] = None,
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="Only pending, delivered, failed or disabled.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many, newest first.")] = 50,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List messages, how often each was tried and what was answered.

    Example: stillwatch webhooks deliveries team --state failed
    """
    chosen = settings(ctx, config)
    _answer(chosen, store, _DELIVERIES, {"endpoint": name, "state": state, "rows": rows}, as_json=as_json)


@app.command()
def retry(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    name: NameArgument,
    messages: Annotated[list[str] | None, typer.Argument(metavar="MESSAGE…", help="Only these; else all.")] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send again what was given up, under the same ids; a receiver that said 410 Gone is taken for there again.

    Example: stillwatch webhooks retry team
    """
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.serve.client import ServeClient  # noqa: PLC0415
    from pipeline.serve.resend import Resend  # noqa: PLC0415

    asked = Resend(name, messages or ())
    chosen = settings(ctx, config)
    path = store_path(store, chosen)
    client = ServeClient.find(path)
    if client is not None:
        with client:
            found = int(client.resend(asked)["messages"])
    else:
        from pipeline.serve.facts import resend  # noqa: PLC0415 - a client of serve needs no DuckDB

        found = resend(path, asked, chosen, clock=SystemClock())
    if as_json:
        print_json({"endpoint": name, "messages": found})
    else:
        typer.echo(f"{name}: {found} messages are tried again")


@app.command()
def listen(
    secret_file: Annotated[Path, typer.Option("--secret-file", metavar="FILE", help="The secret; - for stdin.")],
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Else a free one.")] = 0,
    count: Annotated[int, typer.Option(min=0, metavar="N", help="End after so many messages; 0: never.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Receive webhooks on this machine, verify them and show them: to develop a receiver against.

    Example: stillwatch webhooks listen --secret-file secret.txt --port 8799
    """
    from pydantic import SecretStr  # noqa: PLC0415

    from pipeline.delivery.receiver import Receiver  # noqa: PLC0415
    from pipeline.delivery.signing import check_secret  # noqa: PLC0415

    secret = SecretStr(read_secret(secret_file) or "")
    check_secret(secret)
    with Receiver(secret, port) as receiver:
        typer.echo(f"listening at {receiver.url} (end with Ctrl-C)", err=True)
        seen = 0
        try:
            while not count or seen < count:
                came = receiver.wait_for(seen + 1, 3600)
                for message in came[seen:]:
                    word = "again" if message.duplicate else "genuine" if message.verified else message.error
                    if as_json:
                        print_json({"message_id": message.message_id, "verdict": word, "payload": message.payload})
                    else:
                        typer.echo(f"{message.message_id or '(no id)'}: {word}")
                        typer.echo(message.body.decode("utf-8", "replace"))
                seen = len(came)
        except KeyboardInterrupt:
            return


def _rows(chosen: Settings, reach: Reach, store: Path | None) -> list[dict[str, Any]]:
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.delivery.destination import check_url  # noqa: PLC0415
    from pipeline.delivery.endpoints import Endpoints, endpoints_file, read_endpoints  # noqa: PLC0415

    of_file = read_endpoints(endpoints_file(chosen), reach)
    counts = _counts(chosen, store)
    rows = []
    for name, endpoint in Endpoints.of_settings(chosen.webhook).and_those_of(of_file).by_name.items():
        count = counts.get(name, {})
        state = "gone" if count.get("gone") else "paused" if endpoint.paused else "ok"
        rows.append(
            {
                "endpoint": name,
                "to": check_url(endpoint.url.get_secret_value(), reach).shown,
                "format": endpoint.format,
                "told_of": "; ".join(route.told_of() for route in endpoint.routes) or "everything",
                "state": state,
                "signs_with": len(endpoint.secrets(SystemClock().now())),
                "waiting": count.get("waiting", 0),
                "given_up": count.get("given_up", 0),
                "last_delivered": count.get("last_delivered"),
            }
        )
    return rows


def _counts(chosen: Settings, store: Path | None) -> dict[str, dict[str, Any]]:
    """How deliveries stand, by endpoint; nothing where there is no store yet."""
    from pipeline.serve.ask import asker  # noqa: PLC0415

    path = store_path(store, chosen)
    from pipeline.config import is_there  # noqa: PLC0415

    if not is_there(path):
        return {}
    with asker(path, chosen.store) as source:
        answer = source.query(_COUNTS, max_rows=None, timeout_s=chosen.store.query_timeout_s)
    return {row["endpoint"]: row for row in answer.table.to_pylist()}


def _answer(chosen: Settings, store: Path | None, sql: str, parameters: dict[str, object], *, as_json: bool) -> None:
    from pipeline.cli.render import Format, render  # noqa: PLC0415
    from pipeline.serve.ask import asker  # noqa: PLC0415

    need_store(store_path(store, chosen))
    with asker(store_path(store, chosen), chosen.store) as source:
        answer = source.query(sql, parameters, max_rows=None, timeout_s=chosen.store.query_timeout_s)
    if not as_json and not answer.table.num_rows:
        typer.echo("no messages")
        return
    fmt = Format.JSON if as_json else Format.TABLE
    typer.echo(render(answer.table, fmt, width=None).decode().rstrip("\n"))
