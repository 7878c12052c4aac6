-- Which new accounts use far more than their plan and quota are made for, as hardly any older account does?
with
seen as (
    select
        account_id,
        sum(events)::bigint as events,
        (sum(input_tokens) + sum(output_tokens))::double as tokens,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from account_hours($since, $until)
    group by account_id
),

subscribed as (
    select
        seen.*,
        accounts.plan,
        nullif(accounts.quota, 0) as quota,
        accounts.created_at,
        accounts.created_at > $since::timestamptz - to_days($young_days::integer) as newcomer
    from seen
    inner join accounts on seen.account_id = accounts.account_id
    where accounts.plan is not null and accounts.created_at is not null
),

measured as (
    -- What a quota counts differs from provider to provider, and is the same for all accounts of one.
    select
        'plan ' || plan as kind,
        account_id,
        tokens as used,
        newcomer
    from subscribed
    union all
    select
        'quota' as kind,
        account_id,
        tokens / quota as used,
        newcomer
    from subscribed
    where quota is not null
),

placed as (
    select
        *,
        rarity(far_chance, $noticed, $rare) as rarity
    from
        peers(
            (
                select
                    list(
                        struct_pack(
                            kind := kind,
                            entity_id := account_id,
                            -- They are compared whatever they send: how much is the question.
                            events := 1,
                            value := used,
                            newcomer := newcomer
                        )
                    )
                from measured
            ),
            $min_peers
        )
),

judged as (
    -- Where a quota is told, the share of it is to be unusual as well: a large plan is there to be used.
    select
        subscribed.*,
        least(of_plan.rarity, if(subscribed.quota is null, 1, coalesce(of_quota.rarity, 0))) as rarity,
        of_plan.others,
        of_plan.as_high,
        of_plan.usual,
        of_quota.others as quota_others,
        of_quota.as_high as quota_as_high
    from subscribed
    inner join placed as of_plan
        on 'plan ' || subscribed.plan = of_plan.kind and subscribed.account_id = of_plan.entity_id
    left join placed as of_quota
        on of_quota.kind = 'quota' and subscribed.account_id = of_quota.entity_id
    where subscribed.newcomer and subscribed.events >= $min_events
)

select
    'account' as dimension,
    account_id as entity_id,
    account_id,
    'account:' || account_id as group_key,
    $cap * rarity as strength,
    format(
        'It used {:,} tokens within a day, at {:.0f} days of age. Of {:,} older accounts of the plan {} {} '
        || 'used as much; half of them {:,.0f} at most.{}',
        tokens::bigint,
        greatest(0, date_diff('second', created_at, first_seen) / 86400),
        others,
        plan,
        if(as_high = 0, 'none', format('{:,}', as_high)),
        usual,
        if(
            quota is null,
            '',
            format(
                ' Of {:,} older accounts of all plans {} used as much of their quota; its own is {:,}.',
                quota_others,
                if(quota_as_high = 0, 'none', format('{:,}', quota_as_high)),
                quota
            )
        )
    ) as reason,
    first_seen,
    last_seen
from judged
where rarity > 0 and tokens >= $times_usual * usual
