-- Where is the number of requests in flight held constant, as a pool of workers does that sends the next when one ends?
with
load as (
    select
        kind,
        entity_id,
        count(*) as panes,
        min(window_start) as first_pane,
        max(window_start) as last_pane,
        sum(events) as events,
        sum(latency_ms) as busy_ms,
        sum(latency_ms::double * latency_ms) as busy_ms_sq,
        -- The first and the last pane are filled in part only: they are taken out.
        arg_min(events, window_start) as first_events,
        arg_max(events, window_start) as last_events,
        arg_min(latency_ms, window_start) as first_ms,
        arg_max(latency_ms, window_start) as last_ms,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from fingerprints_1m
    where
        window_start >= $since::timestamptz
        and window_start < $until::timestamptz
        and kind in ('account', 'template', 'system_prompt', 'client', 'network')
    group by kind, entity_id
    having
        count(*) >= $min_panes + 2
        and sum(latency_ms) >= if(kind = 'account', $min_level_alone, $min_level) * 60000 * $min_panes
),

inner_panes as (
    select
        kind,
        entity_id,
        first_seen,
        last_seen,
        panes - 2 as active,
        date_diff('minute', first_pane, last_pane) - 1 as span,
        (events - first_events - last_events)::double as events,
        (busy_ms - first_ms - last_ms)::double as busy_ms,
        busy_ms_sq - first_ms::double * first_ms - last_ms::double * last_ms as busy_ms_sq
    from load
),

steady as (
    -- Independent requests make the work that begins in a pane vary by at least events × (mean latency)², whatever
    -- their sizes. A ratio far below 1 means that requests wait for each other.
    select
        *,
        busy_ms / span / 60000 as level,
        busy_ms / events as mean_ms,
        greatest(0, (busy_ms_sq - busy_ms * busy_ms / span) / (span - 1))
        / (events / span * (busy_ms / events) * (busy_ms / events)) as dispersion
    from inner_panes
    where span >= $min_panes and active >= $min_busy * span and events > 0 and busy_ms > 0
),

pool as (
    -- Wilson and Hilferty: standard deviations below what independent requests would show.
    select
        *,
        -(cbrt(dispersion) - (1 - 2 / (9 * (span - 1)))) / sqrt(2 / (9 * (span - 1))) as z
    from steady
    where
        -- One worker alone keeps nearly one request in flight, which no person does.
        level >= if(kind = 'account', $min_level_alone, $min_level)
        and mean_ms <= $max_latency_s * 1000
        and dispersion <= $max_dispersion
),

used as (
    select
        links.target_kind as kind,
        links.target_id as entity_id,
        links.source_id as account_id,
        any_value(alone.entity_id) is not null as alone,
        sum(links.events) as events,
        min(links.first_seen) as first_seen,
        max(links.last_seen) as last_seen
    from links
    inner join pool on links.target_kind = pool.kind and links.target_id = pool.entity_id
    left join steady as alone
        on
            alone.kind = 'account'
            and links.source_id = alone.entity_id
            and alone.dispersion <= $max_dispersion
            and alone.level >= $min_level
    where
        links.hour >= date_trunc('hour', $since::timestamptz)
        and links.hour < $until::timestamptz
        and links.source_kind = 'account'
    group by all
),

spread as (
    -- Who is steady alone takes turns with nobody. Where such accounts carry the group, or a few of any kind do, it is
    -- no pool; their number is counted by weight, so that many who hardly use it do not hide them.
    select
        kind,
        entity_id,
        count(*) filter (where not alone) as accounts
    from used
    group by kind, entity_id
    having
        sum(events) filter (where not alone) >= 0.5 * sum(events)
        and sum(events) filter (where not alone) ** 2 / sum(events ** 2) filter (where not alone) >= $min_carriers
),

carrier as (
    select
        used.kind,
        used.entity_id,
        used.account_id,
        used.first_seen,
        used.last_seen,
        spread.accounts
    from used
    inner join spread on used.kind = spread.kind and used.entity_id = spread.entity_id
    where not used.alone
    union all
    select
        kind,
        entity_id,
        entity_id as account_id,
        first_seen,
        last_seen,
        1 as accounts
    from pool
    where kind = 'account'
)

select
    pool.kind as dimension,
    pool.entity_id,
    carrier.account_id,
    pool.kind || ':' || pool.entity_id as group_key,
    -- Among many groups that are looked at again and again some reach a z of 2.5 to 3 by chance, none reaches 4.
    least(0.99, if(carrier.accounts = 1, $cap_alone, $cap_pool) * (1 - exp(-(pool.z - 2)))) as strength,
    if(
        carrier.accounts = 1,
        format(
            '{:.1f} of its requests were in flight at a time over {} minutes, which varied {:.0f} times less than '
            || 'independent requests do ({:.1f} standard deviations).',
            pool.level,
            pool.span,
            1 / greatest(pool.dispersion, 0.001),
            pool.z
        ),
        format(
            'It takes turns with {} accounts that share one {}: together they keep {:.1f} requests in flight.',
            carrier.accounts - 1,
            replace(if(pool.kind = 'template', 'prompt template', pool.kind), '_', ' '),
            pool.level
        )
    ) as reason,
    if(
        carrier.accounts = 1,
        null,
        format(
            '{} accounts that share one {} kept {:.1f} requests in flight over {} minutes, which varied {:.0f} times '
            || 'less than independent requests do ({:.1f} standard deviations): they wait for each other.',
            carrier.accounts,
            replace(if(pool.kind = 'template', 'prompt template', pool.kind), '_', ' '),
            pool.level,
            pool.span,
            1 / greatest(pool.dispersion, 0.001),
            pool.z
        )
    ) as group_reason,
    carrier.first_seen,
    carrier.last_seen
from pool
inner join carrier on pool.kind = carrier.kind and pool.entity_id = carrier.entity_id
where pool.z >= $min_z
