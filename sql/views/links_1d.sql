-- The same as links by day (UTC); kept longer.
create or replace view links_1d as
select
    day, -- start of the day, UTC
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
        day,
        source_kind,
        source_id,
        target_kind,
        target_id,
        events,
        output_tokens,
        first_seen,
        last_seen
    from link_day
    union all
    select
        time_bucket(interval '24 hours', hour, timestamptz '1970-01-01 00:00:00+00') as day,
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
group by day, source_kind, source_id, target_kind, target_id;
