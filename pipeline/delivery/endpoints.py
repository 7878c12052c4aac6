"""Receivers as a file: name, address, body, secrets, what each is told of. Kept beside the store, read by nobody else.

The file is the truth: `stillwatch webhooks` edits it, and so may a person or a deployment. `serve` reads it again when
it changes; where it is broken, what was read last stays. Secrets stand here and nowhere else: not in the store, which
analysts read and backups copy.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import tomlkit
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from pipeline import logs
from pipeline.config import Settings, WebhookSettings, beside
from pipeline.delivery.bodies import Format
from pipeline.delivery.destination import DestinationError, Reach, check_url
from pipeline.delivery.mute import Mute
from pipeline.errors import ConfigError
from pipeline.rules.model import SEVERITIES, Severity

SIGNED: Final = frozenset({"native", "alertmanager-webhook", "ocsf"})  # formats whose receivers can check a signature
CLOUDEVENTS: Final = frozenset({"native", "topic", "ocsf"})  # formats whose headers say what a CloudEvent's say
GROUPS: Final = frozenset({"native", "slack", "alertmanager-webhook"})  # formats that take several alerts a message
TOPIC: Final = "topic:"  # before the name of a topic of the broker
GroupBy = Literal["all", "rule", "severity", "dimension", "campaign"]
PAGERDUTY: Final = "https://events.pagerduty.com/v2/enqueue"
_NAME: Final = re.compile(r"(?!end_)[a-z0-9]([a-z0-9_-]{0,38}[a-z0-9])?")


_log = logs.get("delivery")


class Told(BaseModel):
    """What of one alert decides who is told: see ``Route``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    severity: Severity
    dimension: str = "account"
    tags: frozenset[str] = frozenset()


class Route(BaseModel):
    """Alerts that an endpoint is told of: those that fit everything said here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    severity: Severity = Field("low", description="this or worse")
    rules: tuple[str, ...] = Field((), description="of these only; `campaign` and `account` are rules too")
    dimensions: tuple[str, ...] = Field((), description="about these only")
    tags: tuple[str, ...] = Field((), description="with one of these at least")

    def fits(self, told: Told) -> bool:
        """An alert is told to this route's endpoint."""
        return (
            SEVERITIES.index(told.severity) >= SEVERITIES.index(self.severity)
            and (not self.rules or told.rule in self.rules)
            and (not self.dimensions or told.dimension in self.dimensions)
            and (not self.tags or not told.tags.isdisjoint(self.tags))
        )

    def told_of(self) -> str:
        """For people."""
        parts = [
            "" if self.severity == "low" else f"{self.severity} or worse",
            *(
                f"{name}: {', '.join(of)}"
                for name, of in (("rules", self.rules), ("about", self.dimensions), ("tags", self.tags))
                if of
            ),
        ]
        return " and ".join(part for part in parts if part) or "everything"


class Endpoint(BaseModel):
    """One receiver."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr = Field(description="its address; the path may hold a secret")
    format: Format = "native"
    secret: SecretStr | None = Field(None, description="whsec_… of Standard Webhooks; PagerDuty's routing key")
    previous_secret: SecretStr | None = Field(None, description="signed with as well, until then")
    previous_until: datetime | None = None
    paused: bool = Field(default=False, description="what it is told of waits")
    timeout_s: Annotated[float, Field(gt=0)] = 15.0
    at_once: Annotated[int, Field(ge=1, le=16)] = Field(1, description="messages on their way at a time")
    per_minute: Annotated[int, Field(ge=1, le=100_000)] | None = Field(None, description="messages at most")
    routes: tuple[Route, ...] = Field((), description="told of what fits one of these; of everything without any")
    mute: tuple[str, ...] = Field((), description="hours in which it is told nothing: sat-sun, mon-fri 18:00-08:00")
    timezone: str = Field("UTC", description="of mute hours: Europe/Berlin")
    group_by: tuple[GroupBy, ...] = Field((), description="one message for alerts alike in these; `all` for all")
    group_wait_s: Annotated[float, Field(ge=0, le=3600)] = Field(30.0, description="for more to come to a new group")
    group_interval_s: Annotated[float, Field(ge=0, le=86_400)] = Field(300.0, description="between messages of a group")
    repeat_every_s: Annotated[float, Field(ge=60)] | None = Field(
        None, description="a reminder of what still fires and nobody took on"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.format == "pagerduty" and self.secret is None:
            raise ValueError("pagerduty needs its routing key as secret")
        if self.format == "topic" and not self.url.get_secret_value().startswith(TOPIC):
            raise ValueError("format topic is that of the setting topics.alerts")
        if self.format == "native" and self.secret is None:
            raise ValueError("native needs a secret to sign with: `stillwatch webhooks rotate-secret` makes one")
        for text in self.mute:
            Mute.read(text)
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"timezone: {self.timezone!r} is no time zone such as Europe/Berlin") from None
        if self.group_by and self.format not in GROUPS:
            raise ValueError(f"{self.format} takes one alert a message: it groups by itself, so leave group_by out")
        if (self.previous_secret is None) != (self.previous_until is None):
            raise ValueError("previous_secret and previous_until go together")
        if self.previous_until is not None and self.previous_until.tzinfo is None:
            raise ValueError("previous_until needs a time zone: 2026-03-01T09:00:00Z")
        return self

    def wants(self, told: Told) -> bool:
        """It is told of this alert."""
        return not self.routes or any(route.fits(told) for route in self.routes)

    def secrets(self, now: datetime) -> tuple[SecretStr, ...]:
        """What a message is signed with at a moment: while a rotation lasts, with both."""
        if self.format not in SIGNED or self.secret is None:
            return ()
        if self.previous_secret is not None and self.previous_until is not None and now < self.previous_until:
            return (self.secret, self.previous_secret)
        return (self.secret,)


def settings_name(url: str) -> str:
    """What stands for the settings' receiver in the store: its address is not written down."""
    return "end_" + hashlib.sha256(url.encode()).hexdigest()[:12]


def _is_name(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise ValueError("a name has up to 40 of a-z, 0-9, - and _ within, and does not begin with end_")
    return text


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoints: dict[Annotated[str, AfterValidator(_is_name)], Endpoint] = {}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """All receivers by name. The one of the settings has a name made of its address, which may hold a secret."""

    by_name: Mapping[str, Endpoint] = field(default_factory=dict)

    @classmethod
    def of_settings(cls, webhook: WebhookSettings, topic: str | None = None) -> Self:
        """The receiver and the topic that the settings name, if any."""
        found = {}
        if webhook.url is not None:
            endpoint = Endpoint(url=SecretStr(webhook.url), secret=webhook.secret, timeout_s=webhook.timeout_s)
            found[settings_name(webhook.url)] = endpoint
        if topic is not None:
            found[TOPIC + topic] = Endpoint(url=SecretStr(TOPIC + topic), format="topic")
        return cls(found)

    def and_those_of(self, other: Endpoints) -> Endpoints:
        """Both."""
        return Endpoints({**self.by_name, **other.by_name})

    def wanting(self, told: Told) -> list[str]:
        """Names of those that are told of an alert, in order."""
        return sorted(name for name, endpoint in self.by_name.items() if endpoint.wants(told))


def read_endpoints(path: Path, reach: Reach) -> Endpoints:
    """The receivers of a file; none where there is no file.

    Raises:
        ConfigError: every problem that was found, none with a secret in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Endpoints()
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(path, [str(error.__class__.__name__)]) from None
    return Endpoints(_checked(path, text, reach))


def endpoints_file(settings: Settings) -> Path:
    """Where receivers are kept: as the settings say, else beside the store."""
    return settings.webhook.endpoints or beside(settings.store.path).with_name("endpoints.toml")


@dataclass(slots=True)
class Watched:
    """The receivers of the settings and of the file, which may change while we run.

    A file that was broken at some moment is told of in the log, once, and what was read last stays. ``problem`` says
    what is wrong for as long as it is.
    """

    settings: Settings
    reach: Reach
    problem: str | None = None
    _seen: tuple[int, int, int] | None = (-1, 0, 0)
    _begun: bool = False

    def changed(self) -> Endpoints | None:
        """All receivers, where the file is another than the last time; None: nothing new. Cheap.

        Raises:
            ConfigError: the file is broken the first time: going on would leave its receivers untold.
        """
        path = endpoints_file(self.settings)
        try:
            found = path.stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError:
            seen = None
        if seen == self._seen:
            return None
        self._seen = seen
        first, self._begun = not self._begun, True
        of_settings = Endpoints.of_settings(self.settings.webhook, self.settings.topics.alerts)
        try:
            found_now = of_settings.and_those_of(read_endpoints(path, self.reach))
        except ConfigError as error:
            if first:
                raise
            self.problem = error.message
            _log.error("endpoints_broken", error=error.message)
            return None
        self.problem = None
        return found_now


def _checked(path: Path, text: str, reach: Reach) -> dict[str, Endpoint]:
    try:
        found = _File.model_validate(tomllib.loads(text)).endpoints
    except tomllib.TOMLDecodeError as error:
        raise _broken(path, [f"no TOML: {error}"]) from None
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, item['loc']))}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        raise _broken(path, problems) from None
    problems = [
        f"endpoints.{name}.format: topic is that of the setting topics.alerts"
        for name, endpoint in found.items()
        if endpoint.format == "topic"
    ]
    for name, endpoint in found.items():
        try:
            check_url(endpoint.url.get_secret_value(), reach)
        except DestinationError as error:
            problems.append(f"endpoints.{name}.url: {error.message}; {error.next_step}")
    if problems:
        raise _broken(path, problems)
    return found


def change_endpoints(path: Path, reach: Reach, changes: Mapping[str, Mapping[str, object] | None]) -> Endpoints:
    """Write values of endpoints into the file, in place of what stands there; comments and order stay.

    Written whole or not at all, for its owner only, and only if what comes out can be read.

    Args:
        path: the file; made when it is not there.
        reach: where endpoints may be.
        changes: by name, values to set, None among them to take out; None for the whole removes the endpoint.

    Raises:
        ConfigError: the file is broken, or would be.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = "# Receivers of alerts; `stillwatch webhooks` reads and writes it. It holds secrets.\n"
    try:
        document = tomlkit.parse(text)
    except tomlkit.exceptions.ParseError as error:
        raise _broken(path, [f"no TOML: {error}"]) from None
    table = document.setdefault("endpoints", tomlkit.table(is_super_table=True))
    for name, values in changes.items():
        if values is None:
            table.pop(name, None)
            continue
        one = table.setdefault(name, tomlkit.table())
        for key, value in values.items():
            if value is None:
                one.pop(key, None)
            else:
                one[key] = value
    written = tomlkit.dumps(document)
    found = _checked(path, written, reach)
    _replace(path, written)
    return Endpoints(found)


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp's file is its owner's only.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _broken(path: Path, problems: list[str]) -> ConfigError:
    shown = "\n".join(f"{path.name}: {problem}" for problem in problems)
    return ConfigError(shown, next_step=f"correct {path}, or ask `stillwatch webhooks list`")
