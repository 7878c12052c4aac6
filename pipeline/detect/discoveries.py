"""Who is named: a false-discovery rate that the user sets, kept by e-BH over the e-values of all accounts.

Wang and Ramdas, "False discovery rate control with e-values" (2022): of m accounts, name the k with the largest
e-values, k as large as it goes with every one of them at least m / (rate k). The share of innocents among the named is
then at most ``rate`` on average, however accounts depend on each other: a pool's members do, and so do a tool's users.

A few accounts send so much that one of them could distil alone, and hardly any other could. Half of the rate is for
those h accounts: their e-values count with the weight m / 2h, those of the others with m / 2(m - h). The proof of e-BH
asks only that the e-values of innocents add up to m at most on average, and so they do with weights that add up to m.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pipeline.detect.reference import Knowledge
from pipeline.detect.tables import WriteTx
from pipeline.rules.run import Tx

RECENT: Final = timedelta(days=7)  # as long as a signal counts; see ``scores``
HEAVY_PART: Final = 0.5
MOST_WEIGHT: Final = 100 * HEAVY_PART  # as if at least one account in a hundred sent much
FEWEST: Final = 1000  # a store with fewer accounts is judged as strictly: what was measured is worlds of thousands


@dataclass(frozen=True, slots=True)
class Tests:
    """How many accounts could have been named, and how many of them send much."""

    accounts: int
    heavy: int = 0

    @property
    def weight(self) -> float:
        """What the e-value of an account counts that does not send much; at most 1 where some do."""
        if not 0 < self.heavy < self.accounts * HEAVY_PART:
            return 1.0
        return (1 - HEAVY_PART) * self.accounts / (self.accounts - self.heavy)

    @property
    def heavy_weight(self) -> float:
        """What the e-value of an account counts that sends much; 1 where so many do that it says nothing."""
        if not 0 < self.heavy < self.accounts * HEAVY_PART:
            return 1.0
        return min(MOST_WEIGHT, HEAVY_PART * self.accounts / self.heavy)


@dataclass(frozen=True, slots=True)
class Naming:
    """What it takes. ``least``: the smallest weighted e-value that is named; None: nobody is."""

    tests: Tests
    rate: float
    named: int
    least: float | None

    def needed(self, weight: float) -> float | None:
        """From which e-value on accounts of that weight are named, as anybody computes it; None: nobody is."""
        return self.tests.accounts / (self.rate * self.named * weight) if self.named else None


@dataclass(frozen=True, slots=True)
class Basis:
    """What e-values follow from beside scores: what arrives of prompts, and which reference they are held against."""

    knowledge: Knowledge
    reference: str


def known_of_text(tx: Tx, until: datetime) -> Knowledge:
    """What arrived of prompts in the days that count: fragments, hashes only, or nothing."""
    begin = until.replace(minute=0, second=0, microsecond=0) - RECENT
    row = tx.execute(
        """
        with said as (
            select target_kind from link_hour where hour >= $begin
            union all
            select target_kind from link_delta where hour >= $begin
        )

        select
            exists (from said where target_kind = 'fragment'),
            exists (from said where target_kind in ('template', 'system_prompt'))
        """,
        {"begin": begin},
    ).fetchone()
    assert row is not None
    return "full" if row[0] else "hashes" if row[1] else "metadata"


def count_tests(tx: Tx, until: datetime) -> Tests:
    """How many accounts could have been named: those with requests in the days that count, at least FEWEST."""
    row = tx.execute(
        "select count(*), count(*) filter (where sends_much(events, first_seen, last_seen)) from accounts "
        "where first_seen < $until and last_seen >= $begin",
        {"until": until, "begin": until - RECENT},
    ).fetchone()
    assert row is not None
    return Tests(max(FEWEST, int(row[0])), int(row[1]))


def choose(tx: Tx, *, tests: Tests, rate: float) -> Naming:
    """e-BH over the stored e-values of accounts that nobody cleared, each with its weight.

    Who sends much has the weight for it only where he is compared with others that do.
    """
    row = tx.execute(
        """
        with ranked as (
            select
                e_value * if(population like '%/heavy', $heavy_weight, $weight) as weighted,
                row_number() over (order by weighted desc) as place
            from finding
            where dimension = 'account' and cleared_reason is null and e_value is not null
        )

        select
            coalesce(max(place), 0),
            arg_max(weighted, place)
        from ranked
        where weighted * $rate * place >= $tests
        """,
        {"rate": rate, "tests": tests.accounts, "weight": tests.weight, "heavy_weight": tests.heavy_weight},
    ).fetchone()
    assert row is not None
    return Naming(tests, rate, int(row[0]), row[1])


def apply_naming(tx: WriteTx, naming: Naming, basis: Basis, now: datetime) -> frozenset[str]:
    """Name whom it takes, and nobody else; keep what it took. Return the accounts of which that changed."""
    changed = tx.execute(
        "select entity_id from finding where dimension = 'account' and named <> coalesce(cleared_reason is null "
        "and e_value * if(population like '%/heavy', $heavy_weight, $weight) >= $least, false)",
        {"least": naming.least, "weight": naming.tests.weight, "heavy_weight": naming.tests.heavy_weight},
    ).fetchall()
    if changed:
        tx.execute(
            "update finding set named = not named, updated_at = $now where dimension = 'account' and entity_id in "
            "(select unnest($changed::varchar[]))",
            {"now": now, "changed": [row[0] for row in changed]},
        )
    tx.execute("delete from naming_state")
    tx.execute(
        "insert into naming_state (tests, heavy, false_discovery_rate, named, e_value_needed, e_value_needed_heavy, "
        "knowledge, reference, updated_at) values ($tests, $heavy, $rate, $named, $needed, $needed_heavy, $knowledge, "
        "$reference, $now)",
        {
            "tests": naming.tests.accounts,
            "heavy": naming.tests.heavy,
            "rate": naming.rate,
            "named": naming.named,
            "knowledge": basis.knowledge,
            "reference": basis.reference,
            "needed": naming.needed(naming.tests.weight),
            "needed_heavy": naming.needed(naming.tests.heavy_weight),
            "now": now,
        },
    )
    return frozenset(row[0] for row in changed)


def last_naming(tx: Tx) -> tuple[Tests, Basis] | None:
    """Tests of the last look, and what its e-values came from; None: there was none."""
    row = tx.execute("select tests, coalesce(heavy, 0), knowledge, reference from naming_state").fetchone()
    return None if row is None else (Tests(int(row[0]), int(row[1])), Basis(row[2], row[3]))
