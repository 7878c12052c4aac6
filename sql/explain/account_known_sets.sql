-- How much of each known set one account sent in a span of time, the largest share first.
select
    corpus,
    findable,
    items,
    estimated_items,
    requests,
    all_requests,
    in_order,
    first_seen,
    last_seen
from corpus_coverage($since, $until)
where account_id = $account
order by estimated_items / findable desc, corpus asc;
