-- What accounts said between two moments, by whole hours: from account_texts(begin, end). A row an account and
-- template, system prompt or fragment (kind, thing_id), with events, first_seen, last_seen. Of an account's hour the 64
-- smallest fragments count, taken again from what several deltas brought: it does not matter how events were split.
create or replace macro account_texts(window_begin, window_end) as table
    with
    -- Each reads the rows anew: kept between them, they would take longer than they take to read.
    full_hour as (
        select
            source_id,
            hour
        from link_rows(window_begin, window_end)
        where target_kind = 'fragment'
        group by source_id, hour
        having count(*) > 64
    ),

    cut as (
        select
            said.source_id,
            said.hour,
            list_sort(list(distinct said.target_id))[64] as last_kept
        from link_rows(window_begin, window_end) as said
        inner join full_hour on said.source_id = full_hour.source_id and said.hour = full_hour.hour
        where said.target_kind = 'fragment'
        group by said.source_id, said.hour
    )

    select
        said.target_kind as kind,
        said.target_id as thing_id,
        said.source_id as account_id,
        sum(said.events) as events,
        min(said.first_seen) as first_seen,
        max(said.last_seen) as last_seen
    from link_rows(window_begin, window_end) as said
    left join cut on said.source_id = cut.source_id and said.hour = cut.hour
    where
        said.target_kind in ('template', 'system_prompt', 'fragment')
        and (said.target_kind <> 'fragment' or cut.last_kept is null or said.target_id <= cut.last_kept)
    group by said.target_kind, said.target_id, said.source_id;
