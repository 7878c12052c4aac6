-- Is everything counted: how far is each partition, and what was missing, double or late?
select
    source_partition,
    watermark,
    idle,
    last_word_at,
    events,
    duplicates,
    late,
    holes,
    missing_offsets,
    applied_to,
    applied_to - committed as applied_not_committed
from pipeline_health
order by source_partition;
