-- Which accounts of several customers take over from one another each time that one of them is turned away?
with
outage as (
    -- Where most of all requests fail, nobody is turned away: the service is down.
    select window_start as minute
    from fingerprints_1m
    where
        kind = 'account'
        and window_start >= $since::timestamptz
        and window_start < $until::timestamptz
    group by window_start
    having count(*) >= $min_active and sum(errors) > $max_outage * sum(events)
),

turned_away as (
    -- Few are turned away several times in one minute: only these, and who shares a place with them, are looked at.
    select distinct entity_id as account_id
    from fingerprints_1m
    where
        kind = 'account'
        and window_start >= $since::timestamptz
        and window_start < $until::timestamptz
        and errors >= $min_turned_away
        and errors >= $min_share * events
        and window_start not in (select outage.minute from outage)
),

used as (
    select distinct
        target_kind as kind,
        target_id as thing_id,
        source_id as account_id
    from link_rows($since, $until)
    where target_kind in ('network', 'client')
),

place as (
    -- Where very many send from, somebody begins at any time.
    select
        kind,
        thing_id
    from used
    group by kind, thing_id
    having
        count(*) between $min_customers and $max_accounts
        and count(*) filter (where account_id in (select turned_away.account_id from turned_away)) > 0
),

member as (
    select
        used.kind,
        used.thing_id,
        used.account_id,
        active.customer
    from used
    inner join place on used.kind = place.kind and used.thing_id = place.thing_id
    inner join active_accounts($since, $until) as active on used.account_id = active.account_id
),

sent as (
    select
        entity_id as account_id,
        window_start as minute,
        events,
        errors,
        first_seen,
        last_seen
    from fingerprints_1m
    where
        kind = 'account'
        and window_start >= $since::timestamptz
        and window_start < $until::timestamptz
        and entity_id in (select member.account_id from member)
),

walked as (
    select
        *,
        max(if(events > errors, minute, null)) over (
            partition by account_id
            order by minute
            rows between unbounded preceding and current row
        ) as answered_last,
        max(if(events > errors, minute, null)) over (
            partition by account_id
            order by minute
            rows between unbounded preceding and 1 preceding
        ) as answered_before,
        min(if(events > errors, minute, null)) over (
            partition by account_id
            order by minute
            rows between 1 following and unbounded following
        ) as answered_next
    from sent
),

stopped as (
    -- Answered until just now, turned away, and not answered for a while: once, however often it tries again.
    select
        account_id,
        answered_last,
        min(minute) as minute,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from walked
    where
        errors >= $min_turned_away
        and errors >= $min_share * events
        and minute not in (select outage.minute from outage)
        and answered_last >= minute - to_minutes($quiet_minutes::integer)
        and coalesce(answered_next > minute + to_minutes($quiet_minutes::integer), true)
        and minute + to_minutes($quiet_minutes::integer) <= $until::timestamptz
    group by account_id, answered_last
),

begun as (
    -- Answered, after none was for a while.
    select
        account_id,
        minute,
        first_seen,
        last_seen
    from walked
    where
        events > errors
        and coalesce(answered_before < minute - to_minutes($quiet_minutes::integer), true)
        and minute >= $since::timestamptz + to_minutes($quiet_minutes::integer)
),

handed as (
    select
        one.kind,
        one.thing_id,
        one.customer,
        stopped.account_id,
        stopped.minute,
        min(stopped.first_seen) as first_seen,
        arg_min(other.account_id, (begun.minute, other.account_id)) as taken_by,
        arg_min(other.customer, (begun.minute, other.account_id)) as taken_by_customer,
        arg_min(begun.last_seen, (begun.minute, other.account_id)) as last_seen
    from stopped
    inner join member as one on stopped.account_id = one.account_id
    inner join member as other
        on one.kind = other.kind and one.thing_id = other.thing_id and one.customer <> other.customer
    inner join begun
        on
            other.account_id = begun.account_id
            and begun.minute between stopped.minute
            and stopped.minute + to_minutes($within_minutes::integer)
    group by one.kind, one.thing_id, one.customer, stopped.account_id, stopped.minute
),

took_part as (
    select
        kind,
        thing_id,
        account_id,
        customer,
        true as left_it,
        first_seen,
        last_seen
    from handed
    union all
    select
        kind,
        thing_id,
        taken_by as account_id,
        taken_by_customer as customer,
        false as left_it,
        first_seen,
        last_seen
    from handed
),

met as (
    select
        kind,
        thing_id,
        count(*) filter (where left_it) as handovers,
        count(distinct customer) as customers
    from took_part
    group by kind, thing_id
),

stops as (
    select
        member.kind,
        member.thing_id,
        count(*) as stops
    from stopped
    inner join member on stopped.account_id = member.account_id
    group by member.kind, member.thing_id
),

busy as (
    -- How probable it is that somebody of a place begins just then, whatever happens to others.
    select
        member.kind,
        member.thing_id,
        least(
            1,
            ($within_minutes + 1)
            * count(*) filter (where coalesce(
                walked.answered_before < walked.minute - to_minutes($quiet_minutes::integer), true
            ))
            / count(distinct walked.minute)
        ) as chance
    from walked
    inner join member on walked.account_id = member.account_id
    where walked.events > walked.errors
    group by member.kind, member.thing_id
),

relay as (
    select
        met.kind,
        met.thing_id,
        met.handovers,
        met.customers,
        stops.stops,
        stops.stops * busy.chance as expected
    from met
    inner join stops on met.kind = stops.kind and met.thing_id = stops.thing_id
    inner join busy on met.kind = busy.kind and met.thing_id = busy.thing_id
    where
        met.handovers >= $min_handovers
        and met.customers >= $min_customers
        and met.handovers >= $min_taken * stops.stops
        and met.handovers
        > stops.stops * busy.chance + $deviations * sqrt(stops.stops * busy.chance * (1 - busy.chance))
),

shown as (
    select
        took_part.account_id,
        relay.kind,
        relay.thing_id,
        relay.handovers,
        relay.customers,
        relay.stops,
        relay.expected,
        count(*) filter (where took_part.left_it) as times_left,
        count(*) filter (where not took_part.left_it) as times_taken,
        min(took_part.first_seen) as first_seen,
        max(took_part.last_seen) as last_seen
    from took_part
    inner join relay on took_part.kind = relay.kind and took_part.thing_id = relay.thing_id
    group by all
),

ranked as (
    -- The same accounts may share a network and a client: what shows more of it is told.
    select
        *,
        row_number() over (partition by account_id order by handovers desc, kind desc, thing_id asc) as place_number
    from shown
)

select
    'account' as dimension,
    account_id as entity_id,
    account_id,
    kind || ':' || thing_id as group_key,
    0.5 + 0.45 * (1 - $min_handovers / (handovers + 1)) as strength,
    format(
        '{} times it was turned away and another customer''s account began within {} minutes, and {} times it began so '
        || 'when another one was.',
        times_left,
        $within_minutes::integer,
        times_taken
    ) as reason,
    format(
        '{} of {} times that an account was turned away, another customer''s from the same {} took over within {} '
        || 'minutes, over {} customers; by chance {:.1f} times.',
        handovers,
        stops,
        kind,
        $within_minutes::integer,
        customers,
        expected
    ) as group_reason,
    first_seen,
    last_seen
from ranked
where place_number = 1
