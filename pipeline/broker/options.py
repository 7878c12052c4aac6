"""Settings as the words of the two clients: kafka-python, and Faust with aiokafka."""

from __future__ import annotations

import ssl
from typing import Any

from pipeline.config.tree import KafkaSettings
from pipeline.errors import BrokerUnavailableError, ConfigError


def bootstrap_servers(kafka: KafkaSettings) -> list[str]:
    """The configured addresses.

    Raises:
        BrokerUnavailableError: none is configured.
    """
    servers = [server.strip() for server in (kafka.bootstrap or "").split(",") if server.strip()]
    if not servers:
        raise BrokerUnavailableError(
            "no broker is configured",
            next_step="set KAFKA_BOOTSTRAP=host:port, or run `stillwatch up`, which brings one",
        )
    return servers


def kafka_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Options that every kafka-python client takes (consumer, producer, admin)."""
    options: dict[str, Any] = {
        "bootstrap_servers": bootstrap_servers(kafka),
        "client_id": kafka.client_id,
        "security_protocol": kafka.security_protocol,
        "request_timeout_ms": int(kafka.request_timeout_s * 1000),
        # A broker that was away is to be found again within a second or two, not after the default's half minute.
        "reconnect_backoff_max_ms": 2000,
    }
    if kafka.security_protocol.endswith("SSL"):
        options["ssl_context"] = ssl_context(kafka)
        options["ssl_check_hostname"] = kafka.ssl_check_hostname
    if kafka.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_plain_username"] = kafka.sasl_username
        options["sasl_plain_password"] = _password(kafka)
    return options


def faust_broker(kafka: KafkaSettings) -> tuple[str, Any]:
    """Faust's broker URL and credentials; the credentials are None for PLAINTEXT."""
    from faust import auth  # noqa: PLC0415 - importing Faust takes a second that only the worker should pay

    url = ";".join(f"kafka://{server}" for server in bootstrap_servers(kafka))
    context = ssl_context(kafka) if kafka.security_protocol.endswith("SSL") else None
    if kafka.security_protocol.startswith("SASL"):
        return url, auth.SASLCredentials(
            username=kafka.sasl_username,
            password=_password(kafka),
            ssl_context=context,
            mechanism=kafka.sasl_mechanism or "PLAIN",
        )
    return url, None if context is None else auth.SSLCredentials(context=context)


def _password(kafka: KafkaSettings) -> str | None:
    return None if kafka.sasl_password is None else kafka.sasl_password.get_secret_value()


def ssl_context(kafka: KafkaSettings) -> ssl.SSLContext:
    """Whom we trust, and who we are.

    Raises:
        ConfigError: a certificate or key cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=str(kafka.ssl_cafile) if kafka.ssl_cafile else None)
        if kafka.ssl_certfile is not None:
            # Without a password given, OpenSSL would ask for it on the terminal and wait.
            password = kafka.ssl_key_password.get_secret_value() if kafka.ssl_key_password else ""
            key = str(kafka.ssl_keyfile) if kafka.ssl_keyfile else None
            context.load_cert_chain(str(kafka.ssl_certfile), key, password)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"kafka.ssl_*: the certificates cannot be used: {error}",
            next_step="name PEM files that this user may read, and a key that fits the certificate",
        ) from error
    context.check_hostname = kafka.ssl_check_hostname
    return context
