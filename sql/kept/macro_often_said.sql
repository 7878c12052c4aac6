-- often_said, of which the hours that are kept are not added up again. A share of the whole is not above the larger of
-- the shares of its two parts: what is often was often in the hours that are kept, or is so in those since then. The
-- latter's things are few, and only what was sent of these before is looked up.
create or replace temp macro often_said(window_begin, window_end, share, share_once) as table
    with
    account_total as (
        select
            source_id,
            sum(events)::bigint as requests,
            sum(lately)::bigint as lately
        from (
            select
                source_id,
                events,
                0 as lately
            from kept.requests
            union all
            select
                source_id,
                events,
                events as lately
            from link_rows(getvariable('kept_upto'), window_end)
            where target_kind = 'model'
        ) as both_parts
        group by source_id
    ),

    said_lately as materialized (
        select
            said.target_kind as kind,
            said.target_id as thing_id,
            said.source_id as account_id,
            sum(said.events) as events,
            min(said.first_seen) as first_seen,
            max(said.last_seen) as last_seen
        from link_rows(getvariable('kept_upto'), window_end) as said
        left join stored.last_fragments(getvariable('kept_upto'), window_end) as cut
            on said.source_id = cut.source_id and said.hour = cut.hour
        where
            said.target_kind in ('template', 'system_prompt', 'fragment')
            and (said.target_kind <> 'fragment' or cut.last_kept is null or said.target_id <= cut.last_kept)
            and window_begin::timestamptz = getvariable('kept_since')
            and window_end::timestamptz > getvariable('kept_upto')
        group by said.target_kind, said.target_id, said.source_id
    ),

    looked_for as (
        -- What is not kept was seldom before, or said once: so it is often by what came since then, or by one more.
        select
            said_lately.kind,
            said_lately.thing_id,
            said_lately.account_id
        from said_lately
        inner join account_total on said_lately.account_id = account_total.source_id
        where
            account_total.requests > account_total.lately
            and (
                said_lately.events >= share * account_total.lately
                or said_lately.events + 1 >= share * account_total.requests
            )
            and (said_lately.kind, said_lately.thing_id, said_lately.account_id) not in (
                select (kind, thing_id, account_id) from kept.said
            )
    ),

    said_before as (
        select
            said.target_kind as kind,
            said.target_id as thing_id,
            said.source_id as account_id,
            said.events,
            said.first_seen,
            said.last_seen
        from (
            select *
            from link_rows(window_begin, getvariable('kept_upto'))
            where target_kind in ('template', 'system_prompt', 'fragment')
        ) as said
        semi join looked_for
            on
                said.source_id = looked_for.account_id
                and said.target_id = looked_for.thing_id
                and said.target_kind = looked_for.kind
        left join kept.edges as cut on said.source_id = cut.source_id and said.hour = cut.hour
        where said.target_kind <> 'fragment' or cut.last_kept is null or said.target_id <= cut.last_kept
    ),

    named as (
        select
            kind,
            thing_id,
            account_id,
            sum(events) as events,
            min(first_seen) as first_seen,
            max(last_seen) as last_seen
        from (
            select * from kept.said
            union all
            select * from said_lately
            union all
            select * from said_before
        ) as parts
        group by kind, thing_id, account_id
    )

    select
        named.kind,
        named.thing_id,
        named.account_id,
        named.events,
        named.first_seen,
        named.last_seen,
        account_total.requests
    from named
    inner join account_total on named.account_id = account_total.source_id
    where
        named.events >= share * account_total.requests
        and (named.events > 1 or named.events >= share_once * account_total.requests)
        and window_begin::timestamptz = getvariable('kept_since')
        and window_end::timestamptz > getvariable('kept_upto')
        and share >= 0.04
        and share_once >= 0.5
    union all
    select
        kind,
        thing_id,
        account_id,
        events,
        first_seen,
        last_seen,
        requests
    from stored.often_said(window_begin, window_end, share, share_once)
    where
        window_begin::timestamptz <> getvariable('kept_since')
        or window_end::timestamptz <= getvariable('kept_upto')
        or share < 0.04
        or share_once < 0.5;
