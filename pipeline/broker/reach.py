"""Why no broker answers: the name, the port, the certificate, or what is said behind them.

The clients try again until their time is up and then say only that it was; this looks once more, step by step.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Final

from pipeline.broker.options import bootstrap_servers, ssl_context
from pipeline.config.tree import KafkaSettings

DEFAULT_PORT: Final = 9092
STEP_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Unreached:
    """What stands in the way, and what to do about it."""

    what: str
    next_step: str


def why_unreached(kafka: KafkaSettings, *, timeout_s: float = STEP_TIMEOUT_S) -> Unreached:
    """Look at each address in turn; blocks for at most ``timeout_s`` a step of each. The first that is reached counts.

    Raises:
        ConfigError: the certificates of ours cannot be used.
    """
    secure = kafka.security_protocol.endswith("SSL")
    context = ssl_context(kafka) if secure else None
    told = []
    for server in bootstrap_servers(kafka):
        host, port = _split(server)
        try:
            with socket.create_connection((host, port), timeout=timeout_s) as plain:
                if context is not None:
                    context.wrap_socket(plain, server_hostname=host).close()
        except ssl.SSLCertVerificationError as error:
            return Unreached(
                f"no broker that we trust answers at {server}: its certificate: {error.verify_message}",
                "name the authority that signed it by kafka.ssl_cafile, and the host as the certificate has it",
            )
        except ssl.SSLError as error:
            return Unreached(
                f"no broker answers in TLS at {server} ({error.reason or error})",
                "check kafka.security_protocol: is this the listener with TLS?",
            )
        except OSError as error:
            told.append(f"{server} ({error.strerror or 'timed out'})")
        else:
            return _silent(kafka, server)
    return Unreached(
        f"no broker answers at {', '.join(told)}",
        "check that it runs and that KAFKA_BOOTSTRAP (or kafka.bootstrap) names it",
    )


def _silent(kafka: KafkaSettings, server: str) -> Unreached:
    if kafka.security_protocol.startswith("SASL"):
        return Unreached(
            f"the broker at {server} is reached and does not let us in",
            "check kafka.sasl_mechanism, sasl_username and sasl_password, and kafka.ssl_certfile where it asks for one",
        )
    if kafka.security_protocol == "SSL":
        return Unreached(
            f"the broker at {server} is reached and does not let us in",
            "check kafka.ssl_certfile, and kafka.security_protocol: does this listener want SASL?",
        )
    return Unreached(
        f"no broker answers at {server}, though something listens there",
        "check kafka.security_protocol: does this listener want TLS or SASL? Or the broker is starting, or stuck",
    )


def _split(server: str) -> tuple[str, int]:
    host, separator, port = server.rpartition(":")
    if not separator or not port.isdigit():
        host, port = server, str(DEFAULT_PORT)
    return host.strip("[]"), int(port)
