-- How entities stand among those that send as much: from peers(members, fewest). members: a list of structs (kind,
-- entity_id, events, value, newcomer). Compared is within a class: entities of one kind with 2^n to 2^(n+1) - 1 events;
-- the busiest are one class from where fewest of them are together. Newcomers are compared with the others of a class
-- and nobody with them: new accounts are made by the hundred, and would make what they do usual. No row for a class
-- with less than fewest others. Columns: kind, entity_id, value; others (of its class, newcomers aside), as_high (how
-- many of them have at least its value), chance (that one drawn from among all of them stands so high, at most: a
-- conformal p-value), below (the highest value of others up to its own), usual (the median value), least_events and
-- most_events of the class (null: no end).
create or replace macro peers(members, fewest) as table
    with
    member as (
        select
            told.* replace (coalesce(told.newcomer, false) as newcomer),
            floor(log2(told.events)) as size
        from (select unnest(members, recursive := true)) as told
        where told.events > 0
    ),

    busiest as (
        select
            kind,
            max(size) as size
        from (
            select
                kind,
                size,
                sum(count(*) filter (where not newcomer)) over (partition by kind order by size desc) as as_busy
            from member
            group by kind, size
        ) as sizes
        where as_busy >= greatest(2, fewest)
        group by kind
    ),

    placed as (
        select
            member.*,
            least(member.size, busiest.size) as class,
            member.size >= busiest.size as among_busiest
        from member
        inner join busiest on member.kind = busiest.kind
    )

    select
        kind,
        entity_id,
        value,
        count(*) filter (where not newcomer) over (partition by kind, class) - (not newcomer)::integer as others,
        -- All up to the last that has the same value.
        count(*) filter (where not newcomer) over (partition by kind, class order by value desc)
        - (not newcomer)::integer as as_high,
        (as_high + 1) / (others + 1) as chance,
        max(value) filter (where not newcomer) over (
            partition by kind, class
            order by value desc, entity_id asc
            rows between 1 following and unbounded following
        ) as below,
        median(value) filter (where not newcomer) over (partition by kind, class) as usual,
        (2 ** class)::bigint as least_events,
        if(among_busiest, null, (2 ** (class + 1))::bigint - 1) as most_events
    from placed
    qualify others + (not newcomer)::integer >= greatest(2, fewest);
