-- Each API key with the account that used it most, and how many accounts used it, over as long as days are kept.
create or replace view api_keys as
select
    target_id as api_key_id, -- the key
    arg_max(source_id, events) as account_id, -- the one that used it most
    count(*) as accounts, -- how many used it
    sum(events)::bigint as events, -- requests
    sum(output_tokens)::bigint as output_tokens, -- sum
    min(first_seen) as first_seen, -- event time of its first request
    max(last_seen) as last_seen -- event time of its latest
from (
    select
        source_id,
        target_id,
        sum(events) as events,
        sum(output_tokens) as output_tokens,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from links_1d
    where source_kind = 'account' and target_kind = 'api_key'
    group by source_id, target_id
) as used
group by target_id;
