"""Every setting in one tree: defaults, then ``stillwatch.toml``, then ``STILLWATCH_*``; checked at start.

A setting ``section.name`` is ``[section] name = …`` in TOML and ``STILLWATCH_SECTION__NAME`` in the environment.
Secrets (``SecretStr``) come from the environment or from a file named by ``…_file``, never from TOML.
"""

from pipeline.config.place import Lake, Place, beside, is_there, place_of
from pipeline.config.sources import (
    CONFIG_FILE,
    ENV_ALIASES,
    ENV_PREFIX,
    SECRETS,
    Loaded,
    Sourced,
    env_name,
    load,
    settings_file,
)
from pipeline.config.tree import (
    EventSettings,
    IngestSettings,
    KafkaSettings,
    LogSettings,
    MetricsSettings,
    OtelSettings,
    PrivacySettings,
    RuleSettings,
    Section,
    ServeSettings,
    Settings,
    StoreSettings,
    TopicSettings,
    WebhookSettings,
    WorkerSettings,
)

__all__ = [
    "CONFIG_FILE",
    "ENV_ALIASES",
    "ENV_PREFIX",
    "SECRETS",
    "EventSettings",
    "IngestSettings",
    "KafkaSettings",
    "Lake",
    "Loaded",
    "LogSettings",
    "MetricsSettings",
    "OtelSettings",
    "Place",
    "PrivacySettings",
    "RuleSettings",
    "Section",
    "ServeSettings",
    "Settings",
    "Sourced",
    "StoreSettings",
    "TopicSettings",
    "WebhookSettings",
    "WorkerSettings",
    "beside",
    "env_name",
    "is_there",
    "load",
    "place_of",
    "settings_file",
]
