-- What could not be read, where it stood and why; payload without text, as far as it was kept.
create or replace view dead_letters as
select
    source_topic,
    source_partition,
    source_offset,
    item, -- which event of the message, from 0; -1: the whole message
    format, -- native, otel, litellm, openai; null: not told
    reason,
    detail, -- what exactly; never text of a prompt
    payload, -- as far as it was kept
    payload_bytes, -- its full size
    event_id,
    seen_at
from dead_letter;
