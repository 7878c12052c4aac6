"""Who is named: a false-discovery rate that the user sets, kept by e-BH over the e-values of all accounts.

Wang and Ramdas, "False discovery rate control with e-values" (2022): of m accounts, name the k with the largest
e-values, k as large as it goes with every one of them at least m / (rate k). The share of innocents among the named is
then at most ``rate`` on average, however accounts depend on each other: a pool's members do, and so do a tool's users.

A few accounts send so much that one of them could distil alone, and hardly any other could. They are a list of their
own: e-BH is done over them and over all others apart, each at half of the rate, so that both together keep all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pipeline.detect.reference import Knowledge
from pipeline.detect.tables import ACCOUNTS_SEEN, WriteTx
from pipeline.rules.run import Tx

RECENT: Final = timedelta(days=7)  # as long as a signal counts; see ``scores``
HEAVY_SHARE: Final = 0.01  # of all accounts send much, for less than that is by chance
FEWEST_HEAVY: Final = 50  # as FEWEST; no rule that names nobody by itself is enough for one of so many
FEWEST: Final = 1000  # a store with fewer accounts is judged as strictly: what was measured is worlds of thousands


@dataclass(frozen=True, slots=True)
class Tests:
    """How many accounts could have been named, and how many of them send much.

    The list of all others counts all of them: who sends much and is not compared with his like is in it.
    """

    accounts: int
    heavy: int = 0

    @property
    def senders(self) -> int:
        """Accounts in the list of those that send much: a hundredth of all at least, and FEWEST_HEAVY."""
        return max(self.heavy, round(HEAVY_SHARE * self.accounts), FEWEST_HEAVY)


@dataclass(frozen=True, slots=True)
class Listed:
    """One list. ``least``: the smallest e-value that is named; None: nobody is."""

    tests: int
    named: int
    least: float | None

    def needed(self, rate: float) -> float | None:
        """From which e-value on accounts of this list are named, as anybody computes it; None: nobody is."""
        return self.tests / (rate / 2 * self.named) if self.named and rate else None


@dataclass(frozen=True, slots=True)
class Naming:
    """What it takes, for those who send much (``heavy``) and for all others."""

    tests: Tests
    rate: float
    others: Listed
    heavy: Listed

    @property
    def named(self) -> int:
        """How many are."""
        return self.others.named + self.heavy.named


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
        with said as not materialized (  -- the first row of a kind will do
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
        f"select count(*), count(*) filter (where sends_much(events, first_seen, last_seen)) from ({ACCOUNTS_SEEN}) "  # noqa: S608 - literals
        "where first_seen < $until and last_seen >= $begin",
        {"until": until, "begin": until - RECENT},
    ).fetchone()
    assert row is not None
    return Tests(max(FEWEST, int(row[0])), int(row[1]))


def choose(tx: Tx, *, tests: Tests, rate: float) -> Naming:
    """e-BH over the stored e-values of accounts that nobody cleared, in two lists, each at half of the rate.

    Who sends much is in the list of those who do only where he is compared with others that do.
    """
    rows = tx.execute(
        """
        with ranked as (
            select
                e_value,
                population like '%/heavy' as heavy,
                row_number() over (partition by population like '%/heavy' order by e_value desc) as place
            from finding
            where
                dimension = 'account' and cleared_reason is null and e_value is not null and population is not null
        )

        select
            heavy,
            max(place),
            arg_max(e_value, place)
        from ranked
        where e_value * $rate / 2 * place >= if(heavy, $senders, $others)
        group by heavy
        """,
        {"rate": rate, "senders": tests.senders, "others": tests.accounts},
    ).fetchall()
    found = {bool(heavy): (int(named), float(least)) for heavy, named, least in rows}
    others, heavy = (
        Listed(count, *found.get(kind, (0, None))) for kind, count in ((False, tests.accounts), (True, tests.senders))
    )
    return Naming(tests, rate, others, heavy)


def apply_naming(tx: WriteTx, naming: Naming, basis: Basis, now: datetime) -> frozenset[str]:
    """Name whom it takes, and nobody else; keep what it took. Return the accounts of which that changed."""
    changed = tx.execute(
        "select entity_id from finding where dimension = 'account' and named <> coalesce(cleared_reason is null "
        "and e_value >= if(population like '%/heavy', $least_heavy, $least), false)",
        {"least": naming.others.least, "least_heavy": naming.heavy.least},
    ).fetchall()
    if changed:
        tx.execute(
            "update finding set named = not named, updated_at = $now where dimension = 'account' and entity_id in "
            "(select unnest($changed::varchar[]))",
            {"now": now, "changed": [row[0] for row in changed]},
        )
    tx.execute("delete from naming_state")
    tx.execute(
        "insert into naming_state (tests, heavy, false_discovery_rate, named, named_heavy, e_value_needed, "
        "e_value_needed_heavy, knowledge, reference, updated_at) values ($tests, $heavy, $rate, $named, $named_heavy, "
        "$needed, $needed_heavy, $knowledge, $reference, $now)",
        {
            "tests": naming.tests.accounts,
            "heavy": naming.tests.heavy,
            "named_heavy": naming.heavy.named,
            "rate": naming.rate,
            "named": naming.named,
            "knowledge": basis.knowledge,
            "reference": basis.reference,
            "needed": naming.others.needed(naming.rate),
            "needed_heavy": naming.heavy.needed(naming.rate),
            "now": now,
        },
    )
    return frozenset(row[0] for row in changed)


def last_naming(tx: Tx) -> tuple[Tests, Basis] | None:
    """Tests of the last look, and what its e-values came from; None: there was none."""
    row = tx.execute("select tests, coalesce(heavy, 0), knowledge, reference from naming_state").fetchone()
    return None if row is None else (Tests(int(row[0]), int(row[1])), Basis(row[2], row[3]))
