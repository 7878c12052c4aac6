-- What was used together, by hour: which account (or API key) used which template, client, network, key, model.
create or replace view links as
select
    hour, -- start of the hour, UTC
    source_kind, -- account or api_key
    source_id, -- its id
    target_kind, -- template, system_prompt, client, network, api_key, end_user, reasoning_blob, fragment, model, asn
    target_id, -- its id
    sum(events)::bigint as events, -- requests
    sum(output_tokens)::bigint as output_tokens, -- sum
    min(first_seen) as first_seen, -- event time of its first request
    max(last_seen) as last_seen -- event time of its latest
from (
    select
        hour,
        source_kind,
        source_id,
        target_kind,
        target_id,
        events,
        output_tokens,
        first_seen,
        last_seen
    from link_hour
    union all
    select
        hour,
        source_kind,
        source_id,
        target_kind,
        target_id,
        events,
        output_tokens,
        first_seen,
        last_seen
    from link_delta
) as rows_of_both
group by hour, source_kind, source_id, target_kind, target_id;
