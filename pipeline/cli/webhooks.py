"""``webhooks``: who is told of alerts, how deliveries went, and a receiver to develop against."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import ConfigOption, JsonOption, need_file, settings
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.config import Settings
    from pipeline.delivery.destination import Reach
    from pipeline.delivery.endpoints import Endpoints

app = typer.Typer(
    no_args_is_help=True,
    help="Who is told of alerts.\n\nExample: stillwatch webhooks add team https://hooks.example/stillwatch",
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As `webhooks list` shows it.")]
SecretOption = Annotated[
    Path | None,
    typer.Option("--secret-file", metavar="FILE", help="What it signs with, or PagerDuty's routing key; - for stdin."),
]


@app.callback()
def _group() -> None:
    """Who is told of alerts."""


@app.command()
def add(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    name: NameArgument,
    url: Annotated[str, typer.Argument(metavar="URL", help="https://host/path; - to read it from standard input.")],
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="FORMAT", help="native, alertmanager, alertmanager-webhook, pagerduty, slack or ocsf."
        ),
    ] = "native",
    secret_file: SecretOption = None,
    severity: Annotated[str | None, typer.Option(metavar="LEVEL", help="Only of alerts this severe or worse.")] = None,
    rules: Annotated[str | None, typer.Option(metavar="NAMES", help="Only of these rules; with commas.")] = None,
    tags: Annotated[str | None, typer.Option(metavar="NAMES", help="Only of rules with one of these tags.")] = None,
    per_minute: Annotated[int | None, typer.Option(metavar="N", min=1, help="Messages at most.")] = None,
    at_once: Annotated[int | None, typer.Option(metavar="N", min=1, max=16, help="Messages at a time; else 1.")] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="One message for alerts of one rule, severity, dimension, campaign; or all."
        ),
    ] = None,
    repeat_hours: Annotated[
        float | None, typer.Option(metavar="N", min=0.02, help="Reminders of what fires and nobody took on.")
    ] = None,
    mute: Annotated[
        str | None, typer.Option(metavar="HOURS", help="Told nothing then: sat-sun,mon-fri 18:00-08:00.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(metavar="ZONE", help="Of --mute; else UTC.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell another receiver of alerts, from now on. What it is not told of yet stays untold.

    Without --secret-file a native receiver gets a new secret, which is shown once. A running serve takes it up by
    itself.

    Example: stillwatch webhooks add oncall https://hooks.example/x --severity high
    """
    from pydantic import SecretStr  # noqa: PLC0415

    from pipeline.delivery.endpoints import change_endpoints  # noqa: PLC0415
    from pipeline.delivery.signing import check_secret, new_secret  # noqa: PLC0415

    chosen = settings(ctx, config)
    path, reach, there = file_of(chosen)
    if name in there.by_name:
        raise UsageError(f"there is an endpoint {name} already", next_step=f"`stillwatch webhooks remove {name}` first")
    secret = read_secret(secret_file)
    made = secret is None and form == "native"
    if made:
        secret = new_secret()
    if secret is not None and form != "pagerduty":
        check_secret(SecretStr(secret))
    route = {
        key: value
        for key, value in (("severity", severity), ("rules", _listed(rules)), ("tags", _listed(tags)))
        if value
    }
    values: dict[str, object | None] = {
        "url": sys.stdin.readline().strip() if url == "-" else url,
        "format": form,
        "secret": secret,
        "per_minute": per_minute,
        "at_once": at_once,
        "group_by": _listed(group_by) or None,
        "repeat_every_s": None if repeat_hours is None else repeat_hours * 3600,
        "mute": _listed(mute) or None,
        "timezone": timezone,
        "routes": [route] if route else None,
    }
    change_endpoints(path, reach, {name: values})
    if as_json:
        print_json({"endpoint": name, "secret": secret if made else None})
    else:
        typer.echo(f"{name}: told of alerts from now on")
        if made:
            typer.echo(f"Its secret, shown this once: {secret}")


@app.command()
def pause(ctx: typer.Context, name: NameArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Send nothing for now; what it is to be told waits.

    Example: stillwatch webhooks pause team
    """
    _change(ctx, config, name, {"paused": True})
    _done(name, "paused", as_json=as_json)


@app.command()
def resume(ctx: typer.Context, name: NameArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Send again, what waited first.

    Example: stillwatch webhooks resume team
    """
    _change(ctx, config, name, {"paused": None})
    _done(name, "resumed", as_json=as_json)


@app.command("rotate-secret")
def rotate_secret(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    name: NameArgument,
    hours: Annotated[int, typer.Option(metavar="N", min=0, max=720, help="So long both sign.")] = 24,
    secret_file: SecretOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign with a new secret, and for some hours with the one before too, so that the receiver can change over.

    Example: stillwatch webhooks rotate-secret team --hours 48
    """
    from pydantic import SecretStr  # noqa: PLC0415

    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.delivery.endpoints import SIGNED  # noqa: PLC0415
    from pipeline.delivery.signing import check_secret, new_secret  # noqa: PLC0415

    _, _, there = file_of(settings(ctx, config))
    endpoint = there.by_name.get(name)
    if endpoint is None:
        raise unknown(name)
    given = read_secret(secret_file)
    if given is None and endpoint.format not in SIGNED:
        raise UsageError(f"{name} takes no signature", next_step="give its new key by --secret-file")
    secret = given or new_secret()
    if endpoint.format in SIGNED:
        check_secret(SecretStr(secret))
    values: dict[str, object | None] = {"secret": secret, "previous_secret": None, "previous_until": None}
    if hours and endpoint.secret is not None and endpoint.format in SIGNED:
        values["previous_secret"] = endpoint.secret.get_secret_value()
        values["previous_until"] = SystemClock().now() + timedelta(hours=hours)
    _change(ctx, config, name, values)
    if as_json:
        print_json({"endpoint": name, "secret": None if given else secret, "hours": hours})
    else:
        typer.echo(f"{name}: signs with a new secret" + (f", and for {hours} hours with the old one" if hours else ""))
        if not given:
            typer.echo(f"It is shown this once: {secret}")


@app.command()
def remove(ctx: typer.Context, name: NameArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Tell a receiver nothing any more. What waits for it stays in the store, unsent.

    Example: stillwatch webhooks remove team
    """
    from pipeline.delivery.endpoints import change_endpoints  # noqa: PLC0415

    path, reach, there = file_of(settings(ctx, config))
    if name not in there.by_name:
        raise unknown(name)
    change_endpoints(path, reach, {name: None})
    _done(name, "removed", as_json=as_json)


def file_of(chosen: Settings) -> tuple[Path, Reach, Endpoints]:
    """The file of receivers, where they may be, and who they are. Raises ConfigError."""
    from pipeline.delivery.destination import Reach  # noqa: PLC0415
    from pipeline.delivery.endpoints import endpoints_file, read_endpoints  # noqa: PLC0415

    path = endpoints_file(chosen)
    reach = Reach.of(chosen.webhook.allow, http=chosen.webhook.allow_http)
    return path, reach, read_endpoints(path, reach)


def _change(ctx: typer.Context, config: Path | None, name: str, values: dict[str, object | None]) -> None:
    from pipeline.delivery.endpoints import change_endpoints  # noqa: PLC0415

    path, reach, there = file_of(settings(ctx, config))
    if name not in there.by_name:
        raise unknown(name)
    change_endpoints(path, reach, {name: values})


def read_secret(path: Path | None) -> str | None:
    """A secret from a file or, for -, from standard input: on the command line everybody would see it."""
    if path is None:
        return None
    if str(path) == "-":
        return sys.stdin.readline().strip()
    return need_file(path, next_step="a file with the secret and nothing else").read_text(encoding="utf-8").strip()


def _done(name: str, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"endpoint": name, "done": what})
    else:
        typer.echo(f"{name}: {what}")


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def unknown(name: str) -> UsageError:
    """The error where a name is none of the file."""
    return UsageError(f"there is no endpoint {name} in the file", next_step="`stillwatch webhooks list` shows them")


def print_json(value: object) -> None:
    """For programs."""
    import msgspec  # noqa: PLC0415

    typer.echo(msgspec.json.encode(value).decode())
