-- What was used together, by hour: which account (or API key) used which template, client, network, key, model.
create or replace view links as
select
    hour,
    source_kind,
    source_id,
    target_kind,
    target_id,
    sum(events)::bigint as events,
    sum(output_tokens)::bigint as output_tokens,
    min(first_seen) as first_seen,
    max(last_seen) as last_seen
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
