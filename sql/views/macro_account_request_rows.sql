-- How much accounts asked between two moments, by whole hours, as it is stored: from account_request_rows(begin, end).
-- Several rows may be about one account and hour, and add up. Columns: account_id, window_start, events, errors,
-- output_tokens, latency_ms, last_seen. Rules read account_rows: with other columns they would be of another version.
create or replace macro account_request_rows(window_begin, window_end) as table
    select
        entity_id as account_id,
        window_start,
        events,
        errors,
        output_tokens,
        latency_ms,
        last_seen
    from hour
    where
        window_start >= date_trunc('hour', window_begin::timestamptz)
        and window_start < window_end::timestamptz
        and kind = 'account'
    union all
    select
        entity_id as account_id,
        time_bucket(interval '1 hour', pane, timestamptz '1970-01-01 00:00:00+00') as window_start,
        events,
        errors,
        output_tokens,
        latency_ms,
        last_seen
    from pane_delta
    where
        pane >= date_trunc('hour', window_begin::timestamptz)
        -- Whole hours: an hour that has begun when the window ends is in it.
        and pane < date_trunc('hour', window_end::timestamptz - interval 1 microsecond) + interval 1 hour
        and kind = 'account';
