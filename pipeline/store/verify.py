"""Checks a store file: every block can be read, and what was counted at each level agrees with what the deltas said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from pipeline.errors import StoreError
from pipeline.store.connection import explained
from pipeline.store.migrate import check_version, migrations, stored_version

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
    """
    select format('partition {}: rows of no delta, at offset {}', pane_delta.source_partition, pane_delta.from_offset)
    from pane_delta
    left join partition_state on pane_delta.source_partition = partition_state.source_partition
    left join delta_log
        on pane_delta.source_partition = delta_log.source_partition
        and pane_delta.from_offset = delta_log.from_offset
        and not delta_log.folded
    where delta_log.from_offset is null and pane_delta.from_offset >= coalesce(partition_state.folded_to, 0)
    group by pane_delta.source_partition, pane_delta.from_offset
    """,
    """
    select format(
        '{} of {}: {} events by minute, {} by hour',
        kind, window_start, coalesce(by_minute.events, 0), coalesce(by_hour.events, 0)
    )
    from (
        select kind, time_bucket(interval '1 hour', window_start, timestamptz '1970-01-01 00:00:00+00') as window_start,
            sum(events)::bigint as events
        from pane
        group by all
    ) as by_minute
    full join (select kind, window_start, sum(events)::bigint as events from hour group by all) as by_hour
        using (kind, window_start)
    where by_minute.events is distinct from by_hour.events
        and window_start > coalesce(
            (select max(value::timestamptz) from meta where key in ('expired pane', 'expired hour')),
            timestamptz '1900-01-01 00:00:00+00'
        )
    """,
    """
    select format(
        '{} of {}: {} events by hour, {} by day',
        kind, window_start, coalesce(by_hour.events, 0), coalesce(by_day.events, 0)
    )
    from (
        select kind,
            time_bucket(interval '24 hours', window_start, timestamptz '1970-01-01 00:00:00+00') as window_start,
            sum(events)::bigint as events
        from hour
        group by all
    ) as by_hour
    full join (select kind, window_start, sum(events)::bigint as events from day group by all) as by_day
        using (kind, window_start)
    where by_hour.events is distinct from by_day.events
        and window_start > coalesce(
            (select max(value::timestamptz) from meta where key in ('expired hour', 'expired day')),
            timestamptz '1900-01-01 00:00:00+00'
        )
    """,
    """
    select format(
        'distributions, partition {}: rows of no delta, at offset {}', sums.source_partition, sums.from_offset
    )
    from distribution_delta as sums
    left join partition_state on sums.source_partition = partition_state.source_partition
    left join delta_log
        on sums.source_partition = delta_log.source_partition
        and sums.from_offset = delta_log.from_offset
        and not delta_log.folded
    where delta_log.from_offset is null and sums.from_offset >= coalesce(partition_state.folded_to, 0)
    group by sums.source_partition, sums.from_offset
    """,
    """
    select format(
        'distribution of {} at {}: {} prompts, {} events',
        account_id, window_start, prompts, coalesce(counted.events, 0)
    )
    from (
        select account_id, hour as window_start, sum(events)::bigint as prompts
        from (
            select account_id, hour, events from distribution_hour
            union all
            select account_id, hour, events from distribution_delta
        ) as both_sums
        group by all
    ) as summed
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
    where prompts > coalesce(counted.events, 0)
        and window_start > coalesce(
            (select max(value::timestamptz) from meta where key in ('expired hour', 'expired distribution_hour')),
            timestamptz '1900-01-01 00:00:00+00'
        )
    """,
    """
    select format('distribution of {} at {}: sums that no {} prompts have', account_id, hour, events)
    from (
        select account_id, hour, events, prompt_sum from distribution_hour
        union all
        select account_id, hour, events, prompt_sum from distribution_delta
    ) as both_sums
    where len(prompt_sum) <> 64 or list_max(list_transform(prompt_sum, lambda one: abs(one))) > 127 * events
    """,
    """
    select format('passages, partition {}: rows of no delta, at offset {}', said.source_partition, said.from_offset)
    from loop_delta as said
    left join partition_state on said.source_partition = partition_state.source_partition
    left join delta_log
        on said.source_partition = delta_log.source_partition
        and said.from_offset = delta_log.from_offset
        and not delta_log.folded
    where delta_log.from_offset is null and said.from_offset >= coalesce(partition_state.folded_to, 0)
    group by said.source_partition, said.from_offset
    """,
    """
    select format(
        'passages of {} at {}: one in {} of {} events', account_id, window_start, told, coalesce(counted.events, 0)
    )
    from (
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
    ) as most
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
    where told > coalesce(counted.events, 0)
        and window_start > coalesce(
            (select max(value::timestamptz) from meta where key in ('expired hour', 'expired loop_hour')),
            timestamptz '1900-01-01 00:00:00+00'
        )
    """,
    """
    select format(
        'links to {} on {}: {} events by hour, {} by day',
        target_kind, day, coalesce(by_hour.events, 0), coalesce(by_day.events, 0)
    )
    from (
        select target_kind, time_bucket(interval '24 hours', hour, timestamptz '1970-01-01 00:00:00+00') as day,
            sum(events)::bigint as events
        from link_hour
        group by all
    ) as by_hour
    full join (select target_kind, day, sum(events)::bigint as events from link_day group by all) as by_day
        using (target_kind, day)
    where by_hour.events is distinct from by_day.events
        and day > coalesce(
            (select max(value::timestamptz) from meta where key in ('expired link_hour', 'expired link_day')),
            timestamptz '1900-01-01 00:00:00+00'
        )
    """,
)


@dataclass(frozen=True, slots=True)
class Verified:
    """A store that agrees with itself."""

    path: Path
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
            version = stored_version(connection)
            check_version(version, len(migrations()), str(path))
            rows = _read_all(connection)
            problems = [str(row[0]) for check in _CHECKS for row in connection.execute(check).fetchall()]
            [events, holes] = connection.execute(
                "select (select coalesce(sum(events), 0)::bigint from delta_log), (select count(*) from hole)"
            ).fetchone() or (0, 0)
    except duckdb.Error as error:
        raise explained(error, path) from error
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
    for (table,) in connection.execute("select table_name from duckdb_tables() where not temporary").fetchall():
        row = connection.execute(f'select count(*), bit_xor(hash(read_row)) from "{table}" as read_row').fetchone()  # noqa: S608
        total += int(row[0]) if row else 0
    return total
