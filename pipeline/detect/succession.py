"""Who took over where others stopped: pools of accounts within a campaign, and campaigns after one another.

A campaign falls into pools where at least four fifths of those who had begun are served nothing more when the others
begin, and three quarters of them had begun before a quarter had stopped: accounts that come and go one by one are no
pools. A later pool succeeds an
earlier one when it is like it in what hardly anybody else has, and its accounts are new. Two campaigns are compared in
the same way, the last pool of one with the first of the other. Nobody is named for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

import polars as pl

from pipeline.detect.graph import FACTS

LEAST: Final = 0.5  # what is weaker is not told
LATEST: Final = timedelta(days=30)  # after which nobody says that one thing follows from the other
_YOUNG: Final = timedelta(days=30)
_SMALLEST: Final = 3
_DONE: Final = 0.8  # share of those who began before that must have stopped
# What being alike in one kind of thing is worth at most: an operator keeps his passages, and may change the rest.
_WORTH: Final = {"said": 0.9, "reasoning_blob": 0.9, "payment": 0.8, "client": 0.7, "corpus": 0.6, "email_domain": 0.6}
_WORTH_OTHER: Final = 0.4
_AGE_UNKNOWN: Final = 0.75
_LOOKED_AT: Final = 16  # pauses within a campaign, the longest first: each costs the sorting of a pool
_CALLED: Final = {
    "said": "prompts and passages",
    "reasoning_blob": "reasoning blocks",
    "email_domain": "mail domains",
    "corpus": "known sets",
}


@dataclass(frozen=True, slots=True)
class Succession:
    """``campaign_id``'s later accounts took over from ``succeeds``' (the same one, where they are of one campaign)."""

    campaign_id: str
    succeeds: str
    stopped_at: datetime
    began_at: datetime
    accounts_before: int
    accounts_after: int
    strength: float
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Pool:
    """Accounts that were there at one time: rows of LIVES, in order of their beginning."""

    campaign_id: str
    lives: pl.DataFrame

    @property
    def began_at(self) -> datetime:
        """When the first of them began."""
        return self.lives["began"][0]  # type: ignore[no-any-return]

    def stopped_by(self, when: datetime) -> pl.DataFrame:
        """Those that were served nothing after that."""
        return self.lives.filter(pl.col("stopped") <= when)


def find_successions(lives: pl.DataFrame, rare: pl.DataFrame) -> list[Succession]:
    """What succeeds what, in order.

    Args:
        lives: campaign_id and lives.LIVES: of accounts that are counted to a campaign.
        rare: account_id, thing, kind: which of them have things that hardly anybody else has.
    """
    ordered = lives.sort("campaign_id", "began", "account_id")
    pools = {
        str(name): _pools(str(name), rows) for (name,), rows in ordered.group_by("campaign_id", maintain_order=True)
    }
    pairs = [pair for some in pools.values() for pair in pairwise(some)]
    pairs += [(pools[one][-1], pools[other][0]) for one, other in _alike_at_all(lives, rare)]
    found = [one for before, after in pairs if (one := _succession(before, after, rare)) is not None]
    return sorted(found, key=lambda one: (one.campaign_id, one.began_at, one.succeeds))


def _alike_at_all(lives: pl.DataFrame, rare: pl.DataFrame) -> list[tuple[str, str]]:
    """Pairs of campaigns that have any rare thing in common: few, however many campaigns there are."""
    has = lives.select("campaign_id", "account_id").join(rare, on="account_id").select("campaign_id", "thing").unique()
    pairs = has.join(has, on="thing", suffix="_other").filter(pl.col("campaign_id") != pl.col("campaign_id_other"))
    return pairs.select("campaign_id", "campaign_id_other").unique().sort(pl.all()).rows()


def _pools(campaign: str, rows: pl.DataFrame, least: int | None = None) -> list[_Pool]:
    """The pools of one campaign in order, none with less than a tenth of its accounts.

    ``rows`` in order of their beginning.
    """
    least = max(_SMALLEST, rows.height // 10) if least is None else least
    cut = _turnover(rows, least)
    if cut is None:
        return [_Pool(campaign, rows)]
    return [*_pools(campaign, rows[:cut], least), *_pools(campaign, rows[cut:], least)]


def _turnover(rows: pl.DataFrame, least: int) -> int | None:
    """How many were one pool before the longest pause, in which nobody began; None: there is no such pause.

    In order of their beginning, three quarters of them had begun before a quarter had stopped.
    """
    began, stopped = (rows[name].dt.epoch("us") for name in ("began", "stopped"))
    ended = stopped.sort()
    # Where others may begin: how many had begun before, how many of them had stopped, and when the last of those did.
    done = ended.search_sorted(began, side="left").cast(pl.Int64)
    last = ended.gather((done - 1).clip(0))
    pause = pl.col("began") - pl.max_horizontal("last", pl.col("began").shift(1))
    moments = (
        pl.DataFrame({"cut": range(rows.height), "began": began, "done": done, "last": last})
        .with_columns(pause.alias("pause"))
        .filter(
            (pl.col("cut") >= least)
            & (pl.col("cut") <= rows.height - least)
            & (pl.col("pause") > 0)
            & (pl.col("done") >= _DONE * pl.col("cut"))
        )
        .sort("pause", "cut", descending=[True, False])
        .head(_LOOKED_AT)
    )
    for cut in moments["cut"]:
        if began[3 * cut // 4] < stopped[:cut].sort()[cut // 4]:
            return int(cut)
    return None


def _succession(before: _Pool, after: _Pool, rare: pl.DataFrame) -> Succession | None:
    began = after.began_at
    stopped = before.stopped_by(began)
    small = min(stopped.height, after.lives.height) < _SMALLEST
    if small or stopped.height < _DONE * before.lives.height:
        return None
    stopped_at: datetime = stopped["stopped"].max()  # type: ignore[assignment]
    if began - stopped_at > LATEST:
        return None
    strength, alike = _alike(stopped, after.lives, rare)
    new, told = _new(after.lives, stopped_at)
    strength = round(strength * new, 4)
    if strength < LEAST:
        return None
    return Succession(
        campaign_id=after.campaign_id,
        succeeds=before.campaign_id,
        stopped_at=stopped_at,
        began_at=began,
        accounts_before=stopped.height,
        accounts_after=after.lives.height,
        strength=strength,
        evidence=(*alike, told, *_banned(stopped, after.lives)),
    )


def _alike(before: pl.DataFrame, after: pl.DataFrame, rare: pl.DataFrame) -> tuple[float, list[str]]:
    """How much two pools have in common that hardly anybody else has: noisy-or over kinds of things."""
    shares = [
        rare.join(pool.select("account_id"), on="account_id")
        .group_by("kind", "thing")
        .agg((pl.len() / pool.height).alias(name))
        for name, pool in (("before", before), ("after", after))
    ]
    both = pl.min_horizontal("before", "after")
    kinds = (
        shares[0]
        .join(shares[1], on=["kind", "thing"])
        .sort("kind", "thing")
        .group_by("kind", maintain_order=True)
        .agg(
            pl.when(pl.col("kind").first().is_in(FACTS)).then(both.sum()).otherwise(both.max()).round(9).alias("alike"),
            pl.len().alias("things"),
        )
    )
    left, told = 1.0, []
    for kind, share, things in sorted(kinds.iter_rows(), key=lambda row: (-row[1] * _worth(row[0]), row[0])):
        left *= 1 - _worth(kind) * share
        name = _CALLED.get(kind, kind.replace("_", " ") + "s")
        told.append(f"They have {share:.0%} in common of {name} that hardly anybody else has ({things} of them).")
    return 1 - left, told


def _worth(kind: str) -> float:
    return _WORTH.get(kind, _WORTH_OTHER)


def _new(after: pl.DataFrame, stopped_at: datetime) -> tuple[float, str]:
    """How much of the later pool is new, and that in words."""
    known = after.filter(pl.col("created_at").is_not_null())
    if 2 * known.height < after.height:
        return _AGE_UNKNOWN, f"{after.height} accounts sent their first request later; of most the age is not known."
    young = known.filter(pl.col("created_at") > pl.col("began") - _YOUNG).height
    made = known.filter(pl.col("created_at") > stopped_at).height
    return young / known.height, (
        f"{after.height} accounts sent their first request later; {young} of {known.height} whose age is known were "
        f"created less than 30 days before it, {made} of them after the others had stopped."
    )


def _banned(stopped: pl.DataFrame, after: pl.DataFrame) -> Iterator[str]:
    refused = int(stopped["refused_after"].sum())
    if 2 * refused > stopped.height:
        yield f"{refused} of the {stopped.height} that stopped went on to send requests that all failed."
    status = stopped["status"].drop_nulls().value_counts(sort=True).sort("count", "status", descending=[True, False])
    if status.height and 2 * status["count"][0] > stopped.height:
        name, same = status["status"][0], int((after["status"] == status["status"][0]).sum())
        if 2 * same < after.height:
            yield f"{status['count'][0]} of them are told to be {name!r}, of the later ones {same}."


def table(found: Sequence[Succession]) -> pl.DataFrame:
    """As it is stored."""
    return pl.DataFrame(
        [
            (
                *(one.campaign_id, one.succeeds, one.stopped_at, one.began_at),
                *(one.accounts_before, one.accounts_after, one.strength, list(one.evidence)),
            )
            for one in found
        ],
        schema={
            "campaign_id": pl.String(),
            "succeeds": pl.String(),
            "stopped_at": pl.Datetime("us", "UTC"),
            "began_at": pl.Datetime("us", "UTC"),
            "accounts_before": pl.Int64(),
            "accounts_after": pl.Int64(),
            "strength": pl.Float64(),
            "evidence": pl.List(pl.String()),
        },
        orient="row",
    )
