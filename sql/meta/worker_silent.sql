-- Of which partitions has no worker spoken for a while?
select
    'workers' as group_key,
    format(
        'No worker has spoken of {} of {} partitions for {} minutes or more: {}.',
        count_if(last_word_at < $now::timestamptz - to_minutes($silent_minutes::integer)),
        count(*),
        $silent_minutes::integer,
        list_aggregate(
            list(source_partition order by source_partition)
            filter (where last_word_at < $now::timestamptz - to_minutes($silent_minutes::integer)),
            'string_agg',
            ', '
        )
    ) as summary,
    min(last_word_at) as first_seen
from pipeline_health
having count_if(last_word_at < $now::timestamptz - to_minutes($silent_minutes::integer)) > 0
