"""Every setting, in one tree: defaults, then ``stillwatch.toml``, then ``STILLWATCH_*``; checked at start, all errors at once.

A setting ``section.name`` is ``[section] name = …`` in TOML and ``STILLWATCH_SECTION__NAME`` in the environment.
Secrets (``SecretStr``) come from the environment or from a file named by ``…_file``, never from TOML.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from pipeline.errors import ConfigError

CONFIG_FILE = "stillwatch.toml"
ENV_PREFIX = "STILLWATCH_"
# Names that operators already have in their environments; the STILLWATCH_ name wins over them.
ENV_ALIASES: Mapping[str, str] = {"KAFKA_BOOTSTRAP": "kafka.bootstrap"}

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the tree: frozen, and a misspelt name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class KafkaSettings(Section):
    """The broker and how to reach it."""

    bootstrap: str | None = Field(None, description="host:port[,host:port…]; unset: `stillwatch up` starts the embedded broker")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_check_hostname: bool = True
    transactions: Literal["auto", "on", "off"] = Field("auto", description="auto: used where the broker has them")
    client_id: str = "stillwatch"
    request_timeout_s: Seconds = 30.0
    session_timeout_s: Seconds = Field(6.0, description="how long a killed member keeps its partitions")


class TopicSettings(Section):
    """Names and shapes of the topics; created at start where they are missing and `create` is on."""

    requests: str = "api.requests"
    accounts: str = "api.accounts"
    events: str = "stillwatch.events"
    fingerprints: str = "stillwatch.fingerprints"
    dead_letter: str = "stillwatch.dead-letter"
    create: bool = True
    partitions: Positive = 4
    replication: Positive = 1
    max_message_bytes: Positive = Field(1_000_000, description="stay under the broker's message.max.bytes")


class OtelSettings(Section):
    """Where a trace names customer and address; the first attribute that is there wins."""

    account_attributes: tuple[str, ...] = ("stillwatch.account.id", "user.id", "enduser.id", "account.id", "organization.id", "tenant.id")
    api_key_attributes: tuple[str, ...] = ("llm.api_key.id", "api_key.id", "stillwatch.api_key.id")
    end_user_attributes: tuple[str, ...] = ("enduser.pseudo.id", "end_user.id")
    ip_attributes: tuple[str, ...] = ("client.address", "http.client_ip", "net.peer.ip")
    baggage_prefix: str = "baggage."
    join_wait_s: float = Field(5.0, ge=0, description="how long a GenAI span waits for its server span in a later message")
    join_max_spans: Positive = Field(50_000, description="spans held waiting at most; past it the oldest go on without")


class PrivacySettings(Section):
    """What is made a pseudonym before anything is stored."""

    pseudonymise: tuple[Literal["account_id", "api_key_id", "user_id", "conversation_id", "ip"], ...] = ()
    key: SecretStr | None = Field(None, description="HMAC-SHA256 key, at least 16 bytes; needed when anything is pseudonymised")
    key_file: Path | None = None
    dead_letter_payload: Literal["redacted", "full", "none"] = Field("redacted", description="redacted: text fields are taken out where the payload parses")
    dead_letter_bytes: Positive = Field(4096, description="kept of a payload at most")


class EventSettings(Section):
    """What is accepted as an event."""

    max_future_s: Seconds = 300.0
    max_age_days: Positive = 400
    max_tokens: Positive = Field(100_000_000, description="a token count above it is a mistake")
    max_message_bytes: Positive = Field(8_388_608, description="a raw message above it goes to the dead letters unread")
    max_events_per_message: Positive = 100_000


class IngestSettings(Section):
    """Raw topic to event batches."""

    group: str = "stillwatch-ingest"
    poll_records: Positive = 20_000
    poll_timeout_ms: Positive = 200
    batch_events: Positive = Field(5_000, description="events an Arrow message at most")
    buffer_bytes: Positive = Field(67_108_864, description="fetched and undecoded at most; past it partitions are paused")
    drain_timeout_s: Seconds = 20.0


class WorkerSettings(Section):
    """Event batches to deltas."""

    group: str = "stillwatch-worker"
    emit_every_s: Seconds = 1.0
    emit_events: Positive = Field(100_000, description="pending events a partition that force an emission")
    lateness_s: float = Field(10.0, ge=0, description="how far the watermark stays behind the newest event")
    idle_after_s: Seconds = Field(5.0, description="a partition quiet for so long leaves the watermark's minimum")
    dedup_window_s: Seconds = 3600.0
    dedup_ids: Positive = Field(2_000_000, description="event ids remembered a partition at most; 16 bytes each")
    data_dir: Path = Path("stillwatch-data/worker")


class StoreSettings(Section):
    """The DuckDB file."""

    path: Path = Path("stillwatch-data/stillwatch.duckdb")
    memory_limit_mb: Positive = 512
    threads: Positive = 2
    retention_panes_h: Positive = 48
    retention_hours_d: Positive = 90
    retention_days_d: Positive = 400
    fold_every_s: Seconds = 10.0
    checkpoint_every_s: Seconds = 60.0
    query_timeout_s: Seconds = 30.0
    query_rows: Positive = 10_000
    query_memory_mb: Positive = 512


class ServeSettings(Section):
    """The process that owns the store."""

    listen: str = Field("127.0.0.1:8765", description="HTTP: /healthz /readyz /metrics /v1/sql")
    apply_every_s: Seconds = 0.25
    batch_deltas: Positive = Field(200, description="deltas a transaction at most")
    ready_lag_s: Seconds = 60.0


class RuleSettings(Section):
    """Rules and what makes a finding."""

    directory: Path | None = Field(None, description="your rules, beside the shipped ones")
    disabled: tuple[str, ...] = ()
    name_at: Share = Field(0.9, description="score from which an account is named")


class WebhookSettings(Section):
    """Where alerts go."""

    url: str | None = None
    secret: SecretStr | None = Field(None, description="whsec_…, Standard Webhooks 1.0")
    secret_file: Path | None = None
    allow_http: bool = Field(default=False, description="plain http to the address, for a local receiver")
    timeout_s: Seconds = 15.0


class LogSettings(Section):
    """What a service says about itself."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Settings(Section):
    """The whole tree."""

    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    otel: OtelSettings = OtelSettings()
    privacy: PrivacySettings = PrivacySettings()
    events: EventSettings = EventSettings()
    ingest: IngestSettings = IngestSettings()
    worker: WorkerSettings = WorkerSettings()
    store: StoreSettings = StoreSettings()
    serve: ServeSettings = ServeSettings()
    rules: RuleSettings = RuleSettings()
    webhook: WebhookSettings = WebhookSettings()
    log: LogSettings = LogSettings()


@dataclass(frozen=True, slots=True)
class Sourced:
    """One setting as it stands and where its value came from."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """Checked settings with their provenance."""

    settings: Settings
    sources: Mapping[str, str]

    def rows(self) -> Iterator[Sourced]:
        """Every setting in the order of the tree; secrets shown as set or unset only."""
        for section, model in self.settings:
            for name, value in model:
                dotted = f"{section}.{name}"
                shown = "********" if isinstance(value, SecretStr) else json.dumps(value, default=str)
                yield Sourced(dotted, shown, self.sources.get(dotted, "default"))


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read and check all settings.

    Args:
        path: the TOML file; without it ``STILLWATCH_CONFIG``, else ``stillwatch.toml`` here, if there is one.
        environ: the environment, ``os.environ`` when omitted.

    Raises:
        ConfigError: with every problem found, one a line, each naming its source.
    """
    env = os.environ if environ is None else environ
    problems: list[str] = []
    values: dict[str, dict[str, Any]] = {}
    sources: dict[str, str] = {}

    named = path or (Path(env["STILLWATCH_CONFIG"]) if env.get("STILLWATCH_CONFIG") else None)
    if named is not None and not named.is_file():
        raise ConfigError(f"{named}: no such file", next_step="name an existing TOML file, or none")
    file = named or (Path(CONFIG_FILE) if Path(CONFIG_FILE).is_file() else None)
    if file is not None:
        _from_toml(file, values, sources, problems)
    _from_environment(env, values, sources, problems)
    _read_secret_files(values, sources, problems)

    settings = Settings()
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False, include_context=False):
            dotted = ".".join(str(part) for part in item["loc"])
            origin = sources.get(".".join(dotted.split(".")[:2]), "default")
            problems.append(f"{dotted}: {item['msg']} (from {origin})")
    else:
        problems.extend(_cross_checks(settings))
    if problems:
        raise ConfigError(
            "the settings cannot be used:\n  " + "\n  ".join(problems),
            next_step="correct them; `stillwatch config show` lists every setting and its source",
        )
    return Loaded(settings, sources)


def _secret_names() -> set[str]:
    found = set()
    for section, model_field in Settings.model_fields.items():
        model = model_field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        found |= {f"{section}.{name}" for name, item in model.model_fields.items() if "SecretStr" in str(item.annotation)}
    return found


SECRETS = frozenset(_secret_names())


def _from_toml(file: Path, values: dict[str, dict[str, Any]], sources: dict[str, str], problems: list[str]) -> None:
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        problems.append(f"{file}: {error}")
        return
    for section, content in tree.items():
        if not isinstance(content, dict):
            problems.append(f"{section}: belongs into a section, such as [kafka] (from {file})")
            continue
        for name, value in content.items():
            dotted = f"{section}.{name}"
            if dotted in SECRETS:
                problems.append(f"{dotted}: a secret does not belong into a file that is shared; use {env_name(dotted)} or {dotted}_file (from {file})")
                continue
            values.setdefault(section, {})[name] = value
            sources[dotted] = str(file)


def env_name(dotted: str) -> str:
    """The environment variable of a setting: ``kafka.bootstrap`` → ``STILLWATCH_KAFKA__BOOTSTRAP``."""
    return ENV_PREFIX + dotted.replace(".", "__").upper()


_NOT_SETTINGS = frozenset({"STILLWATCH_CONFIG", "STILLWATCH_FAULT"})


def _from_environment(env: Mapping[str, str], values: dict[str, dict[str, Any]], sources: dict[str, str], problems: list[str]) -> None:
    found = {dotted: (alias, env[alias]) for alias, dotted in ENV_ALIASES.items() if env.get(alias)}
    for variable, text in env.items():
        if not variable.startswith(ENV_PREFIX) or variable in _NOT_SETTINGS:
            continue
        section, separator, name = variable.removeprefix(ENV_PREFIX).lower().partition("__")
        if not separator:
            problems.append(f"{variable}: not a setting; they are named STILLWATCH_SECTION__NAME")
            continue
        found[f"{section}.{name}"] = (variable, text)
    for dotted, (variable, text) in found.items():
        section, _, name = dotted.partition(".")
        values.setdefault(section, {})[name] = _parse(section, name, text)
        sources[dotted] = variable


def _parse(section: str, name: str, text: str) -> object:
    """Lists may be written as JSON or with commas; the rest is left for pydantic to convert."""
    model = Settings.model_fields[section].annotation if section in Settings.model_fields else None
    item = model.model_fields.get(name) if isinstance(model, type) and issubclass(model, BaseModel) else None
    if item is not None and "tuple" in str(item.annotation):
        return json.loads(text) if text.startswith("[") else [part.strip() for part in text.split(",") if part.strip()]
    return text


def _read_secret_files(values: dict[str, dict[str, Any]], sources: dict[str, str], problems: list[str]) -> None:
    for dotted in SECRETS:
        section, _, name = dotted.partition(".")
        file = values.get(section, {}).get(f"{name}_file")
        if file is None or name in values.get(section, {}):
            continue
        try:
            values[section][name] = Path(str(file)).read_text(encoding="utf-8").strip()
            sources[dotted] = f"{section}.{name}_file"
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{dotted}_file: {error}")


def _cross_checks(settings: Settings) -> Iterator[str]:
    kafka = settings.kafka
    if kafka.security_protocol.startswith("SASL") and not (kafka.sasl_mechanism and kafka.sasl_username and kafka.sasl_password):
        yield f"kafka.security_protocol: {kafka.security_protocol} needs sasl_mechanism, sasl_username and sasl_password"
    key = settings.privacy.key
    if settings.privacy.pseudonymise and (key is None or len(key.get_secret_value().encode()) < 16):
        yield f"privacy.key: pseudonyms need a key of at least 16 bytes; set {env_name('privacy.key')} or privacy.key_file"
    webhook = settings.webhook
    if webhook.url is not None:
        if not webhook.url.startswith("https://") and not (webhook.allow_http and webhook.url.startswith("http://")):
            yield "webhook.url: https only (webhook.allow_http = true for a local receiver)"
        if webhook.secret is None:
            yield f"webhook.secret: alerts are signed; set {env_name('webhook.secret')} or webhook.secret_file"
    host, separator, port = settings.serve.listen.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65535:
        yield f"serve.listen: {settings.serve.listen!r} is not host:port"
