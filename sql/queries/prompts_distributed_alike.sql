-- Whose prompts are drawn from one source, an unusual one, though no prompt of theirs is the same?
-- $hours = 24
-- $prompts = 20
-- $apart = 3
-- $alike = 1.5
-- $accounts = 500
-- $rows = 50
with
newest as (
    select max(last_seen) as last_seen
    from accounts
),

said as materialized (
    select *
    from
        account_distributions(
            (select last_seen from newest) - to_hours($hours::integer - 1),
            (select last_seen from newest) + interval 1 hour
        )
),

everyone as (
    select
        sum(events)::bigint as events,
        distribution_sum(prompt_sum) as prompt_sum
    from said
),

-- Pairs are counted: of the accounts with most prompts only.
busy as (
    select *
    from said
    where events >= greatest($prompts, 2)
    order by events desc, account_id asc
    limit $accounts
),

measured as materialized (
    -- In standard errors of chance, from what all others ask.
    select
        busy.account_id,
        busy.events,
        busy.prompt_sum,
        distribution_spread(busy.prompt_sum, busy.events) as spread,
        distribution_distance(
            busy.prompt_sum,
            busy.events,
            distribution_without(everyone.prompt_sum, busy.prompt_sum),
            everyone.events - busy.events
        ) / distribution_error(
            busy.prompt_sum,
            busy.events,
            distribution_without(everyone.prompt_sum, busy.prompt_sum),
            everyone.events - busy.events
        ) as apart
    from busy
    cross join everyone
),

prompt as (
    select
        account_id,
        sketch_merge(flatten(list(prompt_sketch))) as prompt_sketch
    from
        account_rows(
            (select last_seen from newest) - to_hours($hours::integer + 23),
            (select last_seen from newest) + interval 1 hour
        )
    where
        account_id in (
            select measured.account_id
            from measured
            where measured.apart >= $apart
        )
    group by account_id
),

unusual as (
    select
        measured.*,
        coalesce(prompt.prompt_sketch, []) as prompt_sketch
    from measured
    left join prompt on measured.account_id = prompt.account_id
    where measured.apart >= $apart
),

pair as (
    select
        a.account_id,
        b.account_id as other,
        distribution_distance(a.prompt_sum, a.events, b.prompt_sum, b.events)
        / nullif(distribution_error(a.prompt_sum, a.events, b.prompt_sum, b.events), 0) as errors_apart,
        list_has_any(a.prompt_sketch, b.prompt_sketch) as same_prompts
    from unusual as a
    inner join unusual as b on a.account_id <> b.account_id
)

select
    unusual.account_id,
    any_value(unusual.events) as prompts,
    round(any_value(unusual.apart), 1) as apart_from_all,
    round(any_value(unusual.spread), 2) as spread,
    count(*) filter (where not pair.same_prompts) as alike_without_a_prompt_in_common,
    count(*) filter (where pair.same_prompts) as alike_with_one,
    list(pair.other order by pair.errors_apart asc, pair.other asc) filter (where not pair.same_prompts)[1:5]
        as some_of_them
from unusual
inner join pair on unusual.account_id = pair.account_id
where pair.errors_apart < $alike
group by unusual.account_id
having count(*) filter (where not pair.same_prompts) > 0
order by alike_without_a_prompt_in_common desc, unusual.account_id asc
limit $rows;
