"""How common each thing is: who used it at all, whether or not a rule has a signal about them.

Counted from links by day, on the last day (UTC) that a thing's evidence is of and the one before. What is two days and
more behind the latest evidence is not counted again: no rule looks at it again either. Fragments are left out, since
which of them are stored depends on how events were split (``account_texts``); of those the signals count.
"""

from __future__ import annotations

from typing import Final

from pipeline.detect.graph import MIN_NAMED
from pipeline.detect.tables import WriteTx

_WANTED: Final = """
create or replace temp table wanted_thing as
with named_key as (
    select
        thing_holder.group_key,
        time_bucket(interval '24 hours', max(thing_holder.last_seen), timestamptz '1970-01-01 00:00:00+00') as day
    from thing_holder
    left join finding on thing_holder.account_id = finding.entity_id and finding.dimension = 'account'
    group by thing_holder.group_key
    having count(*) filter (where finding.named) >= $min_named
)

select
    named_key.group_key,
    named_key.day,
    split_part(named_key.group_key, ':', 1) as kind,
    substring(named_key.group_key, strpos(named_key.group_key, ':') + 1) as thing_id
from named_key
left join thing_population on named_key.group_key = thing_population.group_key and named_key.day = thing_population.day
where
    not starts_with(named_key.group_key, 'fragment:')
    and (
        thing_population.group_key is null
        or named_key.day > (select max(named_key.day) from named_key) - interval 2 days
    )
"""
_COUNTED: Final = """
insert into thing_population
with stretch as (
    select
        day,
        unnest([day - interval 24 hours, day]) as one_of_it
    from (select distinct day from wanted_thing) as days
),

used as (
    select
        day,
        source_id,
        target_kind,
        target_id
    from link_day
    where
        source_kind = 'account'
        and day in (select one_of_it from stretch)
        and target_kind in (select kind from wanted_thing union all select 'model')
        and (target_kind = 'model' or target_id in (select thing_id from wanted_thing))
    union all
    select
        time_bucket(interval '24 hours', hour, timestamptz '1970-01-01 00:00:00+00') as day,
        source_id,
        target_kind,
        target_id
    from link_delta
    where
        source_kind = 'account'
        and time_bucket(interval '24 hours', hour, timestamptz '1970-01-01 00:00:00+00') in (
            select one_of_it from stretch
        )
        and target_kind in (select kind from wanted_thing union all select 'model')
        and (target_kind = 'model' or target_id in (select thing_id from wanted_thing))
),

active as (
    -- Every request has a model: these are all accounts.
    select
        stretch.day,
        count(distinct used.source_id) as accounts
    from stretch
    inner join used on stretch.one_of_it = used.day
    where used.target_kind = 'model'
    group by stretch.day
)

select
    wanted_thing.group_key,
    wanted_thing.day,
    count(distinct used.source_id) as holders,
    any_value(active.accounts) as accounts
from wanted_thing
inner join active on wanted_thing.day = active.day
inner join stretch on wanted_thing.day = stretch.day
inner join used
    on
        stretch.one_of_it = used.day
        and wanted_thing.kind = used.target_kind
        and wanted_thing.thing_id = used.target_id
group by wanted_thing.group_key, wanted_thing.day
"""


def keep_populations(tx: WriteTx) -> None:
    """Count anew who used each thing that at least MIN_NAMED named accounts share, where that may have changed."""
    tx.execute(_WANTED, {"min_named": MIN_NAMED})
    tx.execute("delete from thing_population where group_key in (select group_key from wanted_thing)")
    tx.execute(_COUNTED)
