"""Checks a store file: every block can be read, and what was counted at each level agrees with what the deltas said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from pipeline.clock import SystemClock
from pipeline.config import Lake, Place, StoreSettings
from pipeline.errors import StoreError
from pipeline.store.connection import explained
from pipeline.store.migrate import check_version, migrations, stored_version
from pipeline.store.store import Store


def _of_no_delta(table: str, what: str) -> str:
    """Rows that a delta brought, of which the log knows nothing."""
    return f"""
    select format('{what}, partition {{}}: rows of no delta, at offset {{}}', told.source_partition, told.from_offset)
    from {table} as told
    left join partition_state on told.source_partition = partition_state.source_partition
    left join delta_log
        on told.source_partition = delta_log.source_partition
        and told.from_offset = delta_log.from_offset
        and not delta_log.folded
    where delta_log.from_offset is null and told.from_offset >= coalesce(partition_state.folded_to, 0)
    group by told.source_partition, told.from_offset
    """  # noqa: S608


def _kept(column: str, *tables: str) -> str:
    """The condition that nothing of that time has expired, in any of these tables."""
    expired = ", ".join(f"'expired {table}'" for table in tables)
    return (
        f"{column} > coalesce((select max(value::timestamptz) from meta where key in ({expired})), "  # noqa: S608
        "timestamptz '1900-01-01 00:00:00+00')"
    )


def _more_than_events(said: str, told: str, table: str) -> str:
    """Where ``told`` (account_id, window_start, told) has more of something than the account had requests."""
    return f"""
    select format('{said}', account_id, window_start, told, coalesce(counted.events, 0))
    from ({told}) as most
    left join (
        select entity_id as account_id,
            time_bucket(interval '1 hour', window_start, timestamptz '1970-01-01 00:00:00+00') as window_start,
            sum(events)::bigint as events
        from (
            select entity_id, window_start, events from hour where kind = 'account'
            union all
            select entity_id, pane as window_start, events from pane_delta where kind = 'account'
        ) as both_counts
        group by all
    ) as counted using (account_id, window_start)
    where told > coalesce(counted.events, 0) and {_kept("window_start", "hour", table)}
    """  # noqa: S608


def _levels(said: str, kind: str, time: str, finer: str, coarser: str, kept: str) -> str:  # noqa: PLR0917 - a sentence's parts
    """Where two levels of one count differ, by kind and the coarser level's time."""
    return f"""
    select format('{said}', {kind}, {time}, coalesce(fine.events, 0), coalesce(coarse.events, 0))
    from ({finer}) as fine
    full join ({coarser}) as coarse using ({kind}, {time})
    where fine.events is distinct from coarse.events and {kept}
    """  # noqa: S608


_HOUR: Final = "time_bucket(interval '1 hour', {}, timestamptz '1970-01-01 00:00:00+00')"
_DAY: Final = "time_bucket(interval '24 hours', {}, timestamptz '1970-01-01 00:00:00+00')"

# Each gives a row for everything that is wrong: one column, a sentence.
_CHECKS: Final = (
    """
    select format('{} events in the deltas, {} in the panes of accounts', told.events, counted.events)
    from (select coalesce(sum(events), 0)::bigint as events from delta_log) as told
    cross join (
        select coalesce(sum(events), 0)::bigint as events
        from (
            select events from account_seen
            union all
            select events from pane_delta where kind = 'account'
        ) as both_kinds
    ) as counted
    where told.events <> counted.events
    """,
    """
    select format('partition {}: deltas overlap at offset {}', source_partition, from_offset)
    from (
        select source_partition, from_offset,
            lag(to_offset) over (partition by source_partition order by from_offset, to_offset) as before
        from delta_log
        where not folded
    ) as ordered
    where before > from_offset
    """,
    *(
        _of_no_delta(table, what)
        for table, what in (
            ("pane_delta", "panes"),
            ("distribution_delta", "distributions"),
            ("loop_delta", "passages"),
        )
    ),
    *(
        _levels(
            f"{{}} of {{}}: {{}} events by {finer_name}, {{}} by {coarser}",
            "kind",
            "window_start",
            f"select kind, {bucket.format('window_start')} as window_start, sum(events)::bigint as events "  # noqa: S608
            f"from {finer} group by all",
            f"select kind, window_start, sum(events)::bigint as events from {coarser} group by all",  # noqa: S608
            _kept("window_start", finer, coarser),
        )
        for finer, finer_name, coarser, bucket in (("pane", "minute", "hour", _HOUR), ("hour", "hour", "day", _DAY))
    ),
    _levels(
        "links to {} on {}: {} events by hour, {} by day",
        "target_kind",
        "day",
        f"select target_kind, {_DAY.format('hour')} as day, sum(events)::bigint as events "  # noqa: S608
        "from link_hour group by all",
        "select target_kind, day, sum(events)::bigint as events from link_day group by all",
        _kept("day", "link_hour", "link_day"),
    ),
    _more_than_events(
        "distribution of {} at {}: {} prompts, {} events",
        """
        select account_id, hour as window_start, sum(events)::bigint as told
        from (
            select account_id, hour, events from distribution_hour
            union all
            select account_id, hour, events from distribution_delta
        ) as both_sums
        group by all
        """,
        "distribution_hour",
    ),
    """
    select format('distribution of {} at {}: sums that no {} prompts have', account_id, hour, events)
    from (
        select account_id, hour, events, prompt_sum from distribution_hour
        union all
        select account_id, hour, events, prompt_sum from distribution_delta
    ) as both_sums
    where len(prompt_sum) <> 64 or list_max(list_transform(prompt_sum, lambda one: abs(one))) > 127 * events
    """,
    _more_than_events(
        "passages of {} at {}: one in {} of {} events",
        """
        select account_id, window_start, max(events) as told
        from (
            select account_id, hour as window_start, sum(events)::bigint as events
            from (
                select account_id, hour, output, passage, events from loop_hour
                union all
                select account_id, hour, output, passage, events from loop_delta
            ) as both_sides
            group by account_id, hour, output, passage
        ) as by_passage
        group by all
        """,
        "loop_hour",
    ),
)


@dataclass(frozen=True, slots=True)
class Verified:
    """A store that agrees with itself."""

    path: Place
    version: int
    events: int
    rows: int
    holes: int

    def __str__(self) -> str:
        missing = f", {self.holes} holes" if self.holes else ""
        return f"{self.path}: good (version {self.version}, {self.events} events, {self.rows} rows{missing})"


def verify_file(path: Path) -> Verified:
    """Read a store file that nobody has open from end to end, and compare its counts.

    Raises:
        StoreError: it cannot be read, or counts differ; everything found is in the message.
    """
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            return _verified(connection, path)
    except duckdb.Error as error:
        raise explained(error, path) from error


def verify_lake(lake: Lake, settings: StoreSettings) -> Verified:
    """Read a DuckLake from end to end in one transaction, which sees one state of it, and compare its counts.

    Raises:
        StoreError: as ``verify_file``.
    """
    with (
        Store.open(lake, settings, clock=SystemClock(), read_only=True) as store,
        store.reading() as connection,
    ):
        connection.execute("begin transaction")
        return _verified(connection, lake)


def _verified(connection: duckdb.DuckDBPyConnection, path: Place) -> Verified:
    version = stored_version(connection)
    check_version(version, len(migrations()), str(path))
    rows = _read_all(connection)
    problems = [str(row[0]) for check in _CHECKS for row in connection.execute(check).fetchall()]
    [events, holes] = connection.execute(
        "select (select coalesce(sum(events), 0)::bigint from delta_log), (select count(*) from hole)"
    ).fetchone() or (0, 0)
    if problems:
        more = [f"… and {len(problems) - 20} more"] if len(problems) > 20 else []
        raise StoreError(
            "\n  ".join([f"{path}: counts differ", *problems[:20], *more]),
            next_step="restore a backup that is good, and go on from there: Kafka has what came since",
        )
    return Verified(path, version, events, rows, holes)


def _read_all(connection: duckdb.DuckDBPyConnection) -> int:
    """Read every block of every table (DuckDB checks their sums as it does); return the rows."""
    total = 0
    for (table,) in connection.execute(
        "select table_name from duckdb_tables() where database_name = current_database()"
    ).fetchall():
        row = connection.execute(f'select count(*), bit_xor(hash(read_row)) from "{table}" as read_row').fetchone()  # noqa: S608
        total += int(row[0]) if row else 0
    return total
