"""Populations that differ from the simulator's own in one honest way: the same requests, other circumstances.

Nothing here makes a benign customer act like a distiller; each says something about a provider, a tool or a gateway
that is true somewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from pipeline.simulate import Simulation
from pipeline.simulate.seeds import generator

Change = Callable[[Simulation], Simulation]
_TEXT: Final = ("system", "prompt", "response")
_CLOUD: Final = {"asn": 16509, "country": "US"}


@dataclass(frozen=True, slots=True)
class Population:
    """What is changed of a simulation, and the settings under which it is read."""

    about: str
    change: Change = lambda simulation: simulation
    settings: Mapping[str, Any] | None = None


def _start(simulation: Simulation) -> datetime:
    start = simulation.events["timestamp"].min()
    assert isinstance(start, datetime)
    return start


def _aged(simulation: Simulation, accounts: pl.Series, days: tuple[float, float]) -> Simulation:
    """The accounts were created between so many days before the traffic, evenly."""
    rng = generator(simulation.truth.seed, "aged")
    start = _start(simulation)
    made = [start - timedelta(days=float(age)) for age in rng.uniform(*days, simulation.accounts.height)]
    facts = simulation.accounts.with_columns(
        created_at=pl.when(pl.col("account_id").is_in(accounts.implode()))
        .then(pl.Series(made, dtype=simulation.accounts.schema["created_at"]))
        .otherwise("created_at")
    )
    return replace(simulation, accounts=facts)


def _of_cohort(simulation: Simulation, name: str) -> pl.Series:
    return simulation.truth.accounts.filter(pl.col("cohort") == name)["account_id"]


def first_month(simulation: Simulation) -> Simulation:
    """A provider in its first month: nobody is older."""
    return _aged(simulation, simulation.accounts["account_id"], (0.1, 30))


def tool_for_newcomers(simulation: Simulation) -> Simulation:
    """The open-source tool came out three weeks ago, and whoever uses it signed up for it."""
    return _aged(simulation, _of_cohort(simulation, "open_source_tool"), (0.5, 20))


def tool_tried_once(simulation: Simulation) -> Simulation:
    """As ``tool_for_newcomers``, and all try it about equally much: a workshop, or a launch day."""
    young = tool_for_newcomers(simulation)
    tool = _of_cohort(simulation, "open_source_tool")
    mine = pl.col("account_id").is_in(tool.implode())
    rng = generator(simulation.truth.seed, "tried-once")
    requests = young.events.filter(mine)
    whose = ("account_id", "api_key_id", "ip", "asn", "country")
    people = requests.unique("account_id", maintain_order=True).select(whose)
    senders = people[rng.integers(0, people.height, requests.height).tolist()]
    return _with_events(young, pl.concat([young.events.filter(~mine), requests.with_columns(senders.get_columns())]))


def workshop(simulation: Simulation) -> Simulation:
    """As ``tool_tried_once``, all in one room."""
    tried = tool_tried_once(simulation)
    mine = pl.col("account_id").is_in(_of_cohort(simulation, "open_source_tool").implode())
    room = (("ip", "91.3.40.7"), ("asn", 3320), ("country", "DE"))
    columns = [pl.when(mine).then(pl.lit(value)).otherwise(name).alias(name) for name, value in room]
    return replace(tried, events=tried.events.with_columns(columns))


def seats(simulation: Simulation) -> Simulation:
    """As ``tool_tried_once``, by the staff of ten companies; each pays once, and nobody told the organisation."""
    tried = tool_tried_once(no_organisations(simulation))
    tool = _of_cohort(simulation, "open_source_tool")
    mine = pl.col("account_id").is_in(tool.implode())
    company = pl.col("account_id").hash(5) % 10
    facts = tried.accounts.with_columns(
        payment_hash=pl.when(mine).then(pl.format("pay_company_{}", company)).otherwise("payment_hash"),
        email_domain=pl.when(mine).then(pl.format("company-{}.example", company)).otherwise("email_domain"),
    )
    return replace(tried, accounts=facts)


def students(simulation: Simulation) -> Simulation:
    """The university's course, but everybody signed up alone, pays alone, and nobody told the organisation."""
    untold = no_organisations(simulation)
    mine = pl.col("account_id").is_in(_of_cohort(simulation, "university_lab").implode())
    own = pl.when(mine).then(pl.format("pay_{}", "account_id")).otherwise("payment_hash")
    return replace(untold, accounts=untold.accounts.with_columns(payment_hash=own))


def one_network(simulation: Simulation) -> Simulation:
    """A proxy in front hides where requests come from: one address for all."""
    columns = [pl.lit(value).alias(name) for name, value in _CLOUD.items()]
    return replace(simulation, events=simulation.events.with_columns(pl.lit("54.3.7.7").alias("ip"), *columns))


def one_client(simulation: Simulation) -> Simulation:
    """A gateway that shows its own client to the provider instead of its customers'."""
    columns = [
        pl.lit("gateway/2").alias("user_agent"),
        pl.lit(None, pl.String).alias("ja4"),
        pl.lit(None, pl.String).alias("sdk"),
    ]
    return replace(simulation, events=simulation.events.with_columns(columns))


def no_facts(simulation: Simulation) -> Simulation:
    """Nobody told anything about accounts."""
    return replace(simulation, accounts=simulation.accounts.clear())


def no_organisations(simulation: Simulation) -> Simulation:
    """The provider knows when accounts were made and who pays, not to which organisation they belong."""
    return replace(simulation, accounts=simulation.accounts.with_columns(organisation=pl.lit(None, pl.String)))


def no_text(simulation: Simulation) -> Simulation:
    """The gateway sends metadata only."""
    columns = [pl.lit(None, pl.String).alias(name) for name in _TEXT]
    return replace(simulation, events=simulation.events.with_columns(columns))


def small(simulation: Simulation) -> Simulation:
    """A small provider: one customer in ten."""
    keep = simulation.truth.accounts.filter(
        (pl.col("account_id").hash(1) % 10 == 0) | pl.col("campaign_id").is_not_null()
    )
    kept = pl.col("account_id").is_in(keep["account_id"].implode())
    smaller = replace(simulation, accounts=simulation.accounts.filter(kept))
    return _with_events(smaller, simulation.events.filter(kept))


def _with_events(simulation: Simulation, events: pl.DataFrame) -> Simulation:
    events = events.sort("timestamp", "event_id", maintain_order=True)
    counts = events.unique("event_id").group_by("account_id").len("events")
    accounts = simulation.truth.accounts.drop("events").join(counts, on="account_id", how="left", maintain_order="left")
    accounts = accounts.with_columns(pl.col("events").fill_null(0).cast(pl.Int64))
    unique = events["event_id"].n_unique()
    truth = replace(simulation.truth, accounts=accounts, events=unique, duplicates=events.height - unique)
    return replace(simulation, events=events, truth=truth)


POPULATIONS: Final[Mapping[str, Population]] = {
    "as_it_is": Population("the simulator's own"),
    **{
        change.__name__: Population(str(change.__doc__), change)
        for change in (
            first_month,
            tool_for_newcomers,
            tool_tried_once,
            workshop,
            seats,
            students,
            one_network,
            one_client,
            no_facts,
            no_organisations,
            no_text,
            small,
        )
    },
    "pseudonyms": Population(
        "Ids and addresses are replaced by pseudonyms.",
        settings={
            "privacy": {
                "pseudonymise": ["account_id", "api_key_id", "user_id", "conversation_id", "ip"],
                "key": "0123456789abcdef0123456789abcdef",
            }
        },
    ),
}
