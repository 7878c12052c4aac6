"""Parts of the SELECT of an imported rule, as ``query`` joins them: of its names and of what ``values.quote`` gave."""

from __future__ import annotations

from typing import Final

CHOSEN: Final = """
select
    accounts.account_id,
    accounts.account_id as entity_id
from accounts
where {who}
"""
OWNERS: Final = """
select distinct
    links.source_id as account_id,
    links.target_id as entity_id
from link_rows($since, $until) as links
inner join accounts on links.source_id = accounts.account_id
where
    links.target_kind = 'api_key'
    and links.hour >= date_trunc('hour', $since::timestamptz)
    and links.hour < $until::timestamptz{key}{who}
"""
PANES: Final = """
select
    {account} as account_id,
    prints.entity_id,
    prints.window_start as bucket,
    {matched} as matched,
    prints.first_seen,
    prints.last_seen
from {view} as prints{join}
where
    prints.kind = '{kind}'
    and {window}
"""
THINGS: Final = """
select
    {account} as account_id,
    links.source_id as entity_id,
    links.hour as bucket,
    sum(links.events) as matched,
    min(links.first_seen) as first_seen,
    max(links.last_seen) as last_seen
from {source}{join}
where
    links.target_kind = '{target}'
    and {window}{where}
group by all
"""
OTHERS: Final = """
select
    links.source_id as entity_id,
    links.hour as bucket,
    sum(links.events) as events
from {source}
where
    links.target_kind = '{target}'
    and {window}
    and {where}
group by all
"""
REST: Final = """
select
    {account} as account_id,
    prints.entity_id,
    prints.window_start as bucket,
    prints.events - coalesce(others.events, 0) as matched,
    prints.first_seen,
    prints.last_seen
from {view} as prints{join}
left join {others} as others on prints.entity_id = others.entity_id and prints.window_start = others.bucket
where
    prints.kind = '{kind}'
    and {window}
"""
USED: Final = """
select
    {account} as account_id,
    links.source_id as entity_id,
    links.hour as bucket,
    {value} as value,
    min(links.first_seen) as first_seen,
    max(links.last_seen) as last_seen
from {source}{join}
where
    links.target_kind = '{target}'
    and {window}{where}
group by all
"""
SKETCHED: Final = """
select
    {account} as account_id,
    prints.entity_id,
    prints.window_start as bucket,
    prints.{column} as sketch,
    prints.first_seen,
    prints.last_seen
from {view} as prints{join}
where
    prints.kind = '{kind}'
    and {window}
    and len(prints.{column}) > 0
"""
ENOUGH: Final = """
-- Sketches are merged over moving spans of those only that have enough in all of the window.
select
    account_id,
    entity_id
from seen
group by account_id, entity_id
having sketch_distinct(sketch_merge(flatten(list(sketch)))) >= $threshold
"""
SUMMED: Final = """
select
    account_id,
    entity_id,
    sum(matched) over span as total,
    min(first_seen) over span as first_seen,
    max(last_seen) over span as last_seen
from counted
where matched > 0
window
    span as (
        partition by account_id, entity_id
        order by bucket
        range between {before} preceding and current row
    )
"""
DISTINCT: Final = """
select
    account_id,
    entity_id,
    count(distinct value) over span as total,
    min(first_seen) over span as first_seen,
    max(last_seen) over span as last_seen
from used
window
    span as (
        partition by account_id, entity_id
        order by bucket
        range between {before} preceding and current row
    )
"""
MERGED: Final = """
select
    account_id,
    entity_id,
    sketch_distinct(sketch_merge(flatten(sketches))) as total,
    first_seen,
    last_seen
from (
    select
        seen.account_id,
        seen.entity_id,
        list(seen.sketch) over span as sketches,
        min(seen.first_seen) over span as first_seen,
        max(seen.last_seen) over span as last_seen
    from seen
    inner join enough on seen.account_id = enough.account_id and seen.entity_id = enough.entity_id
    window
        span as (
            partition by seen.account_id, seen.entity_id
            order by seen.bucket
            range between {before} preceding and current row
        )
) as by_span
"""
FOLLOWING: Final = """
select
    account_id,
    entity_id,
    earliest,
    {ends}
from points
window
    following as (
        partition by account_id, entity_id
        order by earliest
        range between current row and unbounded following
    )
"""
ALL_THERE: Final = """
select
    account_id,
    entity_id,
    earliest as began,
    greatest({last}) as ended
from following_ends
where {there}
"""
NEXT: Final = """
select
    chain_{before}.account_id,
    chain_{before}.entity_id,
    chain_{before}.began,
    part_{after}.latest as ended
from chain_{before}
asof inner join part_{after}
    on
        chain_{before}.account_id = part_{after}.account_id
        and chain_{before}.entity_id = part_{after}.entity_id
        and chain_{before}.ended < part_{after}.earliest
"""
OVER: Final = """
select
    '{entity}' as dimension,
    entity_id,
    account_id,
    'account:' || account_id as group_key,
    {strength} as strength,
    format('{{:,}}', max(total)::bigint) || {sentence}
    || format('The rule asks for {{:,}}.', $threshold::bigint) as reason,
    min(first_seen) as first_seen,
    max(last_seen) as last_seen
from spans
where total >= $threshold
group by account_id, entity_id
"""
FOUND: Final = """
select
    '{entity}' as dimension,
    entity_id,
    account_id,
    'account:' || account_id as group_key,
    {strength} as strength,
    {told} as reason,
    min(began) as first_seen,
    max(ended) as last_seen
from found
where ended - began <= {within}
group by account_id, entity_id
"""
TALLIED: Final = (
    "coalesce(list_sum(list_transform(list_filter(tally_counts(prints.tally, {feature}), "
    "lambda entry: {chosen}), lambda entry: entry.count)), 0)::bigint"
)
