"""From a scenario to traffic: chunks in event-time order, the accounts' facts, and the truth."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from pipeline.errors import UsageError
from pipeline.simulate.campaign import CAMPAIGN_ID, campaign
from pipeline.simulate.cohorts import COHORTS
from pipeline.simulate.days import NEW_MODEL
from pipeline.simulate.load import load_events
from pipeline.simulate.population import FACTS, make_group
from pipeline.simulate.scenario import Scenario, find_scenario, resize
from pipeline.simulate.seeds import generator, hex_ids
from pipeline.simulate.texts import built_in_texts, load_texts
from pipeline.simulate.timing import Timing, load_timing
from pipeline.simulate.traffic import Stage, cohort_events
from pipeline.simulate.truth import Truth, labels
from pipeline.simulate.world import RELEASE, world

CHUNK_EVENTS: Final = 5000
MOST_EVENTS: Final = 5_000_000  # some 10 GB
DEFAULT_START: Final = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
_BROKEN: Final = (b'{"event_id": "req_', b'{"model": "aurora-4-mini"}', b"\xff\xfe\x00\x00", b"not json at all")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some events in event-time order, and messages that are no event and go out with them."""

    events: pl.DataFrame
    broken: tuple[bytes, ...] = ()

    def ndjson(self) -> bytes:
        """The chunk as lines, broken messages last."""
        return b"".join(line + b"\n" for line in self.messages())

    def messages(self) -> list[bytes]:
        """One message an event, then the broken ones."""
        buffer = io.BytesIO()
        stamp = pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
        self.events.with_columns(stamp).write_ndjson(buffer)
        # Lines end in a line feed only: bytes.splitlines would also cut at a carriage return.
        return [*buffer.getvalue().split(b"\n")[:-1], *self.broken]


@dataclass(frozen=True, slots=True)
class Simulation:
    """Traffic that is ready to be sent; ``accounts`` has the columns of FACTS."""

    events: pl.DataFrame
    broken: tuple[bytes, ...]
    accounts: pl.DataFrame
    truth: Truth
    releases: Mapping[str, datetime] = field(default_factory=dict)  # when new models came out

    def facts_ndjson(self) -> bytes:
        """The accounts' facts as lines of JSON."""
        buffer = io.BytesIO()
        self.accounts.with_columns(pl.col("created_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).write_ndjson(buffer)
        return buffer.getvalue()

    def chunks(self, chunk_events: int = CHUNK_EVENTS) -> Iterator[Chunk]:
        """The traffic from its start; may be called again. Broken messages are spread over the chunks."""
        count = max(1, -(-self.events.height // chunk_events))
        for index in range(count):
            yield Chunk(self.events.slice(index * chunk_events, chunk_events), self.broken[index::count])


def simulate(
    scenario: str | Scenario,
    *,
    seed: int,
    start: datetime = DEFAULT_START,
    duration: timedelta | None = None,
    accounts: int | None = None,
    campaign_accounts: int | None = None,
    rate: float | None = None,
    prompts: Path | None = None,
    traces: Path | None = None,
) -> Iterator[Chunk]:
    """The chunks of ``plan`` with the same arguments, for who needs no truth."""
    planned = plan(
        scenario,
        seed=seed,
        start=start,
        duration=duration,
        accounts=accounts,
        campaign_accounts=campaign_accounts,
        rate=rate,
        prompts=prompts,
        traces=traces,
    )
    return planned.chunks()


def plan(
    scenario: str | Scenario,
    *,
    seed: int,
    start: datetime = DEFAULT_START,
    duration: timedelta | None = None,
    accounts: int | None = None,
    campaign_accounts: int | None = None,
    rate: float | None = None,
    prompts: Path | None = None,
    traces: Path | None = None,
) -> Simulation:
    """Everything of a scenario in memory (about 2 KB an event with text). The same arguments give the same bytes.

    Args:
        scenario: a name of SCENARIOS, or one of your own.
        seed: what all randomness comes from.
        start: event time of the first events.
        duration: event time to cover; the scenario's own where not given.
        accounts: benign accounts.
        campaign_accounts: accounts of the planted campaign.
        rate: how many times more often the benign accounts ask.
        prompts: a directory of prompt files; the built-in grammar where not given.
        traces: a directory of request traces; built-in distributions where not given.

    Raises:
        UsageError: no such scenario, nothing to simulate, or more than fits into memory.
        InputNotFoundError: a directory without a known file.
    """
    chosen = find_scenario(scenario) if isinstance(scenario, str) else scenario
    sized = resize(chosen, duration=duration, accounts=accounts, campaign_accounts=campaign_accounts, rate=rate)
    seconds = sized.duration.total_seconds()
    if sized.metadata_only:
        events, facts = load_events(generator(seed, "load"), sized.accounts, seconds, sized.rate, start)
        told = [facts.select("account_id", cohort=pl.lit("load"), campaign_id=pl.lit(None, pl.String))]
        return _finish(sized, seed, [events], [facts], told)
    texts = load_texts(prompts, seed) if prompts else built_in_texts(seed)
    stage = Stage(texts, load_timing(traces) if traces else Timing({}), start, seconds)
    if sized.days:
        made = _finish(sized, seed, *world(sized, seed, stage))
        return replace(made, releases={NEW_MODEL: start + timedelta(seconds=RELEASE * seconds)})
    expected = sum(max(1, round(one.accounts * sized.accounts)) * one.per_minute for one in COHORTS)
    expected *= sized.rate * seconds / 60
    if expected > MOST_EVENTS:
        raise UsageError(
            f"some {expected:,.0f} requests; more than {MOST_EVENTS:,} do not fit into memory at once",
            next_step="ask for fewer minutes or accounts; scenario load makes many, without text",
        )
    frames, facts_of, label_of = [], [], []
    for cohort in COHORTS:
        rng = generator(seed, "cohort", cohort.name)
        count = max(1, round(cohort.accounts * sized.accounts))
        organisation = cohort.name.replace("_", "-") if cohort.one_organisation else None
        group = make_group(rng, count, start, age_days=cohort.age_days, organisation=organisation)
        frames.append(cohort_events(rng, cohort, group, stage, rate=sized.rate))
        facts_of.append(group.facts)
        label_of.append(labels(group.accounts, cohort.name, None))
    if sized.campaign_accounts:
        group, events = campaign(seed, sized.campaign_accounts, stage)
        frames.append(events)
        facts_of.append(group.facts)
        label_of.append(labels(group.accounts, "campaign", CAMPAIGN_ID))
    return _finish(sized, seed, frames, facts_of, label_of)


def _finish(
    scenario: Scenario, seed: int, frames: list[pl.DataFrame], facts: list[pl.DataFrame], truths: list[pl.DataFrame]
) -> Simulation:
    rng = generator(seed, "finish")
    events = pl.concat(frames, how="diagonal")
    counts = events.group_by("account_id").len("events")
    accounts = pl.concat(truths).join(counts, on="account_id", how="left", maintain_order="left")
    accounts = accounts.with_columns(pl.col("events").fill_null(0).cast(pl.Int64))
    # A gateway's retry is the same event again, byte for byte, a little later in the log.
    again = rng.choice(events.height, min(scenario.duplicates, events.height), replace=False)
    order = events.with_columns(_at=pl.col("timestamp"))
    retries = order[again.tolist()].with_columns(pl.col("_at") + pl.duration(seconds=2))
    ordered = pl.concat([order, retries]).sort("_at", "event_id", maintain_order=True).drop("_at")
    tags = hex_ids(rng, scenario.broken, "", 6)
    broken = tuple(
        _BROKEN[i % len(_BROKEN)] + (tag.encode() if i % len(_BROKEN) != 1 else b"") for i, tag in enumerate(tags)
    )
    truth = Truth(scenario.name, seed, accounts, events.height, len(again), len(broken))
    people = pl.concat(facts).select(FACTS.names())
    # In an order that does not tell who is who.
    return Simulation(ordered, broken, people.sort("account_id"), truth)
