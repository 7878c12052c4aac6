-- What an account used in a span of time, and how many accounts used the same.
with
mine as (
    select
        target_kind as kind,
        target_id as id,
        sum(events) as events,
        row_number() over (
            partition by target_kind
            order by sum(events) desc, target_id asc
        ) as place,
        count(*) over (partition by target_kind) as of_kind
    from links
    where
        source_kind = 'account'
        and source_id = $account
        and target_kind not in ('end_user', 'asn')
        and hour >= date_trunc('hour', $since::timestamptz)
        and hour < $until::timestamptz
    group by target_kind, target_id
),

used as (
    select
        target_kind as kind,
        target_id as id,
        count(distinct source_id) as accounts,
        sum(events) as events
    from links
    where
        source_kind = 'account'
        and target_id in (
            select id from mine
            where place <= $most
        )
        and hour >= date_trunc('hour', $since::timestamptz)
        and hour < $until::timestamptz
    group by target_kind, target_id
)

select
    mine.kind,
    mine.id,
    mine.events::bigint as events,
    mine.of_kind,
    used.accounts,
    used.events::bigint as all_events
from mine
inner join used on mine.kind = used.kind and mine.id = used.id
where mine.place <= $most
order by mine.kind asc, mine.events desc, mine.id asc;
