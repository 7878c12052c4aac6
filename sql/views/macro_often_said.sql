-- What accounts said often between two moments, by whole hours: from often_said(begin, end, share, share_once). Of the
-- rows of account_texts those with at least that share of the account's requests, and of what it said once those with
-- share_once of them. Columns: those of account_texts, and requests, all of the account's. Gives what filtering
-- account_texts does, at less cost where most things are said once: pairs are added up under numbers first, and only
-- those that come far enough by name.
create or replace macro often_said(window_begin, window_end, share, share_once) as table
    with
    account_total as (
        select
            source_id,
            sum(events)::bigint as requests
        from link_rows(window_begin, window_end)
        where target_kind = 'model'
        group by source_id
    ),

    seldom as (
        -- Who asks so little that once is often. They say few things: read apart, so that what others say once goes.
        select source_id
        from account_total
        where share_once * requests <= 1
    ),

    repeated as (
        -- Two pairs may have the same numbers: what is said more than once is among these, and perhaps a little else.
        select
            hash(target_id, source_id) as pair,
            hash(source_id) as account,
            sum(events) as events
        from link_rows(window_begin, window_end)
        where target_kind in ('template', 'system_prompt', 'fragment')
        group by pair, account
        having sum(events) > 1
    ),

    often as (
        select repeated.pair
        from repeated
        inner join account_total on repeated.account = hash(account_total.source_id)
        where repeated.events >= share * account_total.requests
        union all
        select hash(target_id, source_id) as pair
        from link_rows(window_begin, window_end)
        where
            target_kind in ('template', 'system_prompt', 'fragment')
            and source_id in (select seldom.source_id from seldom)
    ),

    named as (
        select
            said.target_kind as kind,
            said.target_id as thing_id,
            said.source_id as account_id,
            sum(said.events) as events,
            min(said.first_seen) as first_seen,
            max(said.last_seen) as last_seen
        from (
            select *
            from link_rows(window_begin, window_end)
            where
                target_kind in ('template', 'system_prompt', 'fragment')
                and hash(target_id, source_id) in (select often.pair from often)
        ) as said
        left join last_fragments(window_begin, window_end) as cut
            on said.source_id = cut.source_id and said.hour = cut.hour
        where said.target_kind <> 'fragment' or cut.last_kept is null or said.target_id <= cut.last_kept
        group by said.target_kind, said.target_id, said.source_id
    )

    select
        named.*,
        account_total.requests
    from named
    inner join account_total on named.account_id = account_total.source_id
    where
        named.events >= share * account_total.requests
        and (named.events > 1 or named.events >= share_once * account_total.requests);
