-- How much of each known set (stillwatch corpora add) did each account send, and did it go through it in order?
-- $hours = 48
-- $share = 0.01
-- $rows = 50
select
    covered.account_id,
    accounts.organisation,
    covered.corpus,
    covered.items,
    covered.share,
    covered.estimated_share,
    covered.in_order,
    covered.requests,
    covered.all_requests,
    covered.first_seen,
    covered.last_seen
from
    corpus_coverage(
        (select max(seen.last_seen) from accounts as seen) - to_hours($hours::integer),
        (select max(seen.last_seen) from accounts as seen) + to_hours(1)
    ) as covered
left join accounts on covered.account_id = accounts.account_id
where covered.estimated_share >= $share
order by covered.estimated_share desc, covered.account_id asc
limit $rows;
