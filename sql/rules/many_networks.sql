-- Which API keys are used from many networks, and by many clients, at once, far beyond what keys with as much use show?
with
used as (
    select
        source_kind,
        source_id,
        target_kind,
        target_id,
        hour,
        events,
        first_seen,
        last_seen
    from links
    where
        hour >= date_trunc('hour', $since::timestamptz)
        and hour < $until::timestamptz
        and target_kind in ('network', 'client', 'api_key')
),

spoken_for as (
    -- A key speaks about the account that uses it most; whoever sends no key is looked at as an account.
    select
        'api_key' as kind,
        target_id as entity_id,
        arg_max(account_id, (events, account_id)) as account_id
    from (
        select
            target_id,
            source_id as account_id,
            sum(events) as events
        from used
        where target_kind = 'api_key'
        group by target_id, source_id
    ) as by_account
    group by target_id
    union all
    select
        'account' as kind,
        source_id as entity_id,
        source_id as account_id
    from used
    where source_kind = 'account'
    group by source_id
    having not bool_or(target_kind = 'api_key')
),

in_hour as (
    select
        source_kind as kind,
        source_id as entity_id,
        target_kind,
        hour,
        count(*) as things,
        sum(events) as events,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from used
    where target_kind in ('network', 'client')
    group by source_kind, source_id, target_kind, hour
),

at_once as (
    select
        in_hour.kind,
        in_hour.entity_id,
        in_hour.target_kind,
        any_value(spoken_for.account_id) as account_id,
        max(in_hour.things) as things,
        sum(in_hour.events)::bigint as events,
        min(in_hour.first_seen) as first_seen,
        max(in_hour.last_seen) as last_seen
    from in_hour
    inner join spoken_for on in_hour.kind = spoken_for.kind and in_hour.entity_id = spoken_for.entity_id
    group by in_hour.kind, in_hour.entity_id, in_hour.target_kind
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
                            kind := at_once.kind || '/' || at_once.target_kind,
                            entity_id := at_once.entity_id,
                            events := at_once.events,
                            value := at_once.things,
                            newcomer := accounts.created_at > $since::timestamptz - to_days($young_days::integer)
                        )
                    )
                from at_once
                left join accounts on at_once.account_id = accounts.account_id
            ),
            $min_peers
        )
)

select
    networks.kind as dimension,
    networks.entity_id,
    networks.account_id,
    'account:' || networks.account_id as group_key,
    $cap * placed.rarity * ($one_client + (1 - $one_client) * coalesce(clients.rarity, 0)) as strength,
    format(
        '{} was used from {:,} networks within one hour, more {}.{}',
        if(networks.kind = 'api_key', 'Its API key ' || networks.entity_id, 'It'),
        networks.things,
        peers_story(
            placed.as_high,
            placed.others,
            placed.least_events,
            placed.most_events,
            if(networks.kind = 'api_key', 'keys', 'accounts')
        ),
        if(
            clients.rarity > 0,
            format(
                ' {} clients used it within one hour, more {}.',
                clients.value,
                peers_story(
                    clients.as_high,
                    clients.others,
                    clients.least_events,
                    clients.most_events,
                    if(networks.kind = 'api_key', 'keys', 'accounts')
                )
            ),
            ''
        )
    ) as reason,
    networks.first_seen,
    networks.last_seen
from at_once as networks
inner join placed
    on networks.kind || '/network' = placed.kind and networks.entity_id = placed.entity_id
left join placed as clients
    on networks.kind || '/client' = clients.kind and networks.entity_id = clients.entity_id and clients.value > 1
where
    networks.target_kind = 'network'
    and placed.rarity > 0
    and networks.things >= $min_networks
    and networks.things >= $times_usual * placed.usual
