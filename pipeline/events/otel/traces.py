"""Who sent a GenAI call: looked for on its span, the spans around it in its trace, in baggage, in the resource."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.config import OtelSettings
from pipeline.events.otel.spans import SERVER, Span

_MAX_ANCESTORS: Final = 64
_STATUS: Final = ("http.response.status_code", "http.status_code")
_USER_AGENT: Final = ("user_agent.original", "http.user_agent")
_ENDPOINT: Final = ("http.route", "url.path", "http.target")
_JA4: Final = ("tls.client.ja4", "client.ja4", "ja4")
_ASN: Final = ("client.as.number", "client.asn", "source.as.number")
_COUNTRY: Final = ("client.geo.country_iso_code", "geo.country.iso_code", "client.country")


@dataclass(frozen=True, slots=True)
class Link:
    """What is remembered of a span: where it stands, and the facts it and its resource tell."""

    parent_id: str
    is_server: bool
    facts: Mapping[str, Any]  # a fact's name → value
    baggage: Mapping[str, Any]
    resource: Mapping[str, Any]


@dataclass(slots=True)
class Traces:
    """Spans of traces being put together; bounded: past ``join_max_spans`` the oldest traces are forgotten."""

    settings: OtelSettings
    _traces: OrderedDict[str, dict[str, Link]] = field(default_factory=OrderedDict)
    _count: int = 0
    _names: Mapping[str, tuple[str, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self._names = {
            "account_id": self.settings.account_attributes,
            "api_key_id": self.settings.api_key_attributes,
            "user_id": self.settings.end_user_attributes,
            "ip": self.settings.ip_attributes,
            "status": _STATUS,
            "user_agent": _USER_AGENT,
            "endpoint": _ENDPOINT,
            "ja4": _JA4,
            "asn": _ASN,
            "country": _COUNTRY,
        }

    def add(self, span: Span) -> None:
        """Remember a span; the same span again changes nothing."""
        trace = self._traces.setdefault(span.trace_id, {})
        if span.span_id not in trace:
            self._count += 1
        prefix = self.settings.baggage_prefix
        trace[span.span_id] = Link(
            parent_id=span.parent_id,
            is_server=span.kind == SERVER,
            facts=self._told(span.attributes),
            baggage=self._told(
                {name.removeprefix(prefix): value for name, value in span.attributes.items() if name.startswith(prefix)}
            ),
            resource=self._told(span.resource),
        )
        self._traces.move_to_end(span.trace_id)

    def forget(self) -> None:
        """Back to the bound: the traces that were added to longest ago go. Call between batches."""
        while self._count > self.settings.join_max_spans and len(self._traces) > 1:
            _, oldest = self._traces.popitem(last=False)
            self._count -= len(oldest)

    def facts(self, span: Span) -> tuple[dict[str, Any], bool]:
        """All facts about the sender of a span's call; and whether its account stands on the span or those around it.

        Order: the span, its ancestors from the nearest, the trace's server spans (by span id, so that the order of
        arrival does not matter), then the baggage of these in the same order, then their resources.
        """
        around = list(self._around(span))
        found: dict[str, Any] = {}
        for link in around:
            found = {**link.facts, **found}
        settled = "account_id" in found
        # The server saw what its client got: its status comes before what an upstream told the span.
        for link in reversed(around):
            if link.is_server and "status" in link.facts:
                found["status"] = link.facts["status"]
        for link in around:
            found = {**link.baggage, **found}
        for link in around:
            found = {**link.resource, **found}
        return found, settled

    def _around(self, span: Span) -> Iterator[Link]:
        trace = self._traces.get(span.trace_id, {})
        seen: set[str] = set()
        at = span.span_id
        while at in trace and at not in seen and len(seen) < _MAX_ANCESTORS:
            seen.add(at)
            yield trace[at]
            at = trace[at].parent_id
        for span_id in sorted(trace):
            if span_id not in seen and trace[span_id].is_server:
                yield trace[span_id]

    def _told(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        told = {}
        for fact, names in self._names.items():
            value = next((attributes[name] for name in names if attributes.get(name) not in (None, "")), None)
            if value is not None:
                told[fact] = value
        return told
