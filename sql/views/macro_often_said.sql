-- What accounts said often between two moments, by whole hours: from often_said(begin, end, share, share_once). Of the
-- rows of account_texts (same columns) those with at least that share of the account's requests, and of what it said
-- once those with share_once of them. Gives what filtering account_texts does, at less cost where most things are said
-- once: pairs are added up under a number first, and only those that come far enough by name.
create or replace macro often_said(window_begin, window_end, share, share_once) as table
    with
    account_total as (
        select
            source_id,
            sum(events) as requests
        from link_rows(window_begin, window_end)
        where target_kind = 'model'
        group by source_id
    ),

    often as (
        -- Two pairs may have one number: whatever is said often is among these, and perhaps a little that is not.
        select pair
        from (
            select
                hash(said.target_id, said.source_id) as pair,
                sum(said.events) as events,
                min(account_total.requests) as requests
            from link_rows(window_begin, window_end) as said
            inner join account_total on said.source_id = account_total.source_id
            where said.target_kind in ('template', 'system_prompt', 'fragment')
            group by pair
        ) as added
        where events >= share * requests and (events > 1 or events >= share_once * requests)
    )

    select * exclude (requests)
    from (
        select
            said.target_kind as kind,
            said.target_id as thing_id,
            said.source_id as account_id,
            sum(said.events) as events,
            min(said.first_seen) as first_seen,
            max(said.last_seen) as last_seen,
            any_value(account_total.requests) as requests
        from link_rows(window_begin, window_end) as said
        inner join account_total on said.source_id = account_total.source_id
        left join last_fragments(window_begin, window_end) as cut
            on said.source_id = cut.source_id and said.hour = cut.hour
        where
            said.target_kind in ('template', 'system_prompt', 'fragment')
            and hash(said.target_id, said.source_id) in (select often.pair from often)
            and (said.target_kind <> 'fragment' or cut.last_kept is null or said.target_id <= cut.last_kept)
        group by said.target_kind, said.target_id, said.source_id
    ) as named
    where events >= share * requests and (events > 1 or events >= share_once * requests);
