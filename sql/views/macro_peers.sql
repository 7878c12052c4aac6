-- How entities stand among those that send as much: from peers(members, fewest). members: a list of structs (kind,
-- entity_id, events, value, newcomer). Compared is within a class: entities of one kind with 2^n to 2^(n+1) - 1 events;
-- the busiest are one class from where fewest of them are together. Newcomers are compared with the others of a class
-- and nobody with them: new accounts are made by the hundred, and would make what they do usual. No row for a class
-- with less than fewest others. Columns: kind, entity_id, value; others (of its class, newcomers aside), as_high (how
-- many of them have at least its value), chance (that one drawn from among all of them stands so high, at most: a
-- conformal p-value), far_chance (where none stands so high, how far the next is away counts too: in a heavy tail twice
-- as far is half as likely; for values that count something), usual (the median value), least_events and most_events
-- of the class (null: no end).
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
    ),

    -- Sums by value, not windows over entities: those have to stay quick where very many have the same value.
    class_level as (
        select
            kind,
            class,
            value,
            count(*) filter (where not newcomer) as holders
        from placed
        group by kind, class, value
    ),

    class_step as (
        select
            kind,
            class,
            value,
            sum(holders) over (
                partition by kind, class
                order by value desc
                rows between unbounded preceding and current row
            ) as up_from_here,
            max(if(holders > 0, value, null)) over (
                partition by kind, class
                order by value asc
                rows between unbounded preceding and 1 preceding
            ) as below
        from class_level
    ),

    class_whole as (
        select
            kind,
            class,
            count(*) filter (where not newcomer) as holders,
            median(value) filter (where not newcomer) as usual
        from placed
        group by kind, class
        having count(*) filter (where not newcomer) >= greatest(2, fewest)
    )

    select
        placed.kind,
        placed.entity_id,
        placed.value,
        (class_whole.holders - (not placed.newcomer)::integer)::bigint as others,
        (class_step.up_from_here - (not placed.newcomer)::integer)::bigint as as_high,
        (as_high + 1) / (others + 1) as chance,
        chance * if(as_high = 0, coalesce(least(1, class_step.below / placed.value), 1), 1) as far_chance,
        class_whole.usual,
        (2 ** placed.class)::bigint as least_events,
        if(placed.among_busiest, null, (2 ** (placed.class + 1))::bigint - 1) as most_events
    from placed
    inner join class_whole on placed.kind = class_whole.kind and placed.class = class_whole.class
    inner join class_step
        on placed.kind = class_step.kind and placed.class = class_step.class and placed.value = class_step.value;
