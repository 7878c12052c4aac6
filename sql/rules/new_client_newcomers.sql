-- Which clients that nobody had until a day ago come with many new accounts of different customers and hardly any old?
with
seen as (
    select
        target_id as client_id,
        source_id as account_id,
        sum(events) as events,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from link_rows($since, $until)
    where target_kind = 'client'
    group by target_id, source_id
),

begun as (
    select min(first_seen) as at
    from seen
),

fresh_client as (
    select client_id
    from seen
    group by client_id
    having min(first_seen) >= $since::timestamptz + to_hours($before_hours::integer)
),

active as (
    select
        account_id,
        customer,
        events,
        created_at,
        created_at >= $since::timestamptz + to_hours($before_hours::integer) - to_days($young_days::integer) as young
    from active_accounts($since, $until)
),

member as (
    select
        seen.*,
        active.customer,
        active.young,
        active.events as of_events
    from seen
    inner join fresh_client on seen.client_id = fresh_client.client_id
    inner join active on seen.account_id = active.account_id
    where active.created_at is not null and seen.events >= $min_share * active.events
),

crowd as (
    select
        client_id,
        count(*) as accounts,
        count(distinct customer) as customers,
        count(distinct customer) filter (where young) as young_customers
    from member
    group by client_id
),

usual as (
    -- Of all customers, how many are that young; in a provider's first weeks everybody is.
    select count(distinct customer) filter (where young) / count(distinct customer) as young_share
    from active
    where created_at is not null
)

select
    'client' as dimension,
    member.client_id as entity_id,
    member.account_id,
    'client:' || member.client_id as group_key,
    0.5 + 0.45 * (1 - $min_customers / (crowd.young_customers + 1)) as strength,
    format(
        '{} of its {} requests come through a client that nobody had until a day ago; the account is new as well.',
        member.events,
        member.of_events
    ) as reason,
    format(
        'A client that nobody had until a day ago is used by {} accounts; {} of their {} customers are new, of all '
        || 'customers {:.0f} % are.',
        crowd.accounts,
        crowd.young_customers,
        crowd.customers,
        100 * usual.young_share
    ) as group_reason,
    member.first_seen,
    member.last_seen
from member
inner join crowd on member.client_id = crowd.client_id
cross join usual
cross join begun
where
    member.young
    and crowd.young_customers >= $min_customers
    and crowd.young_customers >= $min_young * crowd.customers
    and usual.young_share <= $max_usual
    -- Where nothing is known of the time before, every client is new.
    and begun.at <= $since::timestamptz + to_hours($before_hours::integer) - to_hours($min_history_hours::integer)
