"""Who sent a GenAI call: looked for on its span, the spans around it in its trace, in baggage, in the resource."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.config import OtelSettings
from pipeline.events.otel.genai import spread
from pipeline.events.otel.otlp import Export

_MAX_ANCESTORS: Final = 64
_FIXED: Final = {
    "status": ("http.response.status_code", "http.status_code"),
    "user_agent": ("user_agent.original", "http.user_agent"),
    "endpoint": ("http.route", "url.path", "http.target"),
    "ja4": ("tls.client.ja4", "client.ja4", "ja4"),
    "asn": ("client.as.number", "client.asn", "source.as.number"),
    "country": ("client.geo.country_iso_code", "geo.country.iso_code", "client.country"),
}
_CONFIGURED: Final = ("account_id", "api_key_id", "user_id", "ip")
FACTS: Final = (*_CONFIGURED, *_FIXED)
# A span tells a fact itself, by baggage, or by its resource; and a server span the status that its client got.
_OWN, _BAGGAGE, _RESOURCE = (tuple(f"{source}.{fact}" for fact in FACTS) for source in ("own", "baggage", "resource"))
_SERVED: Final = "server.status"
_TOLD: Final = (*_OWN, *_BAGGAGE, *_RESOURCE, _SERVED)
_LINKS: Final = pl.Schema(
    {
        "trace_id": pl.String(),
        "span_id": pl.String(),
        "parent_id": pl.String(),
        "is_server": pl.Boolean(),
        "turn": pl.Int64(),
        **dict.fromkeys(_TOLD, pl.String()),
    }
)


class Traces:
    """Spans of traces being put together: where each stands and what it tells. Bounded: past ``join_max_spans`` those
    of the traces that were added to longest ago are forgotten.
    """

    def __init__(self, settings: OtelSettings) -> None:
        self.most = settings.join_max_spans
        self._turn = 0
        self._links = _LINKS.to_frame()
        names = {
            "account_id": settings.account_attributes,
            "api_key_id": settings.api_key_attributes,
            "user_id": settings.end_user_attributes,
            "ip": settings.ip_attributes,
            **_FIXED,
        }
        ranked = [(fact, name, rank) for fact, listed in names.items() for rank, name in enumerate(listed)]
        prefix = settings.baggage_prefix
        schema = {"key": pl.String, "field": pl.String, "rank": pl.Int64}
        own = [(name, f"own.{fact}", rank) for fact, name, rank in ranked]
        baggage = [(f"{prefix}{name}", f"baggage.{fact}", rank) for fact, name, rank in ranked]
        self._rules = pl.DataFrame(own + baggage, schema=schema, orient="row")
        self._resource_rules = pl.DataFrame(
            [(name, f"resource.{fact}", rank) for fact, name, rank in ranked], schema=schema, orient="row"
        )

    @property
    def names(self) -> frozenset[str]:
        """Attributes that tell a fact."""
        return frozenset(self._rules["key"])

    @property
    def size(self) -> int:
        """Spans remembered."""
        return self._links.height

    def add(self, export: Export) -> pl.DataFrame:
        """Remember spans (the same span again changes nothing). Returns them, a row each, with all that each tells."""
        self._turn += 1
        spans = export.spans
        resources = spread(
            export.resources,
            self._resource_rules,
            int(export.resources["at"].max() or 0) + 1,  # type: ignore[arg-type]
        )
        of_resource = resources.select(pl.all().gather(_within(spans["resource"], resources.height)))
        links = (
            spans.select("trace_id", "span_id", "parent_id", "is_server", pl.lit(self._turn, pl.Int64).alias("turn"))
            .hstack(spread(export.attributes, self._rules, spans.height))
            .hstack(of_resource)
            .with_columns(pl.when("is_server").then("own.status").alias(_SERVED))
            .select(_LINKS.names())
        )
        # A span without ids is nobody's parent: all of them would be one trace.
        known = links.filter((pl.col("trace_id") != "") & (pl.col("span_id") != ""))
        self._links = pl.concat([self._links, known]).unique(["trace_id", "span_id"], keep="last", maintain_order=True)
        return links

    def forget(self) -> None:
        """Back to the bound. Call between batches."""
        if self._links.height > self.most:
            latest = pl.col("turn").max().over("trace_id")
            self._links = self._links.sort(latest, "turn", descending=True, maintain_order=True).head(self.most)

    def facts(self, calls: pl.DataFrame) -> pl.DataFrame:
        """Of rows that ``add`` gave: all facts about the sender of each, and ``settled``: whether its account stands on
        the span or on those around it.

        Order: the span, its ancestors from the nearest, the trace's server spans (by span id, so that the order of
        arrival does not matter), then the baggage of these in the same order, then their resources.
        """
        around = self._links.join(calls.select("trace_id").unique(), on="trace_id", how="semi", maintain_order="left")
        places = around.select("trace_id", pl.col("span_id").alias("parent_id")).with_row_index("place")
        above = _parents(around, places)
        told = around.select(_TOLD)
        found = calls.select(_TOLD)
        at = _parents(calls, places)
        for _ in range(_MAX_ANCESTORS):  # a circle of spans ends here
            if at.null_count() == len(at):
                break
            found = _first(found, told.select(pl.all().gather(at)))
            at = above.gather(at)
        servers = (
            around.filter("is_server")
            .sort("trace_id", "span_id")
            .group_by("trace_id")
            .agg(pl.col(_TOLD).drop_nulls().first())
        )
        found = _first(
            found,
            calls.select("trace_id").join(servers, on="trace_id", how="left", maintain_order="left").select(_TOLD),
        )
        return found.select(
            # The server saw what its client got: its status comes before what an upstream told the span.
            *(
                pl.coalesce(
                    *([_SERVED] if fact == "status" else []), *(f"{source}.{fact}" for source in _SOURCES)
                ).alias(fact)
                for fact in FACTS
            ),
            pl.col("own.account_id").is_not_null().alias("settled"),
        )


_SOURCES: Final = ("own", "baggage", "resource")


def _parents(spans: pl.DataFrame, places: pl.DataFrame) -> pl.Series:
    """The place of each span's parent; null where it is not known."""
    joined = spans.select("trace_id", "parent_id").join(
        places, on=["trace_id", "parent_id"], how="left", maintain_order="left"
    )
    return joined["place"]


def _first(found: pl.DataFrame, further: pl.DataFrame) -> pl.DataFrame:
    """What was found, and where nothing was, what stands further off."""
    empty = [name for name in found.columns if found[name].null_count() and further[name].null_count() < further.height]
    return found.with_columns(pl.coalesce(name, pl.lit(further[name])).alias(name) for name in empty)


def _within(numbers: pl.Series, count: int) -> pl.Series:
    """Numbers below ``count``; the others null."""
    return numbers.to_frame("n").select(pl.when(pl.col("n") < count).then("n")).to_series()
