-- Which rules speak against a large share of everybody?
select
    'rule:' || signals.rule_id as group_key,
    format(
        'Rule {} speaks against {} accounts, {:.0f} % of the {} that were active in seven days.',
        signals.rule_id,
        count(distinct signals.account_id),
        100 * count(distinct signals.account_id) / any_value(naming.tests),
        any_value(naming.tests)
    ) as summary,
    min(signals.first_seen) as first_seen
from signals
cross join naming
where
    signals.rule_id in (select unnest($rules::varchar[]))
    and signals.strength >= $min_strength
    and signals.last_seen >= naming.updated_at - interval 7 days
group by signals.rule_id
having
    count(distinct signals.account_id) >= $min_accounts
    and count(distinct signals.account_id) >= $min_share * any_value(naming.tests)
