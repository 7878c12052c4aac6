-- Which other accounts have signals under the same things as an account, and what was concluded about them.
with
mine as (
    select distinct group_key
    from signals
    where account_id = $account and group_key not like 'account:%'
),

other as (
    select distinct
        signals.account_id,
        signals.group_key
    from signals
    inner join mine on signals.group_key = mine.group_key
    where signals.account_id <> $account
)

select
    other.account_id,
    list(other.group_key order by other.group_key) as group_keys,
    any_value(findings.score) as score,
    any_value(findings.named) as named,
    any_value(findings.cleared_reason) as cleared_reason,
    count(*) over () as total
from other
left join findings on other.account_id = findings.entity_id and findings.dimension = 'account'
group by other.account_id
order by len(group_keys) desc, score desc nulls last, other.account_id asc
limit $most;
