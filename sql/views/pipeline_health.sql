-- How each source partition stands: how far it is counted, and what was missing, double or late. A partition without a
-- row has never spoken. Offsets are those of stillwatch.events.
create or replace view pipeline_health as
select
    partition_state.source_partition,
    partition_state.watermark,
    partition_state.idle,
    partition_state.last_word_at,
    partition_state.applied_to,
    partition_state.committed,
    partition_state.folded_to,
    partition_state.generation,
    coalesce(counted.events, 0) as events,
    coalesce(counted.duplicates, 0) as duplicates,
    coalesce(counted.late, 0) as late,
    counted.newest_delta_at,
    coalesce(missing.holes, 0) as holes,
    coalesce(missing.offsets, 0) as missing_offsets,
    missing.last_hole_at
from partition_state
left join (
    select
        source_partition,
        sum(events)::bigint as events,
        sum(duplicates)::bigint as duplicates,
        sum(late)::bigint as late,
        max(emitted_at) as newest_delta_at
    from delta_log
    group by source_partition
) as counted on partition_state.source_partition = counted.source_partition
left join (
    select
        source_partition,
        count(*) as holes,
        sum(found_offset - expected_offset)::bigint as offsets,
        max(seen_at) as last_hole_at
    from hole
    group by source_partition
) as missing on partition_state.source_partition = missing.source_partition;
