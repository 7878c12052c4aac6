-- Which accounts and campaigns have ids like the one that was asked for?
select id
from (
    select account_id as id
    from accounts
    union all
    select campaign_id
    from campaigns
) as known
where jaro_winkler_similarity(id, $id) > 0.7
order by jaro_winkler_similarity(id, $id) desc, id asc
limit 3;
