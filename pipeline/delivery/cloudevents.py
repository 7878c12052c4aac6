"""A message as a CloudEvent 1.0 in binary mode: its attributes are headers, its body stays what it is.

Source: the specification's HTTP and Kafka protocol bindings (github.com/cloudevents/spec, version 1.0.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

SPECVERSION: Final = "1.0"
SOURCE: Final = "stillwatch"  # a URI reference; with the id it names one event


class _Data(msgspec.Struct):
    alert_id: str | None = None
    group_id: str | None = None


class _Body(msgspec.Struct):
    type: str
    timestamp: str | None = None
    data: _Data = msgspec.field(default_factory=_Data)


def attributes(message_id: str, body: str) -> Mapping[str, str]:
    """The attributes of a message, by name: the same on every try.

    Args:
        message_id: ``msg_…``, which is the event's id.
        body: the native one, or that of a group. Its ``type`` is the event's; ``subject`` is the alert or the group.
    """
    told = msgspec.json.decode(body, type=_Body)
    found = {
        "specversion": SPECVERSION,
        "id": message_id,
        "source": SOURCE,
        "type": f"{SOURCE}.{told.type}",
        "subject": told.data.alert_id or told.data.group_id,
        "time": told.timestamp,
    }
    # An attribute that is not known is left out: an empty one is none by the specification.
    return {name: value for name, value in found.items() if value}


def http_headers(message_id: str, body: str) -> dict[str, str]:
    """As a request carries them; ``datacontenttype`` is the Content-Type that stands there anyway."""
    return {f"ce-{name}": value for name, value in attributes(message_id, body).items()}


def kafka_headers(message_id: str, body: str) -> list[tuple[str, bytes]]:
    """As a record carries them."""
    found = [(f"ce_{name}", value.encode()) for name, value in attributes(message_id, body).items()]
    return [("content-type", b"application/json"), *found]
