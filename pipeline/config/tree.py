"""The tree of settings: every name, type, default and meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator

from pipeline.config.place import Place, place_of

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the tree: frozen, and a misspelt name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class KafkaSettings(Section):
    """The broker and how to reach it."""

    bootstrap: str | None = Field(
        None, description="host:port[,host:port…]; unset: `stillwatch up` starts the embedded broker"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_password_file: Path | None = None
    ssl_cafile: Path | None = Field(None, description="PEM; unset: what this machine trusts")
    ssl_certfile: Path | None = Field(None, description="PEM of our own certificate, where the broker asks for one")
    ssl_keyfile: Path | None = None
    ssl_key_password: SecretStr | None = None
    ssl_key_password_file: Path | None = None
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
    alerts: str | None = Field(None, description="alerts go to this topic too, keyed: stillwatch.alerts")
    create: bool = True
    partitions: Positive = 4
    replication: Positive = 1
    max_message_bytes: Positive = Field(1_000_000, description="stay under the broker's message.max.bytes")


class OtelSettings(Section):
    """Where a trace names customer and address; the first attribute that is there wins."""

    account_attributes: tuple[str, ...] = (
        "stillwatch.account.id",
        "user.id",
        "enduser.id",
        "account.id",
        "organization.id",
        "tenant.id",
    )
    api_key_attributes: tuple[str, ...] = ("llm.api_key.id", "api_key.id", "stillwatch.api_key.id")
    end_user_attributes: tuple[str, ...] = ("enduser.pseudo.id", "end_user.id")
    ip_attributes: tuple[str, ...] = ("client.address", "http.client_ip", "net.peer.ip")
    baggage_prefix: str = "baggage."
    join_wait_s: float = Field(
        5.0, ge=0, description="how long a GenAI span waits for its server span in a later message"
    )
    join_max_spans: Positive = Field(50_000, description="spans held waiting at most; past it the oldest go on without")


class PrivacySettings(Section):
    """What is made a pseudonym before anything is stored."""

    pseudonymise: tuple[Literal["account_id", "api_key_id", "user_id", "conversation_id", "ip"], ...] = ()
    key: SecretStr | None = Field(
        None, description="HMAC-SHA256 key, at least 16 bytes; needed when anything is pseudonymised"
    )
    key_file: Path | None = None
    dead_letter_payload: Literal["redacted", "full", "none"] = Field(
        "redacted", description="redacted: text fields are taken out where the payload parses"
    )
    dead_letter_bytes: Positive = Field(4096, description="kept of a payload at most")


# Of the native format, to which all others are brought.
FieldName = Literal[
    "event_id", "timestamp", "account_id", "model",
    "api_key_id", "user_id", "conversation_id", "provider", "operation", "endpoint", "error_type", "finish_reason",
    "reasoning_effort", "response_format", "country", "user_agent", "ja4", "sdk", "ip", "status", "input_tokens",
    "output_tokens", "cached_tokens", "reasoning_tokens", "max_tokens", "n", "seed", "message_count", "tool_count",
    "tool_call_count", "asn", "latency_ms", "ttft_ms", "temperature", "top_p", "refused", "stream", "logprobs",
    "system", "messages", "prompt", "response", "tools", "reasoning_blobs", "content",
]  # fmt: skip
# What an account is linked to; all but the last three have panes of their own too.
LinkedKind = Literal[
    "api_key",
    "end_user",
    "template",
    "system_prompt",
    "client",
    "network",
    "reasoning_blob",
    "model",
    "asn",
    "fragment",
]


class EventSettings(Section):
    """What is accepted as an event."""

    fields: tuple[FieldName, ...] | None = Field(
        None,
        description="fields that are read beside `event_id`, `timestamp`, `account_id` and `model`; unset: all. Of "
        "events nothing else is checked, kept or made anything of",
    )
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
    buffer_bytes: Positive = Field(
        67_108_864, description="fetched and undecoded at most; past it partitions are paused"
    )
    drain_timeout_s: Seconds = 20.0
    rejoin_after_s: Seconds = Field(
        60.0, description="without a partition for so long, though one is free: the consumer is made anew"
    )


class WorkerSettings(Section):
    """Event batches to deltas."""

    group: str = "stillwatch-worker"
    emit_every_s: Seconds = 0.7
    emit_events: Positive = Field(100_000, description="pending events a partition that force an emission")
    lateness_s: float = Field(10.0, ge=0, description="how far the watermark stays behind the newest event")
    idle_after_s: Seconds = Field(5.0, description="a partition quiet for so long leaves the watermark's minimum")
    dedup_window_s: Seconds = 3600.0
    dedup_ids: Positive = Field(2_000_000, description="event ids remembered a partition at most; 16 bytes each")
    entities: tuple[LinkedKind, ...] | None = Field(
        None, description="what is told apart beside accounts, and linked to them; unset: all"
    )
    data_dir: Path = Path("stillwatch-data/worker")


class StoreSettings(Section):
    """The DuckDB file, or the DuckLake."""

    path: Annotated[Place, BeforeValidator(place_of)] = Field(
        Path("stillwatch-data/stillwatch.duckdb"),
        description="a DuckDB file; or a DuckLake: `ducklake:postgres:dbname=NAME host=HOST …`, `ducklake:sqlite:FILE`",
    )
    data_path: Path | None = Field(
        None,
        description="directory of a DuckLake's data files; unset: where it was made, of a new SQLite catalog FILE.data",
    )
    catalog_password: SecretStr | None = Field(
        None, description="of a DuckLake's Postgres; unset: what libpq finds (PGPASSWORD, ~/.pgpass)"
    )
    catalog_password_file: Path | None = None
    memory_limit_mb: Positive = 1024
    threads: Positive = 2
    retention_panes_h: Positive = 48
    retention_loops_h: Positive = Field(48, description="sampled passages of outputs and inputs")
    retention_hours_d: Positive = Field(
        90, description="hours, dead letters, and the words of messages about alerts that have been over for as long"
    )
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
    ready_lag_s: Seconds = Field(60.0, description="further behind the workers, /readyz says no")


class RuleSettings(Section):
    """Rules and what makes a finding."""

    directory: Path | None = Field(None, description="your rules, beside the shipped ones")
    disabled: tuple[str, ...] = Field(
        (), description="ids of rules that do not run; `stillwatch rules disable` writes it"
    )
    parameters: dict[str, dict[str, float]] = Field(
        {}, description="by rule, its parameters that are to be other than its file says, within their ranges"
    )
    timeout_s: Seconds = Field(
        120.0, description="a look of a rule that takes longer is stopped, in `serve`, and the rule rests"
    )
    false_discovery_rate: Share = Field(
        0.01, description="share of innocents among the named accounts that is accepted, on average"
    )
    campaign_ends_after_days: int = Field(
        3,
        ge=1,
        le=365,
        description="days of event time without a request of its members after which a campaign has ended",
    )
    reference: Path | None = Field(
        None, description="what `stillwatch calibrate` measured on your own traffic; else the shipped one"
    )

    @field_validator("parameters", mode="before")
    @classmethod
    def _quoted(cls, value: object) -> object:
        """An id with a dot, written as TOML reads two names: said so, since the plain message names neither."""
        about = value.get("pipeline") if isinstance(value, dict) else None
        if isinstance(about, dict) and (inner := next((name for name in about if isinstance(about[name], dict)), None)):
            raise ValueError(f'write it with quotes, since its id has a dot: [rules.parameters."pipeline.{inner}"]')
        return value


class WebhookSettings(Section):
    """Where alerts go: one receiver, and those of the file that `stillwatch webhooks` keeps."""

    endpoints: Path | None = Field(None, description="that file; unset: `endpoints.toml` beside the store")

    url: str | None = None
    secret: SecretStr | None = Field(None, description="whsec_…, Standard Webhooks 1.0")
    secret_file: Path | None = None
    allow_http: bool = Field(default=False, description="plain http too, for a receiver of one's own")
    allow: tuple[str, ...] = Field(
        (),
        description="receivers inside: networks (10.1.0.0/16, 127.0.0.1) and names, with a port or any (alerts:9093)",
    )
    timeout_s: Seconds = 15.0


class MetricsSettings(Section):
    """Where ingest and worker show their metrics; serve shows its own at `serve.listen`."""

    listen: str | None = Field(
        None, description="host:port of Prometheus /metrics of ingest or worker; a port each on one machine"
    )


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
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
