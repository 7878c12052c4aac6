-- Which other accounts share something with an account (by default the most suspicious, else the busiest), and what?
-- $account = null
-- $hours = 168
-- $most_holders = 200
with
known as materialized (
    select
        account_id,
        last_seen,
        events,
        payment_hash,
        email_domain,
        organisation
    from accounts
),

begun as (
    -- Whole days are read by day, which has fewer rows; the hours of the first one by hour.
    select
        date_trunc('hour', max(known.last_seen)) - to_hours($hours::integer - 1) as first_hour,
        time_bucket(interval '24 hours', first_hour + interval '23 hours', timestamptz '1970-01-01 00:00:00+00')
            as first_day,
        max(known.last_seen) as last_seen
    from known
),

-- Joined by its hours and days, so that links of others are passed over where they are read: one at least of each. In
-- a list first: DuckDB takes that for few rows, which they are, and what it takes for few is what it reads by.
asked_hour as materialized (
    select unnest(list(begun.first_hour + to_hours(step.hours::integer))) as hour
    from begun
    cross join range($hours::integer) as step (hours)
    where
        step.hours = 0
        or begun.first_hour + to_hours(step.hours::integer) < least(begun.first_day, begun.last_seen)
),

asked_day as materialized (
    select unnest(list(begun.first_day + to_hours(24 * step.days::integer))) as day
    from begun
    cross join range($hours::integer // 24 + 1) as step (days)
    where
        step.days = 0
        or begun.first_day + to_hours(24 * step.days::integer) <= begun.last_seen
),

chosen as materialized (
    select coalesce(
        $account,
        (select arg_max(entity_id, score) filter (where dimension = 'account') from findings),
        (select arg_max(account_id, events) from known)
    ) as account_id
),

own as (
    select known.*
    from known
    inner join chosen on known.account_id = chosen.account_id
),

facts as (
    select
        known.account_id,
        unnest(['payment', 'email domain', 'organisation']) as kind,
        unnest([known.payment_hash, known.email_domain, known.organisation]) as id,
        unnest([own.payment_hash, own.email_domain, own.organisation]) as own_id
    from known
    cross join own
    where
        known.payment_hash = own.payment_hash
        or known.email_domain = own.email_domain
        or known.organisation = own.organisation
),

-- What the account has, before who else has it: of all things that all accounts have, few are its own.
mine as materialized (
    select
        used.target_kind as kind,
        used.target_id as id
    from link_rows(timestamptz '-infinity', timestamptz 'infinity') as used
    inner join asked_hour on used.hour = asked_hour.hour
    inner join chosen on used.source_id = chosen.account_id
    where used.target_kind not in ('model', 'asn')
    union
    select
        used.target_kind as kind,
        used.target_id as id
    from link_days(timestamptz '-infinity', timestamptz 'infinity') as used
    inner join asked_day on used.day = asked_day.day
    inner join chosen on used.source_id = chosen.account_id
    where used.target_kind not in ('model', 'asn')
),

-- What hundreds have says little about two of them. Of most such things one day tells that.
popular as (
    select
        mine.kind,
        mine.id
    from link_days(timestamptz '-infinity', timestamptz 'infinity') as used
    inner join mine on used.target_id = mine.id and used.target_kind = mine.kind
    inner join (
        select max(day) - if(count(*) > 1, interval 24 hours, interval 0 hours) as day
        from asked_day
    ) as whole_day on used.day = whole_day.day
    group by mine.kind, mine.id
    having count(distinct used.source_id) > $most_holders
),

wanted as materialized (
    select
        mine.kind,
        mine.id
    from mine
    anti join popular on mine.kind = popular.kind and mine.id = popular.id
),

shared as (
    select
        used.source_id as account_id,
        wanted.kind,
        wanted.id
    from link_rows(timestamptz '-infinity', timestamptz 'infinity') as used
    inner join wanted on used.target_id = wanted.id and used.target_kind = wanted.kind
    inner join asked_hour on used.hour = asked_hour.hour
    union
    select
        used.source_id as account_id,
        wanted.kind,
        wanted.id
    from link_days(timestamptz '-infinity', timestamptz 'infinity') as used
    inner join wanted on used.target_id = wanted.id and used.target_kind = wanted.kind
    inner join asked_day on used.day = asked_day.day
    union all
    select
        account_id,
        kind,
        id
    from facts
    where id = own_id
),

holders as (
    select
        kind,
        id,
        count(*) as accounts
    from shared
    group by kind, id
    having count(*) between 2 and $most_holders
)

select
    other.account_id,
    count(*) as shared_things,
    round(sum(1 / holders.accounts), 3) as closeness,
    list(other.kind || ':' || other.id order by holders.accounts, other.kind, other.id)[1:10] as some_of_them
from shared as other
inner join holders on other.kind = holders.kind and other.id = holders.id
where other.account_id <> (select account_id from chosen)
group by other.account_id
order by closeness desc, other.account_id asc;
