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

said as (
    select
        account_id,
        events,
        prompt_sum
    from
        distribution_rows(
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

-- Pairs are counted: of the accounts with most prompts only, and only theirs are added up by account.
busy as materialized (
    select
        account_id,
        sum(events)::bigint as events
    from said
    group by account_id
    having sum(events) >= greatest($prompts, 2)
    order by events desc, account_id asc
    limit $accounts
),

asked as materialized (
    select
        said.account_id,
        any_value(busy.events) as events,
        distribution_sum(said.prompt_sum) as prompt_sum
    from said
    inner join busy on said.account_id = busy.account_id
    group by said.account_id
),

measured as materialized (
    -- In standard errors of chance, from what all others ask.
    select
        asked.account_id,
        asked.events,
        asked.prompt_sum::double[] as prompt_sum,
        distribution_spread(asked.prompt_sum, asked.events) as spread,
        distribution_distance(
            asked.prompt_sum,
            asked.events,
            distribution_without(everyone.prompt_sum, asked.prompt_sum),
            everyone.events - asked.events
        ) / distribution_error(
            asked.prompt_sum,
            asked.events,
            distribution_without(everyone.prompt_sum, asked.prompt_sum),
            everyone.events - asked.events
        ) as apart
    from asked
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

unusual as materialized (
    select
        measured.*,
        coalesce(prompt.prompt_sketch, []) as prompt_sketch
    from measured
    left join prompt on measured.account_id = prompt.account_id
    where measured.apart >= $apart
),

near as (
    -- distribution_distance over distribution_error: what is of one account alone, its spread, comes once an account.
    select
        account_id,
        other,
        errors_apart
    from (
        select
            a.account_id,
            b.account_id as other,
            (
                2 - a.spread - b.spread
                - 2 * distribution_likeness(a.prompt_sum, a.events, b.prompt_sum, b.events)
            ) / nullif(sqrt(2 / 16) * (abs(a.spread) / a.events + abs(b.spread) / b.events), 0) as errors_apart
        from unusual as a
        inner join unusual as b on a.account_id <> b.account_id
    ) as pairs
    where errors_apart < $alike
),

pair as (
    select
        near.*,
        list_has_any(one.prompt_sketch, another.prompt_sketch) as same_prompts
    from near
    inner join unusual as one on near.account_id = one.account_id
    inner join unusual as another on near.other = another.account_id
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
group by unusual.account_id
having count(*) filter (where not pair.same_prompts) > 0
order by alike_without_a_prompt_in_common desc, unusual.account_id asc
limit $rows;
