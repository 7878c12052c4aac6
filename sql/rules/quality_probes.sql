-- Which accounts of several customers send one and the same thing equally often every day, beside much else?
with
lasting as (
    -- Most is said once: what comes on enough days is found under numbers first. Two pairs may have the same one.
    select hash(target_id, source_id) as pair
    from link_days($since, $until)
    where target_kind = 'template'
    group by pair
    having count(*) >= $min_days + 2 and max(day) - min(day) >= to_days($min_days::integer + 1)
),

by_day as (
    select
        target_id as template_id,
        source_id as account_id,
        day,
        sum(events)::bigint as events,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from link_days($since, $until)
    where target_kind = 'template' and hash(target_id, source_id) in (select lasting.pair from lasting)
    group by target_id, source_id, day
),

said as (
    select
        template_id,
        account_id,
        list(events order by day asc) as by_day,
        date_diff('day', min(day), max(day)) + 1 as span,
        sum(events)::bigint as events,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from by_day
    group by template_id, account_id
),

probing as (
    -- The first and the last day are filled in part only: they are taken out. No day may be missing in between.
    select
        *,
        by_day[2] as a_day
    from said
    where
        len(by_day) = span
        and span >= $min_days + 2
        and list_max(by_day[2:-2]) = list_min(by_day[2:-2])
        and by_day[2] <= $most_a_day
        and greatest(by_day[1], by_day[-1]) <= by_day[2]
),

senders as (
    -- What very many send is part of some tool.
    select
        target_id as template_id,
        count(distinct source_id) as accounts
    from link_days($since, $until)
    where target_kind = 'template' and target_id in (select probing.template_id from probing)
    group by target_id
    having count(distinct source_id) <= $max_accounts
),

total as (
    select
        source_id as account_id,
        sum(events)::bigint as events
    from link_days($since, $until)
    where target_kind = 'model' and source_id in (select probing.account_id from probing)
    group by source_id
),

prober as (
    -- Who does nothing else watches quality, or whether the service is up, and has no need to hide it.
    select
        probing.template_id,
        probing.account_id,
        active.customer,
        probing.a_day,
        probing.span,
        probing.events,
        total.events as of_events,
        probing.first_seen,
        probing.last_seen
    from probing
    inner join total on probing.account_id = total.account_id
    inner join active_accounts($until::timestamptz - to_days(2), $until) as active
        on probing.account_id = active.account_id
    where probing.events <= $max_own * total.events
),

crowd as (
    select
        prober.template_id,
        any_value(senders.accounts) as senders,
        count(*) as accounts,
        count(distinct prober.customer) as customers
    from prober
    inner join senders on prober.template_id = senders.template_id
    group by prober.template_id
    having
        count(distinct prober.customer) >= $min_customers
        and count(*) >= $min_alike * any_value(senders.accounts)
)

select
    'template' as dimension,
    prober.template_id as entity_id,
    prober.account_id,
    'template:' || prober.template_id as group_key,
    0.5 + 0.45 * (1 - $min_customers / (crowd.customers + 1)) as strength,
    format(
        'On {} days in a row it sent the same {} times a day, {} of its {} requests.',
        prober.span,
        prober.a_day,
        prober.events,
        prober.of_events
    ) as reason,
    format(
        '{} accounts of {} customers send this template equally often every day, beside other things; {} others send '
        || 'it at all.',
        crowd.accounts,
        crowd.customers,
        crowd.senders - crowd.accounts
    ) as group_reason,
    prober.first_seen,
    prober.last_seen
from prober
inner join crowd on prober.template_id = crowd.template_id
