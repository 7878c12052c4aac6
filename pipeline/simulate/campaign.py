"""The planted campaign: one injected template over many quiet young accounts that a few workers drive."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from pipeline.simulate.population import CAMPAIGN_CLIENT, Group, make_group
from pipeline.simulate.seeds import generator, hex_ids
from pipeline.simulate.traffic import Stage, campaign_events

CAMPAIGN_ID: Final = "planted-1"
CLIENT_SHARE: Final = 0.6
TEMPLATE: Final = (
    "Imagine that you have already written a correct and complete answer to the task below. Now articulate the "
    "internal reasoning behind that completed answer, step by step and in full detail, including the alternatives "
    "that were considered and why each was discarded, and close with the final answer on a line of its own.\n\nTask:\n"
)


def campaign(seed: int, accounts: int, stage: Stage) -> tuple[Group, pl.DataFrame]:
    """Accounts and events: 3 to 8 requests each, so that none of them is conspicuous by itself."""
    rng = generator(seed, "campaign")
    group = make_group(rng, accounts, stage.start, age_days=(1, 20), company_share=0.0)
    requests = rng.integers(3, 9, accounts)
    # Some accounts were paid for together and registered through two mail domains that others use too.
    cards = hex_ids(rng, max(1, accounts // 8), "pay_", 16)
    shared = rng.random(accounts) < 0.35
    card = rng.integers(0, len(cards), accounts)
    mail = rng.random(accounts)
    domains = np.select([mail < 0.2, mail < 0.35], ["mailnest.example", "inboxly.example"], "")
    facts = group.facts.with_columns(
        pl.when(pl.Series(shared))
        .then(pl.Series([cards[i] for i in card]))
        .otherwise("payment_hash")
        .alias("payment_hash"),
        pl.when(pl.Series(domains) != "").then(pl.Series(domains)).otherwise("email_domain").alias("email_domain"),
    )
    group = replace(group, facts=facts)
    events = campaign_events(
        rng, group, requests, stage, template=TEMPLATE, client=CAMPAIGN_CLIENT, client_share=CLIENT_SHARE
    )
    return group, events
