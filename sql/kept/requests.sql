-- How many requests each account sent in the hours that are kept, and its first: for active_accounts and often_said.
select
    source_id,
    sum(events)::bigint as events,
    min(first_seen) as first_seen
from link_rows(getvariable('kept_since'), getvariable('kept_upto'))
where target_kind = 'model'
group by source_id;
