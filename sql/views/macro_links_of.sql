-- What entities of a kind (account, api_key) used between two moments, by whole hours, as it is stored: from
-- links_of(kind, begin, end). Several rows may be about one source, thing and hour, and add up. Columns: hour,
-- source_id, target_kind, target_id, events, output_tokens, first_seen, last_seen.
create or replace macro links_of(kind, window_begin, window_end) as table
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
        and source_kind = kind
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
        and source_kind = kind;
