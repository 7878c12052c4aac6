-- Which API keys, used from a few places until now, are all at once used by many new clients from many new networks?
with
used as (
    select
        source_id as api_key_id,
        target_kind,
        target_id,
        hour,
        first_seen,
        last_seen
    from links
    where
        hour >= date_trunc('hour', $since::timestamptz)
        and hour < $until::timestamptz
        and source_kind = 'api_key'
        and target_kind in ('network', 'client')
),

busy as (
    -- Few keys have so many places in one hour, new or not: only these are looked at.
    select distinct api_key_id
    from (
        select api_key_id
        from used
        where hour >= $since::timestamptz + to_hours($before_hours::integer)
        group by api_key_id, hour
        having
            count(*) filter (where target_kind = 'network') >= $min_networks
            and count(*) filter (where target_kind = 'client') >= $min_clients
    ) as by_hour
),

thing as (
    select
        api_key_id,
        target_kind,
        target_id,
        min(hour) as begun
    from used
    where api_key_id in (select busy.api_key_id from busy)
    group by api_key_id, target_kind, target_id
),

in_hour as (
    -- New is what the key was not seen with in its first hours; together is what comes within one hour.
    select
        used.api_key_id,
        used.hour,
        count(*) filter (where used.target_kind = 'network') as networks,
        count(*) filter (where used.target_kind = 'client') as clients,
        min(used.first_seen) as first_seen,
        max(used.last_seen) as last_seen
    from used
    inner join thing
        on
            used.api_key_id = thing.api_key_id
            and used.target_kind = thing.target_kind
            and used.target_id = thing.target_id
    where thing.begun >= $since::timestamptz + to_hours($before_hours::integer)
    group by used.api_key_id, used.hour
),

spread as (
    select
        api_key_id,
        max(networks) as networks,
        max(clients) as clients,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from in_hour
    where networks >= $min_networks and clients >= $min_clients
    group by api_key_id
),

before as (
    select
        api_key_id,
        count(distinct hour) as hours,
        count(distinct target_id) filter (where target_kind = 'network') as networks,
        count(distinct target_id) filter (where target_kind = 'client') as clients
    from used
    where
        hour < $since::timestamptz + to_hours($before_hours::integer)
        and api_key_id in (select busy.api_key_id from busy)
    group by api_key_id
),

spoken_for as (
    -- A key speaks about the account that uses it most.
    select
        api_key_id,
        arg_max(account_id, (events, account_id)) as account_id
    from (
        select
            target_id as api_key_id,
            source_id as account_id,
            sum(events) as events
        from link_rows($since, $until)
        where target_kind = 'api_key'
        group by target_id, source_id
    ) as by_account
    group by api_key_id
)

select
    'api_key' as dimension,
    spread.api_key_id as entity_id,
    spoken_for.account_id,
    'api_key:' || spread.api_key_id as group_key,
    0.5 + 0.45 * (1 - $min_networks / (spread.networks + 1)) as strength,
    format(
        'Its API key {} was used from {} networks by {} clients that it was never seen with, within one hour; before '
        || 'that it came from {} networks and {} clients in {} hours with requests.',
        spread.api_key_id,
        spread.networks,
        spread.clients,
        before.networks,
        before.clients,
        before.hours
    ) as reason,
    spread.first_seen,
    spread.last_seen
from spread
inner join before on spread.api_key_id = before.api_key_id
inner join spoken_for on spread.api_key_id = spoken_for.api_key_id
where
    before.hours >= $min_hours
    and spread.networks >= $times_before * before.networks
    and spread.clients >= $times_before * before.clients
