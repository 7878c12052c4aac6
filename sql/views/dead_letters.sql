-- What could not be read, where it stood and why; payload without text, as far as it was kept.
create or replace view dead_letters as
select
    source_topic, -- topic it came from; null: a file
    source_partition, -- partition of that topic
    source_offset, -- offset in it; of a file: the line
    item, -- which event of the message, from 0; -1: the whole message
    format, -- native, otel, litellm, openai; null: not told
    reason, -- what is wrong, in a word; docs/events.md lists them
    detail, -- what exactly; never text of a prompt
    payload, -- as far as it was kept
    payload_bytes, -- its full size
    event_id, -- of the event, where it could be read
    seen_at -- when it was refused
from dead_letter;
