-- What is late, double, missing or could not be read, and since when?
select
    'dead letter: ' || reason as what,
    source_topic || '[' || source_partition || ']' as place,
    count(*) as items,
    min(seen_at) as first_seen,
    max(seen_at) as last_seen,
    any_value(detail) as example
from dead_letters
group by all
union all
select
    unnest(['late events', 'duplicates', 'missing offsets']) as what,
    'partition ' || source_partition as place,
    unnest([late, duplicates, missing_offsets]) as items,
    null as first_seen,
    last_word_at as last_seen,
    null as example
from pipeline_health
order by items desc, what asc, place asc;
