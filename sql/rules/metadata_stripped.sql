-- Which accounts leave out the client or the end user that they told until some hour, or that nearly everybody tells?
with
sent as (
    -- Every event has a model: these are the totals.
    select
        source_id as account_id,
        hour,
        sum(events) filter (where target_kind = 'model') as events,
        coalesce(sum(events) filter (where target_kind = 'client'), 0) as with_client,
        coalesce(sum(events) filter (where target_kind = 'end_user'), 0) as with_end_user,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from link_rows($since, $until)
    where target_kind in ('model', 'client', 'end_user')
    group by source_id, hour
),

told as (
    select
        'client' as kind,
        account_id,
        hour,
        events,
        with_client as told,
        first_seen,
        last_seen
    from sent
    union all
    select
        'end user' as kind,
        account_id,
        hour,
        events,
        with_end_user as told,
        first_seen,
        last_seen
    from sent
),

ended as (
    select
        kind,
        account_id,
        max(hour) filter (where told > $stray * events) as last_told
    from told
    group by kind, account_id
),

stretch as (
    select
        told.kind,
        told.account_id,
        ended.last_told,
        sum(told.told) as told,
        coalesce(sum(told.events) filter (where told.hour <= ended.last_told), 0) as before,
        count(*) filter (where told.hour <= ended.last_told) as hours_before,
        count(*) filter (where told.told > $stray * told.events) as hours_told,
        sum(told.events) filter (where coalesce(told.hour > ended.last_told, true)) as after,
        count(*) filter (where coalesce(told.hour > ended.last_told, true)) as hours_after,
        min(told.first_seen) filter (where coalesce(told.hour > ended.last_told, true)) as first_seen,
        max(told.last_seen) as last_seen
    from told
    inner join ended on told.kind = ended.kind and told.account_id = ended.account_id
    group by told.kind, told.account_id, ended.last_told
),

judged as (
    select
        stretch.*,
        active.customer,
        stretch.before >= $min_requests
        and stretch.hours_before >= $min_hours
        and stretch.told >= $min_told * stretch.before
        -- Jobs of the night that never said it are nobody's change.
        and stretch.hours_told >= $min_told * stretch.hours_before as teller,
        coalesce(stretch.after >= $min_requests and stretch.hours_after >= $min_hours, false) as leaves_out
    from stretch
    inner join active_accounts($since, $until) as active on stretch.account_id = active.account_id
),

usual as (
    -- Where many stop at once, a gateway or a collector lost it on the way.
    select
        kind,
        count(distinct customer) filter (where teller) as tellers,
        count(distinct customer) filter (where teller and leaves_out) as stopped,
        count(distinct customer) filter (where last_told is null and leaves_out) as silent
    from judged
    group by kind
),

matched as (
    select
        judged.*,
        usual.tellers,
        usual.silent
    from judged
    inner join usual on judged.kind = usual.kind
    where
        judged.leaves_out
        and (
            (judged.teller and usual.stopped <= $max_stopped * usual.tellers)
            or (judged.last_told is null and usual.silent <= $max_silent * usual.tellers)
        )
),

together as (
    select
        kind,
        last_told,
        count(*) as accounts,
        count(distinct customer) as customers
    from matched
    group by kind, last_told
)

select
    'account' as dimension,
    matched.account_id as entity_id,
    matched.account_id,
    'left-out:' || matched.kind
    || coalesce(strftime(matched.last_told at time zone 'UTC', '@%Y-%m-%dT%H'), '') as group_key,
    case
        when matched.last_told is null then $alone
        when together.customers < $min_customers then $alone
        else 0.5 + 0.45 * (1 - $min_customers / (together.customers + 1))
    end as strength,
    if(
        matched.last_told is null,
        format(
            'None of its {} requests says which {} sent it, which {} of {} customers say.',
            matched.after,
            matched.kind,
            matched.tellers,
            matched.tellers + matched.silent
        ),
        format(
            '{} of {} requests until {} UTC said which {} sent them, and hardly one of {} since then.',
            matched.told,
            matched.before,
            strftime(matched.last_told at time zone 'UTC' + interval 1 hour, '%Y-%m-%d %H:%M'),
            matched.kind,
            matched.after
        )
    ) as reason,
    if(
        matched.last_told is null,
        null,
        format(
            '{} accounts of {} customers have not said since {} UTC which {} sends their requests; {} customers said '
            || 'it before.',
            together.accounts,
            together.customers,
            strftime(matched.last_told at time zone 'UTC' + interval 1 hour, '%Y-%m-%d %H:%M'),
            matched.kind,
            matched.tellers
        )
    ) as group_reason,
    matched.first_seen,
    matched.last_seen
from matched
inner join together
    on matched.kind = together.kind and matched.last_told is not distinct from together.last_told
