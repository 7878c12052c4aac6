"""What was planted: kept beside the traffic, never in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl


@dataclass(frozen=True, slots=True)
class Truth:
    """What a simulation holds.

    ``accounts``: account_id, cohort, campaign_id (null: benign), events (duplicates not counted). ``messages`` is what
    is sent in all: ``events`` + ``duplicates`` + ``broken``.
    """

    scenario: str
    seed: int
    accounts: pl.DataFrame
    events: int
    duplicates: int
    broken: int

    @property
    def messages(self) -> int:
        """Events, duplicates and broken messages together."""
        return self.events + self.duplicates + self.broken

    @property
    def planted(self) -> frozenset[str]:
        """The accounts of campaigns that sent anything."""
        members = self.accounts.filter(pl.col("campaign_id").is_not_null() & (pl.col("events") > 0))
        return frozenset(members["account_id"].to_list())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "scenario": self.scenario,
            "seed": self.seed,
            "events": self.events,
            "duplicates": self.duplicates,
            "broken": self.broken,
            "accounts": self.accounts.to_dicts(),
        }

    def write(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(self.as_dict(), indent=1) + "\n", encoding="utf-8")


def labels(accounts: list[str], cohort: str, campaign_id: str | None) -> pl.DataFrame:
    """Rows of ``Truth.accounts``, without ``events``; null: benign."""
    return pl.DataFrame({"account_id": accounts}).with_columns(
        cohort=pl.lit(cohort), campaign_id=pl.lit(campaign_id, pl.String)
    )
