-- What accounts used on the days that begin between two moments, as it is stored: from link_days(begin, end). Several
-- rows may be about one account, thing and day, and add up; `links_1d` adds them up, at a cost. Columns: day,
-- source_id, target_kind, target_id, events, first_seen, last_seen.
create or replace macro link_days(window_begin, window_end) as table
    select
        day,
        source_id,
        target_kind,
        target_id,
        events,
        first_seen,
        last_seen
    from link_day
    where
        day >= window_begin::timestamptz
        and day < window_end::timestamptz
        and source_kind = 'account'
    union all
    select *
    from (
        select
            time_bucket(interval '24 hours', hour, timestamptz '1970-01-01 00:00:00+00') as day,
            source_id,
            target_kind,
            target_id,
            events,
            first_seen,
            last_seen
        from link_delta
        where source_kind = 'account'
    ) as coming
    where
        day >= window_begin::timestamptz
        and day < window_end::timestamptz;
