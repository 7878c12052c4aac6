-- Which templates come out of nothing to a large share of all requests, over many customers at once?
with
counted as (
    select
        kind,
        entity_id,
        coalesce(
            sum(events) filter (where window_start < $since::timestamptz + to_hours($before_hours::integer)), 0
        ) as before,
        coalesce(
            sum(events) filter (where window_start >= $since::timestamptz + to_hours($before_hours::integer)), 0
        ) as later,
        min(window_start) as begun
    from fingerprints_1h
    where
        window_start >= $since::timestamptz
        and window_start < $until::timestamptz
        and kind in ('account', 'template')
    group by kind, entity_id
),

everybody as (
    select
        sum(before) as before,
        sum(later) as later,
        min(begun) as begun
    from counted
    where kind = 'account'
),

surging as (
    select
        counted.entity_id as template_id,
        counted.later / everybody.later as share
    from counted
    cross join everybody
    where
        counted.kind = 'template'
        and counted.before <= $max_before * everybody.before
        and counted.later >= $min_share * everybody.later
        -- Where nothing is known of the time before, everything is new.
        and everybody.before >= $min_history * everybody.later
        and everybody.begun
        <= $since::timestamptz + to_hours($before_hours::integer) - to_hours($min_history_hours::integer)
),

said as (
    select
        rows_of.target_id as template_id,
        rows_of.source_id as account_id,
        sum(rows_of.events) as events,
        min(rows_of.first_seen) as first_seen,
        max(rows_of.last_seen) as last_seen
    from link_rows($since::timestamptz + to_hours($before_hours::integer), $until) as rows_of
    inner join surging on rows_of.target_id = surging.template_id
    where rows_of.target_kind = 'template'
    group by rows_of.target_id, rows_of.source_id
),

sent as (
    select
        said.template_id,
        active.account_id,
        active.customer,
        said.events,
        active.events as of_events,
        said.first_seen,
        said.last_seen
    from said
    inner join active_accounts($since::timestamptz + to_hours($before_hours::integer), $until) as active
        on said.account_id = active.account_id
    where said.events >= $min_own * active.events
),

crowd as (
    select
        template_id,
        count(*) as accounts,
        count(distinct customer) as customers
    from sent
    group by template_id
    having count(distinct customer) >= $min_customers
)

select
    'template' as dimension,
    sent.template_id as entity_id,
    sent.account_id,
    'template:' || sent.template_id as group_key,
    0.5 + 0.45 * (1 - $min_customers / (crowd.customers + 1)) as strength,
    format(
        '{} of its {} requests have a template that nobody sent until a day ago and {} customers send now.',
        sent.events,
        sent.of_events,
        crowd.customers
    ) as reason,
    format(
        'A template that nobody sent until a day ago is {:.1f} % of all requests now, over {} accounts of {} customers '
        || 'who send hardly anything else.',
        100 * surging.share,
        crowd.accounts,
        crowd.customers
    ) as group_reason,
    sent.first_seen,
    sent.last_seen
from sent
inner join crowd on sent.template_id = crowd.template_id
inner join surging on sent.template_id = surging.template_id
