"""Who is named: a false-discovery rate that the user sets, kept by e-BH over the e-values of all accounts.

Wang and Ramdas, "False discovery rate control with e-values" (2022): of m accounts, name the k with the largest
e-values, k as large as it goes with every one of them at least m / (rate k). The share of innocents among the named is
then at most ``rate`` on average, however accounts depend on each other: a pool's members do, and so do a tool's users.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pipeline.detect.reference import Knowledge
from pipeline.detect.tables import WriteTx
from pipeline.rules.run import Tx

RECENT: Final = timedelta(days=7)  # as long as a signal counts; see ``scores``
FEWEST: Final = 1000  # a store with fewer accounts is judged as strictly: what was measured is worlds of thousands


@dataclass(frozen=True, slots=True)
class Naming:
    """What it takes. ``tests``: m. ``least``: the smallest e-value that is named; None: nobody is."""

    tests: int
    rate: float
    named: int
    least: float | None

    @property
    def needed(self) -> float | None:
        """From which e-value on accounts are named, as anybody computes it; None: nobody is."""
        return self.tests / (self.rate * self.named) if self.named else None


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


def count_tests(tx: Tx, until: datetime) -> int:
    """How many accounts could have been named: those with requests in the days that count, at least FEWEST."""
    row = tx.execute(
        "select count(*) from accounts where first_seen < $until and last_seen >= $begin",
        {"until": until, "begin": until - RECENT},
    ).fetchone()
    assert row is not None
    return max(FEWEST, int(row[0]))


def choose(tx: Tx, *, tests: int, rate: float) -> Naming:
    """e-BH over the stored e-values of accounts that nobody cleared."""
    row = tx.execute(
        """
        with ranked as (
            select
                e_value,
                row_number() over (order by e_value desc) as place
            from finding
            where dimension = 'account' and cleared_reason is null and e_value is not null
        )

        select
            coalesce(max(place), 0),
            arg_max(e_value, place)
        from ranked
        where e_value * $rate * place >= $tests
        """,
        {"rate": rate, "tests": tests},
    ).fetchone()
    assert row is not None
    return Naming(tests, rate, int(row[0]), row[1])


def apply_naming(tx: WriteTx, naming: Naming, basis: Basis, now: datetime) -> frozenset[str]:
    """Name whom it takes, and nobody else; keep what it took. Return the accounts of which that changed."""
    changed = tx.execute(
        "select entity_id from finding where dimension = 'account' "
        "and named <> coalesce(cleared_reason is null and e_value >= $least, false)",
        {"least": naming.least},
    ).fetchall()
    if changed:
        tx.execute(
            "update finding set named = not named, updated_at = $now where dimension = 'account' and entity_id in "
            "(select unnest($changed::varchar[]))",
            {"now": now, "changed": [row[0] for row in changed]},
        )
    tx.execute("delete from naming_state")
    tx.execute(
        "insert into naming_state (tests, false_discovery_rate, named, e_value_needed, knowledge, reference, "
        "updated_at) values ($tests, $rate, $named, $needed, $knowledge, $reference, $now)",
        {
            "tests": naming.tests,
            "rate": naming.rate,
            "named": naming.named,
            "knowledge": basis.knowledge,
            "reference": basis.reference,
            "needed": naming.needed,
            "now": now,
        },
    )
    return frozenset(row[0] for row in changed)


def last_naming(tx: Tx) -> tuple[int, Basis] | None:
    """Tests of the last look, and what its e-values came from; None: there was none."""
    row = tx.execute("select tests, knowledge, reference from naming_state").fetchone()
    return None if row is None else (int(row[0]), Basis(row[1], row[2]))
