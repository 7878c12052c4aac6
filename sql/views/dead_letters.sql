-- What could not be read, where it stood and why; payload without text, as far as it was kept.
create or replace view dead_letters as
select
    source_topic,
    source_partition,
    source_offset,
    item,
    format,
    reason,
    detail,
    payload,
    payload_bytes,
    event_id,
    seen_at
from dead_letter;
