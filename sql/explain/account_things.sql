-- What an account used in a span of time, and how many accounts used the same.
with
used as (
    select
        target_kind as kind,
        target_id as id,
        source_id as account_id,
        sum(events) as events
    from links
    where
        source_kind = 'account'
        and target_kind not in ('end_user', 'asn')
        and hour >= date_trunc('hour', $since::timestamptz)
        and hour < $until::timestamptz
    group by all
),

mine as (
    select
        *,
        row_number() over (
            partition by kind
            order by events desc, id asc
        ) as place,
        count(*) over (partition by kind) as of_kind
    from used
    where account_id = $account
)

select
    mine.kind,
    mine.id,
    any_value(mine.events)::bigint as events,
    any_value(mine.of_kind)::bigint as of_kind,
    count(*) as accounts,
    sum(used.events)::bigint as all_events
from mine
inner join used on mine.kind = used.kind and mine.id = used.id
where mine.place <= $most
group by mine.kind, mine.id
order by mine.kind asc, events desc, mine.id asc;
