-- How each source partition stands: how far it is counted, and what was missing, double or late. A partition without a
-- row has never spoken. Offsets are those of stillwatch.events.
create or replace view pipeline_health as
select
    partition_state.source_partition, -- partition of stillwatch.events
    partition_state.watermark, -- event time up to which it is counted
    partition_state.idle, -- read to its end and quiet
    partition_state.last_word_at, -- when a worker last spoke of it
    partition_state.applied_to, -- input offset up to which it is counted
    partition_state.committed, -- input offset that the workers committed
    partition_state.folded_to, -- input offset up to which it is final
    partition_state.generation, -- of the workers' group
    coalesce(counted.events, 0) as events, -- counted
    coalesce(counted.duplicates, 0) as duplicates, -- seen before, not counted
    coalesce(counted.late, 0) as late, -- counted after their pane was over
    counted.newest_delta_at, -- when its newest delta was made
    coalesce(missing.holes, 0) as holes, -- stretches of offsets that no delta covers
    coalesce(missing.offsets, 0) as missing_offsets, -- messages in them
    missing.last_hole_at -- when the last of them was found
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
