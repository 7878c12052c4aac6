"""From what one run found and what was planted to figures. Pure: frames in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

DAY = "1d"
OURS = "Stillwatch"  # among the detectors that are compared


@dataclass(frozen=True, slots=True)
class Found:
    """What detection says in the end.

    ``findings``: account_id, score, named. ``members``: campaign_id, account_id. ``alerts``: when (event time) each
    was opened and the accounts it was about then (account_id, opened_at).
    """

    findings: pl.DataFrame
    members: pl.DataFrame
    alerts: pl.DataFrame


@dataclass(frozen=True, slots=True)
class CampaignScore:
    """One planted campaign.

    ``found``: most named members of some campaign that was found are its accounts. ``named``: of its ``members``, how
    many are named. ``purity``: of the named members of the campaigns matched to it, which share is planted in it.
    ``requests_before``: how many of its requests had been sent when the first alert about it stood; None: none did.
    """

    campaign_id: str
    members: int
    named: int
    found: bool
    purity: float | None
    requests: int
    requests_before: int | None

    @property
    def recall(self) -> float:
        """Share of its members that are named."""
        return self.named / self.members if self.members else 0.0


@dataclass(frozen=True, slots=True)
class RunScore:
    """One simulated world. Account-days: a day (UTC) on which an account sent anything counts once."""

    scenario: str
    knowledge: str
    seed: int
    campaigns: tuple[CampaignScore, ...]
    benign_days: Mapping[str, int]  # by cohort
    falsely_named_days: Mapping[str, int]
    named: int
    falsely_named: int
    benign_scores_over: Mapping[str, float] = field(default_factory=dict)  # highest score of each benign cohort
    detectors: Mapping[str, Mapping[str, float]] = field(
        default_factory=dict
    )  # ours and baselines; see baselines.judged

    @property
    def false_discoveries(self) -> float:
        """Of those named, which share is benign; 0 where nobody is named."""
        return self.falsely_named / self.named if self.named else 0.0


def score(
    truth: pl.DataFrame, requests: pl.DataFrame, found: Found, *, scenario: str, knowledge: str, seed: int
) -> RunScore:
    """Judge one run.

    Args:
        truth: account_id, cohort, campaign_id (null: benign).
        requests: account_id, timestamp of each event that was sent once.
        found: what detection says.
        scenario: only passed on, as ``knowledge`` and ``seed`` are.
    """
    active = requests.select("account_id", pl.col("timestamp").dt.truncate(DAY).alias("day")).unique()
    judged = (
        truth.join(found.findings, on="account_id", how="left", maintain_order="left")
        .with_columns(pl.col("named").fill_null(value=False), pl.col("score").fill_null(0.0))
        .join(active.group_by("account_id").len("days"), on="account_id", how="inner", maintain_order="left")
    )
    benign = judged.filter(pl.col("campaign_id").is_null())
    days = _by_cohort(benign, pl.col("days").sum())
    wrong = _by_cohort(benign.filter("named"), pl.col("days").sum())
    highest = _by_cohort(benign, pl.col("score").max())
    campaigns = tuple(
        _campaign(name, judged, requests, found) for name in judged["campaign_id"].drop_nulls().unique().sort()
    )
    return RunScore(
        scenario,
        knowledge,
        seed,
        campaigns,
        {name: int(count) for name, count in days.items()},
        {name: int(count) for name, count in wrong.items()},
        int(judged["named"].sum()),
        int(benign["named"].sum()),
        {name: float(value) for name, value in highest.items()},
    )


def _by_cohort(frame: pl.DataFrame, figure: pl.Expr) -> dict[str, float]:
    return dict(frame.group_by("cohort").agg(figure).sort("cohort").iter_rows())


def _campaign(name: str, judged: pl.DataFrame, requests: pl.DataFrame, found: Found) -> CampaignScore:
    mine = judged.filter(pl.col("campaign_id") == name)
    accounts = mine["account_id"].implode()
    named = judged.filter("named").select(
        "account_id", (pl.col("campaign_id") == name).fill_null(value=False).alias("mine")
    )
    # Who is found alone, as one large account is, counts like a campaign of one.
    groups = found.members.join(named, on="account_id", how="inner")
    matched = groups.group_by("campaign_id").agg(pl.col("mine").mean()).filter(pl.col("mine") > 0.5)
    inside = groups.filter(pl.col("campaign_id").is_in(matched["campaign_id"].implode())).unique("account_id")
    count = int(mine["named"].sum())
    alone = len(mine) == 1 and count == 1
    purity = inside["mine"].mean() if len(inside) else (1.0 if alone else None)
    sent = requests.filter(pl.col("account_id").is_in(accounts))["timestamp"]
    opened = found.alerts.filter(pl.col("account_id").is_in(accounts))["opened_at"].min()
    before = int((sent <= opened).sum()) if isinstance(opened, datetime) else None
    return CampaignScore(
        campaign_id=name,
        members=len(mine),
        named=count,
        found=bool(len(matched)) or alone,
        purity=None if purity is None else float(purity),  # type: ignore[arg-type]
        requests=len(sent),
        requests_before=before,
    )
