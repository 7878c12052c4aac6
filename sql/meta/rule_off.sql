-- Which of the rules that run fail again and again, or were switched off by the breaker?
select
    'rule:' || rule_id as group_key,
    format(
        'Rule {} {}: {}',
        rule_id,
        if(state = 'off', 'is switched off for a day', format('failed {} times in a row', failures)),
        coalesce(reason, 'no reason is known')
    ) as summary,
    last_run_at as first_seen
from rule_health
where
    rule_id in (select unnest($rules::varchar[]))
    and (state = 'off' or (state = 'failed' and failures >= $min_failures))
