-- What a crowd shares and hardly anybody outside it has: from crowd_traits(members, begin, end, own_share). Of members,
-- a list of structs (kind, thing_id, account_id) of those that speak for the crowd around a thing, a row a thing: how
-- many of them have a client, a network, a payment or a mail domain that at least three of them share, when they are at
-- least own_share of all that have it. The largest place of each kind may be a school or a company, with all its
-- networks, and does not count: a pool spreads over several. Columns: kind, thing_id, client, network, payment, email.
create or replace macro crowd_traits(members, window_begin, window_end, own_share) as table
    with
    crowd_member as (
        select unnest(members, recursive := true)
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
        from active_accounts(window_begin, window_end)
        where payment_hash is not null
        union all
        select
            account_id,
            'email domain' as trait_kind,
            email_domain as trait_id
        from active_accounts(window_begin, window_end)
        where email_domain is not null
    ),

    trait_holder as (
        select
            trait_kind,
            trait_id,
            count(*) as accounts
        from crowd_trait
        group by trait_kind, trait_id
        having count(*) >= 3
    ),

    own as (
        select
            crowd_member.kind,
            crowd_member.thing_id,
            crowd_trait.trait_kind,
            crowd_trait.trait_id,
            if(
                crowd_trait.trait_kind = 'network', network_place(crowd_trait.trait_id), crowd_trait.trait_id
            ) as place,
            count(*) as in_crowd,
            list(crowd_member.account_id) as held_by
        from crowd_member
        inner join crowd_trait on crowd_member.account_id = crowd_trait.account_id
        inner join trait_holder
            on crowd_trait.trait_kind = trait_holder.trait_kind and crowd_trait.trait_id = trait_holder.trait_id
        group by crowd_member.kind, crowd_member.thing_id, crowd_trait.trait_kind, crowd_trait.trait_id
        having count(*) >= 3 and count(*) >= own_share * any_value(trait_holder.accounts)
    ),

    told_apart as (
        select
            *,
            place = first_value(place) over (
                partition by kind, thing_id, trait_kind
                order by in_place desc, place asc
            ) as largest
        from (
            select
                *,
                sum(in_crowd) over (partition by kind, thing_id, trait_kind, place) as in_place
            from own
        ) as by_place
    )

    select
        kind,
        thing_id,
        count(distinct account_id) filter (where trait_kind = 'client') as client,
        count(distinct account_id) filter (where trait_kind = 'network' and not largest) as network,
        count(distinct account_id) filter (where trait_kind = 'payment' and not largest) as payment,
        count(distinct account_id) filter (where trait_kind = 'email domain' and not largest) as email
    from (
        select
            kind,
            thing_id,
            trait_kind,
            largest,
            unnest(held_by) as account_id
        from told_apart
    ) as held
    group by kind, thing_id;
