-- What accounts used between two moments, by whole hours, as it is stored: from link_rows(begin, end). Several rows may
-- be about one account, thing and hour, and add up; `links` adds them up, at a cost. Columns: hour, source_id,
-- target_kind, target_id, events, first_seen, last_seen.
create or replace macro link_rows(window_begin, window_end) as table
    select
        hour,
        source_id,
        target_kind,
        target_id,
        events,
        first_seen,
        last_seen
    from link_hour
    where
        hour >= date_trunc('hour', window_begin::timestamptz)
        and hour < window_end::timestamptz
        and source_kind = 'account'
    union all
    select
        hour,
        source_id,
        target_kind,
        target_id,
        events,
        first_seen,
        last_seen
    from link_delta
    where
        hour >= date_trunc('hour', window_begin::timestamptz)
        and hour < window_end::timestamptz
        and source_kind = 'account';
