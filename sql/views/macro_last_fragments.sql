-- The last fragment that counts of an account's hour with more than 64, a row such an hour: from last_fragments(begin,
-- end). Of an hour the 64 smallest count, taken again from what several deltas brought: it does not matter how events
-- were split. Columns: source_id, hour, last_kept.
create or replace macro last_fragments(window_begin, window_end) as table
    with
    -- Reads the rows anew: kept between the two, they would take longer than they take to read.
    full_hour as (
        select
            source_id,
            hour
        from link_rows(window_begin, window_end)
        where target_kind = 'fragment'
        group by source_id, hour
        having count(*) > 64
    )

    select
        said.source_id,
        said.hour,
        list_sort(list(distinct said.target_id))[64] as last_kept
    from link_rows(window_begin, window_end) as said
    inner join full_hour on said.source_id = full_hour.source_id and said.hour = full_hour.hour
    where said.target_kind = 'fragment'
    group by said.source_id, said.hour
    -- More rows than fragments, as several deltas bring the same ones.
    having last_kept is not null;
