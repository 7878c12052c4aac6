-- Who tried variants, most of them refused, until one was answered, and then sent that one in quantity?
with
needed as (
    -- The share of what it tried that was refused of who tried variants: far more than of anybody.
    select greatest($min_refused_share, $times_usual * sum(refused) / sum(events)) as refused_share
    from account_rows($since, $until)
),

refused_account as (
    select distinct account_id
    from account_rows($since, $until)
    where refused > 0
),

account_hour as (
    select
        rows_of.account_id,
        rows_of.window_start as hour,
        sum(rows_of.events)::bigint as events,
        sum(rows_of.refused)::bigint as refused
    from account_rows($since, $until) as rows_of
    inner join refused_account on rows_of.account_id = refused_account.account_id
    group by rows_of.account_id, rows_of.window_start
),

by_hour as (
    select
        *,
        sum(events) over upto as events_upto,
        sum(refused) over upto as refused_upto,
        sum(events) over (partition by account_id) as events_of_all
    from account_hour
    window upto as (partition by account_id order by hour)
),

candidate as (
    -- Who had been refused so large a part by some hour: few accounts, where anybody is refused now and then.
    select distinct by_hour.account_id
    from by_hour
    cross join needed
    where by_hour.refused_upto >= needed.refused_share * by_hour.events_upto
),

said as (
    -- Of an account's hour the smallest fragments count, as in account_texts.
    select
        rows_of.source_id as account_id,
        rows_of.target_kind as kind,
        rows_of.target_id as thing_id,
        rows_of.hour,
        sum(rows_of.events) as events,
        min(rows_of.first_seen) as first_seen,
        max(rows_of.last_seen) as last_seen
    from link_rows($since, $until) as rows_of
    inner join candidate on rows_of.source_id = candidate.account_id
    left join last_fragments($since, $until) as cut on rows_of.source_id = cut.source_id and rows_of.hour = cut.hour
    where
        rows_of.target_kind in ('template', 'system_prompt', 'fragment')
        and (rows_of.target_kind <> 'fragment' or cut.last_kept is null or rows_of.target_id <= cut.last_kept)
    group by rows_of.source_id, rows_of.target_kind, rows_of.target_id, rows_of.hour
),

hopeful as (
    -- Whose thing may pass, whatever hour it is frozen in: from the next hour with it on the account sent enough of it,
    -- and was refused before. Few things are left to be counted over everybody.
    select
        kind,
        thing_id,
        account_id,
        max(from_here) as scaled
    from (
        select
            said.kind,
            said.thing_id,
            said.account_id,
            by_hour.events_of_all - by_hour.events_upto + by_hour.events as all_from_here,
            by_hour.refused_upto - by_hour.refused as refused_before,
            -- By a number, which is quicker: should two have the same, a little more is looked at.
            sum(said.events) over (
                partition by hash(said.kind, said.thing_id, said.account_id)
                order by said.hour desc
            ) as from_here
        from said
        left join by_hour on said.account_id = by_hour.account_id and said.hour = by_hour.hour
    ) as onward
    where coalesce(from_here >= $min_share * all_from_here and refused_before > 0, true)
    group by kind, thing_id, account_id
),

scaled as (
    select
        kind,
        thing_id
    from hopeful
    group by kind, thing_id
    having sum(scaled) >= $min_scaled
),

by_anybody as (
    -- How often such a thing was sent, by whomever.
    select
        rows_of.target_kind as kind,
        rows_of.target_id as thing_id,
        rows_of.hour,
        sum(rows_of.events) as events
    from link_rows($since, $until) as rows_of
    inner join scaled on rows_of.target_kind = scaled.kind and rows_of.target_id = scaled.thing_id
    left join last_fragments($since, $until) as cut on rows_of.source_id = cut.source_id and rows_of.hour = cut.hour
    where rows_of.target_kind <> 'fragment' or cut.last_kept is null or rows_of.target_id <= cut.last_kept
    group by rows_of.target_kind, rows_of.target_id, rows_of.hour
),

frozen as (
    -- The hour in which a thing has been sent more than now and then: of all of it a twentieth came before its end.
    select
        kind,
        thing_id,
        min(hour) as hour,
        -- What came after that hour.
        any_value(total) - min(upto) as events_after
    from (
        select
            kind,
            thing_id,
            hour,
            sum(events) over (partition by kind, thing_id order by hour) as upto,
            sum(events) over (partition by kind, thing_id) as total
        from by_anybody
    ) as by_hour
    where upto >= 0.05 * total
    group by kind, thing_id
),

own as (
    select
        said.kind,
        said.thing_id,
        said.account_id,
        any_value(frozen.hour) as hour,
        any_value(frozen.events_after) as events_of_anybody,
        coalesce(sum(said.events) filter (where said.hour = frozen.hour), 0) as events_then,
        coalesce(sum(said.events) filter (where said.hour > frozen.hour), 0) as events_after,
        min(said.first_seen) as first_seen,
        max(said.last_seen) as last_seen
    from said
    inner join hopeful
        on
            said.kind = hopeful.kind
            and said.thing_id = hopeful.thing_id
            and said.account_id = hopeful.account_id
    inner join frozen on said.kind = frozen.kind and said.thing_id = frozen.thing_id
    group by said.kind, said.thing_id, said.account_id
),

sent as (
    -- What these sent up to that hour, without it in that hour, and all that they sent after it.
    select
        own.kind,
        own.thing_id,
        own.account_id,
        any_value(own.hour) as hour,
        any_value(own.events_of_anybody) as events_of_anybody,
        any_value(own.events_after) as scaled,
        any_value(own.first_seen) as first_seen,
        any_value(own.last_seen) as last_seen,
        coalesce(sum(account_hour.events) filter (where account_hour.hour <= own.hour), 0) as upto,
        coalesce(sum(account_hour.refused) filter (where account_hour.hour <= own.hour), 0) as refused,
        -- Of that hour as many refusals, in thousandths, as fall to the rest of it: it may have been refused itself.
        coalesce(sum(account_hour.events) filter (where account_hour.hour <= own.hour), 0)
        - any_value(own.events_then) as tries,
        coalesce(
            sum(
                if(
                    account_hour.hour < own.hour,
                    1000 * account_hour.refused,
                    round(1000 * account_hour.refused * greatest(0, 1 - own.events_then / account_hour.events))
                )::bigint
            ) filter (where account_hour.hour <= own.hour),
            0
        ) as refused_tries,
        coalesce(sum(account_hour.events) filter (where account_hour.hour > own.hour), 0) as later,
        coalesce(sum(account_hour.refused) filter (where account_hour.hour > own.hour), 0) as refused_later
    from own
    inner join account_hour on own.account_id = account_hour.account_id
    where own.events_after > 0
    group by own.kind, own.thing_id, own.account_id
),

active as (
    select
        account_id,
        customer
    from active_accounts($since, $until)
),

trier as (
    select
        sent.*,
        active.customer
    from sent
    inner join active on sent.account_id = active.account_id
    cross join needed
    where
        sent.scaled >= $min_share * sent.later
        and sent.refused_tries >= 500
        and sent.refused_tries >= 1000 * needed.refused_share * sent.tries
),

variant as (
    -- How many different templates or system prompts those that tried had sent by then.
    select
        kind,
        thing_id,
        max(variants) as variants
    from (
        select
            trier.kind,
            trier.thing_id,
            count(distinct said.thing_id) as variants
        from trier
        inner join said on trier.account_id = said.account_id
        where
            said.kind in ('template', 'system_prompt')
            and said.hour <= trier.hour
            and not (said.kind = trier.kind and said.thing_id = trier.thing_id)
        group by trier.kind, trier.thing_id, said.kind
    ) as by_kind
    group by kind, thing_id
),

swept as (
    select
        trier.kind,
        trier.thing_id,
        any_value(trier.hour) as hour,
        any_value(trier.events_of_anybody) as events_of_anybody,
        count(*) as triers,
        count(distinct trier.customer) as customers,
        sum(trier.tries) as tries,
        sum(trier.refused_tries) / 1000 as refused,
        sum(trier.scaled) as scaled,
        sum(trier.later) as later,
        sum(trier.refused_later) as refused_later
    from trier
    group by trier.kind, trier.thing_id
),

judged as (
    select
        swept.*,
        variant.variants,
        least(1, swept.refused / greatest(1, swept.tries)) as refused_share,
        swept.refused_later / swept.later as later_share
    from swept
    inner join variant on swept.kind = variant.kind and swept.thing_id = variant.thing_id
    where
        swept.refused >= $min_refused
        and variant.variants >= $min_variants
        -- Most of what a published tool's users send comes from who tried nothing.
        and swept.scaled >= $min_tried * swept.events_of_anybody
        and swept.scaled >= $min_scaled
        and swept.scaled >= $min_growth * swept.tries
),

told as (
    select
        judged.*,
        -- Refusals that go on are those of a product, a red team or a nightly suite.
        least(1, judged.refused_share / 0.6)
        * greatest(0, 1 - judged.later_share / judged.refused_share / $max_left)
        * (1 - exp(-judged.refused / $scale))
        -- A product's developers do that as well: several customers who have nothing else to do with each other do not.
        * ($cap_alone + ($cap - $cap_alone) * (1 - exp(-(judged.customers - 1) / 3))) as strength
    from judged
)

select
    'account' as dimension,
    trier.account_id as entity_id,
    trier.account_id,
    told.kind || ':' || told.thing_id as group_key,
    told.strength,
    format(
        '{} of its {} requests were refused until {}; from then on it sent one {} {} times ({} of its {} requests), '
        || 'and {} were refused.',
        trier.refused,
        trier.upto,
        strftime(timezone('UTC', told.hour + interval 1 hour), '%Y-%m-%d %H:%M UTC'),
        if(told.kind = 'fragment', 'passage', if(told.kind = 'template', 'prompt template', 'system prompt')),
        trier.scaled,
        trier.scaled,
        trier.later,
        trier.refused_later
    ) as reason,
    format(
        '{} accounts of {} customers tried {} variants, and {:.0f} % of {} requests were refused. Then they sent one '
        || 'of them {} times ({:.0f} % of all requests with it), and {:.1f} % were refused.',
        told.triers,
        told.customers,
        told.variants,
        100 * told.refused_share,
        told.tries,
        told.scaled,
        100 * told.scaled / told.events_of_anybody,
        100 * told.later_share
    ) as group_reason,
    trier.first_seen,
    trier.last_seen
from told
inner join trier on told.kind = trier.kind and told.thing_id = trier.thing_id
where told.strength >= $min_strength
qualify
    row_number() over (partition by trier.account_id order by told.strength desc, told.kind asc, told.thing_id asc) <= 3
