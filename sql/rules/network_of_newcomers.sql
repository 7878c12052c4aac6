-- From which networks do very many new accounts of different customers send, and hardly any old ones?
with
active as (
    select
        account_id,
        customer,
        events,
        created_at,
        email_domain,
        created_at >= $since::timestamptz - to_days($young_days::integer) as young
    from active_accounts($since, $until)
    where created_at is not null
),

member as (
    select
        used.target_id as network_id,
        used.source_id as account_id,
        any_value(active.customer) as customer,
        any_value(active.young) as young,
        any_value(active.email_domain) as email_domain,
        any_value(active.events) as of_events,
        sum(used.events) as events,
        min(used.first_seen) as first_seen,
        max(used.last_seen) as last_seen
    from link_rows($since, $until) as used
    inner join active on used.source_id = active.account_id
    where used.target_kind = 'network'
    group by used.target_id, used.source_id
),

by_domain as (
    select
        network_id,
        email_domain,
        count(distinct customer) as customers
    from member
    where young and email_domain is not null
    group by network_id, email_domain
),

largest_domain as (
    -- A school or a company signs up under a mail domain of its own.
    select
        network_id,
        max(customers) as customers
    from by_domain
    group by network_id
),

crowd as (
    select
        member.network_id,
        count(distinct member.customer) as customers,
        count(distinct member.customer) filter (where member.young) as young_customers
    from member
    group by member.network_id
),

usual as (
    select
        count(distinct customer) as customers,
        count(distinct customer) filter (where young) / count(distinct customer) as young_share
    from active
)

select
    'network' as dimension,
    member.network_id as entity_id,
    member.account_id,
    'network:' || member.network_id as group_key,
    0.5 + 0.45 * (1 - $min_customers / (crowd.young_customers + 1)) as strength,
    format(
        '{} of its {} requests come from network {}, from which {} other new customers send.',
        member.events,
        member.of_events,
        member.network_id,
        crowd.young_customers - 1
    ) as reason,
    format(
        '{} of the {} customers who send from network {} are new; of all customers {:.0f} % are.',
        crowd.young_customers,
        crowd.customers,
        member.network_id,
        100 * usual.young_share
    ) as group_reason,
    member.first_seen,
    member.last_seen
from member
inner join crowd on member.network_id = crowd.network_id
left join largest_domain on member.network_id = largest_domain.network_id
cross join usual
where
    member.young
    and crowd.young_customers >= $min_customers
    and crowd.young_customers >= $min_young * crowd.customers
    and crowd.customers <= $max_population_share * usual.customers
    and usual.young_share <= $max_usual
    and coalesce(largest_domain.customers, 0) <= $max_one_domain * crowd.young_customers
