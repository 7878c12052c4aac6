-- What API keys used between two moments, by whole hours, as it is stored: from key_link_rows(begin, end). Columns:
-- those of link_rows; source_id is the key.
create or replace macro key_link_rows(window_begin, window_end) as table
    select
        hour,
        source_id,
        target_kind,
        target_id,
        events,
        output_tokens,
        first_seen,
        last_seen
    from link_hour
    where
        hour >= date_trunc('hour', window_begin::timestamptz)
        and hour < window_end::timestamptz
        and source_kind = 'api_key'
    union all
    select
        hour,
        source_id,
        target_kind,
        target_id,
        events,
        output_tokens,
        first_seen,
        last_seen
    from link_delta
    where
        hour >= date_trunc('hour', window_begin::timestamptz)
        and hour < window_end::timestamptz
        and source_kind = 'api_key';
