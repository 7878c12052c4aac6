-- The last fragment that counts of each hour with many that is kept: for last_fragments and often_said.
select
    source_id,
    hour,
    last_kept
from last_fragments(getvariable('kept_since'), getvariable('kept_upto'));
