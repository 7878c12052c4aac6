-- Crowds around things, and what each has in common: from crowds(members, begin, end, young_days, own_share, fewest).
-- members: a list of structs (kind, thing_id, account_id, events, asking), asking being the share of these events that
-- ask for something telling. A row a thing with fewest customers among its members, one account speaks for each.
-- Columns: kind, thing_id, accounts, customers; mean_events, spread (standard deviation over mean) and asking of those
-- that speak; young_share of those of known age, base_young of everybody else; apart: how far the crowd is from being
-- everybody (all_accounts). client, network, payment, email: the share of its customers with a thing of that kind that
-- at least three of them share, who are at least own_share of all that have it. The largest place of each kind may be a
-- school or a company, with all its networks, and does not count: a pool spreads over several. bound: the customers
-- that have one of those that count, the crowd's client among them.
create or replace macro crowds(members, window_begin, window_end, young_days, own_share, fewest) as table
    with
    known_account as (
        select
            *,
            created_at > first_seen - to_days(young_days::integer) as young
        from active_accounts(window_begin, window_end)
    ),

    everyone as (
        select
            count(*) as accounts,
            count(*) filter (where young) as young,
            count(young) as known_age
        from known_account
    ),

    crowd_member as (
        select
            told.*,
            known_account.young,
            known_account.customer,
            row_number() over (
                partition by told.kind, told.thing_id, known_account.customer
                order by told.account_id
            ) = 1 as speaks
        from (select unnest(members, recursive := true)) as told
        inner join known_account on told.account_id = known_account.account_id
    ),

    -- Numbered, and so kept: computed twice, the numbers of the two could differ.
    crowd as materialized (
        select
            kind,
            thing_id,
            row_number() over () as number,
            count(*) as accounts,
            count(*) filter (where speaks) as customers,
            avg(events) filter (where speaks) as mean_events,
            coalesce(stddev_samp(events) filter (where speaks) / avg(events) filter (where speaks), 0) as spread,
            count(*) filter (where speaks and young) as young,
            count(young) filter (where speaks) as known_age,
            avg(asking) filter (where speaks) as asking
        from crowd_member
        group by kind, thing_id
        having count(*) filter (where speaks) >= fewest
    ),

    crowd_trait as (
        select
            source_id as account_id,
            target_kind as trait_kind,
            target_id as trait_id
        from link_rows(window_begin, window_end)
        where target_kind in ('client', 'network')
        group by source_id, target_kind, target_id
        union all
        select
            account_id,
            'payment' as trait_kind,
            payment_hash as trait_id
        from known_account
        where payment_hash is not null
        union all
        select
            account_id,
            'email domain' as trait_kind,
            email_domain as trait_id
        from known_account
        where email_domain is not null
    ),

    -- Numbered too.
    trait_holder as materialized (
        select
            trait_kind,
            trait_id,
            row_number() over () as number,
            count(*) as accounts
        from crowd_trait
        group by trait_kind, trait_id
        having count(*) >= 3
    ),

    held as (
        -- Who has what in which crowd: many rows, of which few count. Things and crowds are numbers here.
        select
            crowd.number as crowd,
            shared.trait,
            crowd_member.account_id,
            crowd_member.customer
        from crowd_member
        inner join crowd on crowd_member.kind = crowd.kind and crowd_member.thing_id = crowd.thing_id
        inner join (
            select
                crowd_trait.account_id,
                trait_holder.number as trait
            from crowd_trait
            inner join trait_holder
                on crowd_trait.trait_kind = trait_holder.trait_kind and crowd_trait.trait_id = trait_holder.trait_id
        ) as shared on crowd_member.account_id = shared.account_id
        where crowd_member.speaks
    ),

    own as (
        select
            in_crowd.crowd,
            in_crowd.trait,
            in_crowd.accounts,
            trait_holder.trait_kind,
            if(
                trait_holder.trait_kind = 'network', network_place(trait_holder.trait_id), trait_holder.trait_id
            ) as place
        from (
            select
                crowd,
                trait,
                count(*) as accounts
            from held
            group by crowd, trait
            having count(*) >= 3
        ) as in_crowd
        inner join trait_holder on in_crowd.trait = trait_holder.number
        where in_crowd.accounts >= own_share * trait_holder.accounts
    ),

    told_apart as (
        select
            crowd,
            trait,
            trait_kind,
            place = first_value(place) over (
                partition by crowd, trait_kind
                order by in_place desc, place asc
            ) as largest
        from (
            select
                *,
                sum(accounts) over (partition by crowd, trait_kind, place) as in_place
            from own
        ) as by_place
    ),

    alike as (
        select
            told_apart.crowd,
            count(distinct held.account_id) filter (where told_apart.trait_kind = 'client') as client,
            count(distinct held.account_id) filter (
                where told_apart.trait_kind = 'network' and not told_apart.largest
            ) as network,
            count(distinct held.account_id) filter (
                where told_apart.trait_kind = 'payment' and not told_apart.largest
            ) as payment,
            count(distinct held.account_id) filter (
                where told_apart.trait_kind = 'email domain' and not told_apart.largest
            ) as email,
            list(distinct held.customer) filter (
                where told_apart.trait_kind = 'client' or not told_apart.largest
            ) as bound
        from told_apart
        inner join held on told_apart.crowd = held.crowd and told_apart.trait = held.trait
        group by told_apart.crowd
    )

    select
        crowd.kind,
        crowd.thing_id,
        crowd.accounts,
        crowd.customers,
        crowd.mean_events,
        crowd.spread,
        crowd.asking,
        everyone.accounts as all_accounts,
        crowd.young / nullif(crowd.known_age, 0) as young_share,
        -- What share is young among everybody else, one young and one old account added.
        (everyone.young - crowd.young + 1) / (everyone.known_age - crowd.known_age + 2) as base_young,
        -- A crowd that is nearly everybody has everything to itself: that says nothing.
        1 - crowd.accounts / everyone.accounts as apart,
        coalesce(alike.client / crowd.customers, 0) as client,
        coalesce(alike.network / crowd.customers, 0) as network,
        coalesce(alike.payment / crowd.customers, 0) as payment,
        coalesce(alike.email / crowd.customers, 0) as email,
        coalesce(alike.bound, []) as bound
    from crowd
    cross join everyone
    left join alike on crowd.number = alike.crowd;
